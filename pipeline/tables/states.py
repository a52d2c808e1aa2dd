"""What is known of a result, finished or not, for a terminal."""

from __future__ import annotations

import json
import re
import textwrap
import time
from pathlib import Path
from typing import TYPE_CHECKING

from longtail.pipeline.config import strict_yaml
from longtail.pipeline.store.store import Store
from longtail.stages.wording import counted

if TYPE_CHECKING:
    pass

SILENT = 60.0  # seconds without a word, and three epochs' time, after which a run counts as stopped


def result_state(store: Store, kind: str, name: str) -> str:
    """What is known of a finished or unfinished result: a representation, features, a classifier."""
    return {"representations": run_state, "features": feature_state, "classifiers": classifier_state}[kind](
        store, name
    )


def feature_state(store: Store, key: str) -> str:
    """What cached features are of and who uses them."""
    lines = [str(store.folder("features", key))]
    found = store.manifest(key)
    if found is None:
        return "\n".join([*lines, "features: not finished; `longtail extract CONFIG` goes on"])
    sizes = {
        n.split(".")[0]: f["shape"] for n, f in found["files"].items() if re.fullmatch(r"\w+\.X\.npy", n)
    }
    parts = ", ".join(f"{part} {shape[0]}×{shape[1]}" for part, shape in sizes.items())
    identity = found["identity"]
    lines.append(f"features: {parts}, {identity['dtype']}")
    lines.append(
        f"data: {identity['data']['name']}, {counted(len(found['class_counts']), 'class', 'classes')}"
    )
    made = {r["representation"] for r in store.results() if r["features"] == key} - {None}
    lines.append(
        f"representation: {', '.join(sorted(made)) or 'not known'}" if identity["tensors"] else "given"
    )
    return "\n".join([*lines, _classifiers_on(store, "features", key)])


def classifier_state(store: Store, name: str) -> str:
    """A fitted classifier's parameters, what it stands on, and how it does."""
    lines = [str(store.folder("classifiers", name))]
    found = store.result(name)
    if found is None:
        return "\n".join([*lines, "classifier: not finished; `longtail classify CONFIG` fits it again"])
    told = {**found["params"], **found["fitted"]}
    lines.append(f"classifier: {' '.join([found['classifier'], *(f'{k}={v}' for k, v in told.items())])}")
    lines.append(f"seed: {found['seed']}")
    lines.append(f"representation: {found['representation'] or 'none, the data are features'}")
    lines.append(f"features: {found['features']}")
    for split, metrics in found["metrics"].items():
        lines.append(f"{split} balanced accuracy: {100 * metrics['balanced_accuracy']:.1f} %")
    return "\n".join([*lines, f"table: longtail report {name}"])


def _classifiers_on(store: Store, key: str, value: str) -> str:
    names = [r["classifier"] for r in store.results() if r[key] == value]
    return f"classifiers: {', '.join(sorted(names)) or 'none yet'}"


def _unfinished(folder: Path, rows: list[dict]) -> list[str]:
    """How far an unfinished run is, whether something is still heard of it, and what its epochs will take."""
    from longtail.pipeline.process.progress import duration

    silent = time.time() - max(path.stat().st_mtime for path in folder.iterdir())
    told = f"{counted(len(rows), 'epoch')} done, last written {duration(silent)} ago"
    if not rows:
        return [f"state: under way, {told}"]
    pace = rows[-1]["seconds"]
    if silent > max(SILENT, 3 * pace):
        return [f"state: stopped, {told}; run it again to go on"]
    asked = strict_yaml.load((folder / "config.yaml").read_text(encoding="utf-8"))["representation"]["epochs"]
    left = duration(max(asked - rows[-1]["epoch"], 0) * pace)
    return [f"state: under way, {told}", f"{left} left for {asked} epochs"]


def run_state(store: Store, run_id: str) -> str:
    """A representation's settings, how far it has come and what stands on it."""
    folder = store.folder("representations", run_id)
    config, (first, *lines) = folder / "config.yaml", run_progress(store, run_id)
    if config.exists():
        lines.insert(0, textwrap.indent(config.read_text(encoding="utf-8").rstrip(), "  "))
    return "\n".join([first, *lines])


def run_progress(store: Store, run_id: str) -> list[str]:
    """Where a representation lies, how far it has come and what stands on it, line by line."""
    folder = store.folder("representations", run_id)
    lines = [str(folder)]
    history = folder / "history.jsonl"
    rows = [json.loads(line) for line in history.read_text().splitlines()] if history.exists() else []
    done = store.done("representations", run_id)
    lines += [f"state: finished, {counted(len(rows), 'epoch')}"] if done else _unfinished(folder, rows)
    if rows:
        last = rows[-1]
        lines.append(f"last epoch: loss {last['loss']:.4f}, {last['images_per_second']:.0f} images/s")
        validated = [row for row in rows if "validation" in row]
        if validated:
            best = max(validated, key=lambda row: row["validation"]["balanced_accuracy"])
            reached = 100 * best["validation"]["balanced_accuracy"]
            lines.append(f"best epoch: {best['epoch']}, validation balanced accuracy {reached:.1f} %")
    return [*lines, _classifiers_on(store, "representation", run_id)]
