"""What a representation's folder says of it: settings, provenance, history; verified once it is finished."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from longtail.pipeline.config import strict_yaml
from longtail.pipeline.errors import ConfigError, Damaged
from longtail.pipeline.files.checked_json import parse_json, read_record
from longtail.pipeline.store.contents import EpochRow, Provenance, RepresentationDone
from longtail.pipeline.store.records.done import read_listed

if TYPE_CHECKING:
    from longtail.pipeline.store.store import Store

CONFIG, PROVENANCE, HISTORY = "config.yaml", "provenance.json", "history.jsonl"
RUN_FILES = (CONFIG, PROVENANCE, HISTORY)

_PROVENANCE = {
    "command": list, "began": str, "platform": str, "processor": str, "cores": int, "versions": dict,
    "environment": dict, "data": dict, "imports": dict,
}  # fmt: skip
_EPOCH = {
    "epoch": int, "loss": (int, float), "learning_rate": (int, float), "accuracy": (int, float),
    "seconds": (int, float), "images_per_second": (int, float),
}  # fmt: skip


def run_settings(store: Store, run_id: str) -> dict[str, Any]:
    """The settings in ``config.yaml``; FileNotFoundError without it, Damaged when it is not as written."""
    path = store.folder("representations", run_id) / CONFIG
    try:
        settings = strict_yaml.load(settings_text(store, run_id), str(path))
    except ConfigError as error:
        raise Damaged(str(error)) from None
    if not isinstance(settings, dict) or not isinstance(settings.get("representation"), dict):
        raise Damaged(f"{path}: lacks representation")
    return settings


def settings_text(store: Store, run_id: str) -> str:
    """``config.yaml`` as it stands; raises what :func:`run_settings` raises."""
    return _text(store, run_id, CONFIG)


def provenance(store: Store, run_id: str) -> Provenance:
    """How stage one was run; {} where that is not known, Damaged when its file is not as written."""
    path = store.folder("representations", run_id) / PROVENANCE
    try:
        facts = parse_json(_text(store, run_id, PROVENANCE), path)
    except FileNotFoundError:
        return {}
    if not isinstance(facts, dict):
        raise Damaged(f"{path}: must be a mapping, got {type(facts).__name__}")
    wrong = [name for name, kind in _PROVENANCE.items() if not isinstance(facts.get(name, kind()), kind)]
    wrong += ["command"] if not all(isinstance(word, str) for word in facts.get("command", [])) else []
    if wrong:
        raise Damaged(f"{path}: {', '.join(wrong)} of another type than recorded")
    return facts


def history(store: Store, run_id: str) -> list[EpochRow]:
    """What training recorded of each epoch; [] before the first. Damaged when its file is not as written."""
    path = store.folder("representations", run_id) / HISTORY
    try:
        lines = _text(store, run_id, HISTORY).splitlines()
    except FileNotFoundError:
        return []
    rows = [parse_json(line, path) for line in lines]
    for number, row in enumerate(rows, 1):
        if not isinstance(row, dict) or any(not isinstance(row.get(k), kind) for k, kind in _EPOCH.items()):
            raise Damaged(f"{path}: line {number} is not the record of an epoch")
    return rows


def damaged_files(store: Store, run_id: str) -> list[Damaged]:
    """What is wrong with the files of a finished representation that its ``DONE`` lists, weights apart."""
    done, problems = store.done("representations", run_id), []
    for file in _listed(done):
        try:
            read_listed(store.folder("representations", run_id), done, file)
        except Damaged as error:
            problems.append(error)
    return problems


def unverified(done: RepresentationDone | None) -> list[str]:
    """The files that a ``DONE`` does not answer for: it was written before they were listed."""
    return [] if done is None else [file for file in RUN_FILES if file not in done["files"]]


def _listed(done: RepresentationDone | None) -> Sequence[str]:
    return [] if done is None else [file for file in RUN_FILES if file in done["files"]]


def _text(store: Store, run_id: str, file: str) -> str:
    """A file as text, verified where ``DONE`` lists it. FileNotFoundError where it was never written."""
    folder, done = store.folder("representations", run_id), store.done("representations", run_id)
    path: Path = folder / file
    listed = file in _listed(done)
    content = (read_listed(folder, done, file) if listed else read_record(path))[0]
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        raise Damaged(f"{path}: is not UTF-8 text (byte {error.start})") from None
