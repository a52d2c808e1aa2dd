"""What lies under the output root: results, what killed processes left, and files of others.

Names, time stamps and the small JSON files decide; links are neither followed nor counted.
"""

from __future__ import annotations

import json
import logging
import os
import re
import stat
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from longtail.pipeline.errors import LongtailError
from longtail.pipeline.files import epoch_files
from longtail.pipeline.files.at_work import is_at_work
from longtail.pipeline.files.publish import TEMPORARY
from longtail.pipeline.store.identity import ID_LENGTH
from longtail.pipeline.store.records.done import DONE, MANIFEST
from longtail.pipeline.store.store import Store
from longtail.stages.data.files.regular_file import open_regular
from longtail.stages.wording import counted, printable

log = logging.getLogger("longtail")

KINDS = ("representations", "features", "classifiers")
FINISHED, UNFINISHED, ORPHAN, STATE, FOREIGN, PLAIN = (
    "finished", "unfinished", "orphan", "optimiser state", "not ours", "plain"
)  # fmt: skip
PART = ".part"
MOST_HEADER = 2**26  # bytes; a longer safetensors header is not one of ours

Done = Callable[[str, str], Any]  # Store.done, asked once for each result

_ID = re.compile(rf"[0-9a-f]{{{ID_LENGTH}}}")
_TEMPORARY = re.compile(rf"\..+\.\d+-[0-9a-f]{{8}}{re.escape(TEMPORARY)}")
_AT_ROOT = re.compile(r"fingerprints\.json|results\.sqlite(-journal)?|README\.md|\.gitignore")
FINGERPRINTS, HASHES = "fingerprints", ".hashes"  # a folder of hashes of data files, and their names' end
CURVES = "tensorboard"  # a folder inside that of a representation, written with system.tensorboard
_OWN = {
    "representations": re.compile(
        r"config\.yaml|provenance\.json|content\.json|history\.jsonl|best\.safetensors|DONE|"
        + epoch_files.PATTERN
    ),
    "features": re.compile(r"manifest\.json|head\.safetensors|(train|val|test)[\w.-]*\.npy"),
    "classifiers": re.compile(r"(weights|predictions)\.safetensors|result\.json|DONE"),
    PART: re.compile(r"(train|val|test)[\w.-]*\.safetensors"),
}


@dataclass(frozen=True)
class Item:
    """A file or folder under the root with what it is.

    `kind` is one of KINDS or other; `bytes` the length of its files together; `touched` when the newest of
    them was written, in seconds since 1970; `at_work` whether a living process is writing it.
    """

    path: Path
    kind: str
    state: str
    reason: str
    bytes: int
    touched: float
    at_work: bool = False


def inventory(store: Store) -> list[Item]:
    """Everything directly under the root and its three folders, and what stands out inside a result.

    LongtailError when there is no such root.
    """
    if not store.root.is_dir():
        raise LongtailError(f"{store.root}: no such folder; `longtail run CONFIG` makes one")
    done = cache(store.done)  # which warns of a damaged one: once is enough
    items: list[Item] = []
    for path in _entries(store.root):
        if path.name in KINDS and _is_folder(path):
            items += _results(store, done, path.name)
        elif _AT_ROOT.fullmatch(path.name) and _is_file(path):
            items.append(_item(path, "other", PLAIN))
        elif path.name == FINGERPRINTS and _is_folder(path):
            items.append(_item(path, "other", PLAIN))
            items += [_loose(own, "other") for own in _entries(path) if own.suffix != HASHES]
        else:
            items.append(_loose(path, "other"))
    return items


def measure(path: Path) -> tuple[int, float]:
    """(bytes, when last written) of a file, or of all files below a folder; a link counts as itself."""
    paths = [path]
    if _is_folder(path):
        paths += [Path(top, name) for top, folders, files in os.walk(path) for name in (*folders, *files)]
    size, written, folders = 0, [], []
    for each in paths:
        with suppress(FileNotFoundError, PermissionError):  # just removed by another, or not ours to see
            status = each.lstat()
            if stat.S_ISDIR(status.st_mode):
                folders.append(status.st_mtime)
            else:
                size += status.st_size
                written.append(status.st_mtime)
    return size, max(written or folders or [0.0])


def _results(store: Store, done: Done, kind: str) -> Iterator[Item]:
    known = _known_weights(store, done) if kind == "features" else frozenset()
    for path in _entries(store.root / kind):
        name = path.name
        if not _is_folder(path):
            yield _loose(path, kind)
        elif _ID.fullmatch(name):
            if kind == "features":
                state, reason = _features(store, name, known)
            else:
                state, reason = _with_done(store, done, kind, name)
            yield _item(path, kind, state, reason)
            yield from _inside(path, kind, _OWN[kind], finished=state == FINISHED)
        elif kind == "features" and name.endswith(PART) and _ID.fullmatch(name.removesuffix(PART)):
            if store.manifest(name.removesuffix(PART)) is None:
                yield _item(path, kind, UNFINISHED, "shards of features under way")
            else:
                yield _item(path, kind, ORPHAN, "shards of finished features")
            yield from _inside(path, kind, _OWN[PART], finished=False)
        else:
            yield _loose(path, kind)


def _with_done(store: Store, done: Done, kind: str, name: str) -> tuple[str, str]:
    facts = done(kind, name)
    if facts is None:
        damaged = os.path.lexists(store.folder(kind, name) / DONE)
        return UNFINISHED, "DONE is damaged" if damaged else "no DONE"
    if kind == "classifiers":
        return FINISHED, facts["classifier"]
    return FINISHED, f"{facts['data'].get('name')}, {counted(facts['epochs'], 'epoch')}"


def _features(store: Store, key: str, known: frozenset[str]) -> tuple[str, str]:
    manifest = store.manifest(key)
    if manifest is None:
        damaged = os.path.lexists(store.folder("features", key) / MANIFEST)
        return UNFINISHED, "manifest.json is damaged" if damaged else "no manifest.json"
    tensors = manifest["identity"].get("tensors")
    if tensors is not None and tensors not in known:  # None: the data were features already
        return ORPHAN, "no representation here has the weights they were made with"
    data = manifest["identity"].get("data", {}).get("name")
    return FINISHED, f"{data}, {counted(sum(manifest['class_counts']), 'training sample')}"


def _known_weights(store: Store, done: Done) -> frozenset[str]:
    """Hashes of the weights of every representation, finished or not.

    An unfinished one counts because the same command may finish it with the very weights it had.
    """
    known = set()
    for folder in filter(os.path.isdir, _entries(store.root / "representations")):
        facts = done("representations", folder.name)
        if facts is not None:
            known |= {facts[which]["tensors"] for which in ("last", "best")}
        else:
            known |= {_tensors_hash(path) for path in _entries(folder) if path.suffix == epoch_files.WEIGHTS}
    return frozenset(known)


def _tensors_hash(path: Path) -> str | None:
    """The hash of its tensors that a tensor file's header states; None for a file without."""
    try:
        with open_regular(path) as file:
            header = json.loads(file.read(min(int.from_bytes(file.read(8), "little"), MOST_HEADER)))
        return json.loads(header["__metadata__"]["longtail"])["tensors"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None


def _inside(folder: Path, kind: str, own: re.Pattern, *, finished: bool) -> Iterator[Item]:
    """Of a result's files: temporaries, a finished run's optimiser states, and what is not ours."""
    for path in _entries(folder):
        if kind == "representations" and path.name == CURVES and _is_folder(path):
            continue
        if not own.fullmatch(path.name) or not _is_file(path):
            yield _loose(path, kind)
        elif finished and path.suffix == epoch_files.STATE:
            yield _item(path, kind, STATE)


def _entries(folder: Path) -> list[Path]:
    """What lies in `folder`, sorted; nothing when it has just been removed or, warned of, is not readable."""
    try:
        return sorted(folder.iterdir())
    except FileNotFoundError:
        return []
    except OSError as error:
        log.warning("%s: %s; nothing in it is listed", printable(folder), error.strerror)
        return []


def _loose(path: Path, kind: str) -> Item:
    if _TEMPORARY.fullmatch(path.name) and _is_file(path):
        return _item(path, kind, ORPHAN, "left by a process that was killed")
    return _item(path, kind, FOREIGN, "a link" if os.path.islink(path) else "")


def _item(path: Path, kind: str, state: str, reason: str = "") -> Item:
    writing = state in (UNFINISHED, ORPHAN) and _is_written(path)
    return Item(path, kind, state, reason, *measure(path), writing)


def _is_written(path: Path) -> bool:
    """Whether a living process is at work on a result or its shards, or in a temporary file's folder."""
    folder = path if _is_folder(path) else path.parent
    return any(map(is_at_work, (folder, folder.with_name(folder.name + PART))))


def _is_folder(path: Path) -> bool:
    return os.path.isdir(path) and not os.path.islink(path)


def _is_file(path: Path) -> bool:
    return os.path.isfile(path) and not os.path.islink(path)
