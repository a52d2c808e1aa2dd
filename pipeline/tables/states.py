"""What is known of a result, finished or not, for a terminal."""

from __future__ import annotations

import logging
import re
import textwrap
import time
from collections.abc import Iterable

from longtail.pipeline.errors import Damaged
from longtail.pipeline.files.at_work import is_at_work
from longtail.pipeline.store.contents import EpochRow
from longtail.pipeline.store.data.adoption import identified_by
from longtail.pipeline.store.inventory import measure
from longtail.pipeline.store.records.run_records import history, run_settings, settings_text, unverified
from longtail.pipeline.store.result import Result
from longtail.pipeline.store.store import Store
from longtail.stages.wording import counted

log = logging.getLogger("longtail")

WRITTEN_AGAIN = "`longtail represent CONFIG` writes it again"
SILENT = 60.0  # seconds; a run that wrote nothing for longer, and for three epochs' time, has stopped


def result_state(store: Store, kind: str, name: str) -> str:
    """What is known of a finished or unfinished result: a representation, features, a classifier."""
    return {"representations": run_state, "features": feature_state, "classifiers": classifier_state}[kind](
        store, name
    )


def feature_state(store: Store, key: str) -> str:
    """What cached features are of and who uses them."""
    lines = [str(store.folder("features", key))]
    manifest = store.manifest(key)
    if manifest is None:
        return "\n".join([*lines, "features: not finished; `longtail extract CONFIG` goes on"])
    shapes = {
        name.split(".")[0]: file["shape"]
        for name, file in manifest["files"].items()
        if re.fullmatch(r"\w+\.X\.npy", name)
    }
    parts = ", ".join(f"{part} {shape[0]}×{shape[1]}" for part, shape in shapes.items())
    identity = manifest["identity"]
    lines.append(f"features: {parts}, {identity['dtype']}")
    classes = counted(len(manifest["class_counts"]), "class", "classes")
    lines.append(f"data: {identity['data']['name']}, {classes}")
    on = list(store.results(features=key))
    made = ", ".join(sorted({result.representation for result in on} - {None})) or "not known"
    lines.append(f"representation: {made if identity['tensors'] else 'given'}")
    return "\n".join([*lines, _classifiers_line(on)])


def classifier_state(store: Store, name: str) -> str:
    """A fitted classifier's parameters, what it stands on, and how it does."""
    lines = [str(store.folder("classifiers", name))]
    result = store.result(name)
    if result is None:
        return "\n".join([*lines, "classifier: not finished; `longtail classify CONFIG` fits it again"])
    params = [f"{key}={value}" for key, value in {**result.params, **result.fitted}.items()]
    lines.append(f"classifier: {' '.join([result.classifier, *params])}")
    lines.append(f"seed: {result.seed}")
    lines.append(f"representation: {result.representation or 'none, the data are features'}")
    lines.append(f"features: {result.features}")
    for split, metrics in result.metrics.items():
        lines.append(f"{split} balanced accuracy: {100 * metrics['balanced_accuracy']:.1f} %")
    return "\n".join([*lines, f"table: longtail report {name}"])


def _classifiers_line(results: Iterable[Result]) -> str:
    return f"classifiers: {', '.join(sorted(result.classifier for result in results)) or 'none yet'}"


def _unfinished(store: Store, run_id: str, rows: list[EpochRow]) -> list[str]:
    """How far an unfinished run is, whether it still writes, and what its remaining epochs will take."""
    from longtail.pipeline.process.progress import duration

    folder = store.folder("representations", run_id)
    silent = time.time() - measure(folder)[1]
    done = f"{counted(len(rows), 'epoch')} done, last written {duration(silent)} ago"
    if not rows:
        return [f"state: under way, {done}"]
    pace = rows[-1]["seconds"]
    if silent > max(SILENT, 3 * pace):
        if is_at_work(folder):
            return [f"state: paused, {done}; its process is alive"]
        return [f"state: stopped, {done}; run it again to go on"]
    try:
        asked = int(run_settings(store, run_id)["representation"]["epochs"])
    except (FileNotFoundError, Damaged, KeyError, TypeError, ValueError) as error:
        log.warning("%s; it is written again when the run goes on", error)
        return [f"state: under way, {done}"]
    left = duration(max(asked - rows[-1]["epoch"], 0) * pace)
    return [f"state: under way, {done}", f"{left} left for {asked} epochs"]


def run_state(store: Store, run_id: str) -> str:
    """A representation's settings, how far it has come and what stands on it."""
    first, *lines = run_progress(store, run_id, store.results(representation=run_id))
    try:
        settings = textwrap.indent(settings_text(store, run_id).rstrip(), "  ")
    except FileNotFoundError as error:
        lines.insert(0, f"settings: {error}; {WRITTEN_AGAIN}")
    except Damaged as error:
        log.warning("%s; it is not shown", error)
        lines.insert(0, f"settings: damaged; {WRITTEN_AGAIN}")
    else:
        lines.insert(0, settings)
    return "\n".join([first, *lines])


def run_progress(store: Store, run_id: str, results: Iterable[Result]) -> list[str]:
    """Where a representation lies, how far it has come and the classifiers of `results`, line by line."""
    lines, rows = [str(store.folder("representations", run_id))], []
    done = store.done("representations", run_id)
    try:
        rows = history(store, run_id)
    except Damaged as error:
        log.warning("%s; no epoch is shown", error)
    if done:
        lines.append(f"state: finished, {counted(done['epochs'], 'epoch')}")
        lines.append(f"data identified by: {identified_by(store, run_id)}")
        if missing := unverified(done):
            lines.append(f"not verified: {', '.join(missing)}; this run's DONE does not list them")
    else:
        lines += _unfinished(store, run_id, rows)
    if rows:
        last = rows[-1]
        lines.append(f"last epoch: loss {last['loss']:.4f}, {last['images_per_second']:.0f} images/s")
        validated = [row for row in rows if "validation" in row]
        if validated:
            best = max(validated, key=lambda row: row["validation"]["balanced_accuracy"])
            reached = 100 * best["validation"]["balanced_accuracy"]
            lines.append(f"best epoch: {best['epoch']}, validation balanced accuracy {reached:.1f} %")
    return [*lines, _classifiers_line(results)]
