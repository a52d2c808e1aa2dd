"""Listings and charts for a terminal."""

from __future__ import annotations

import json
import re
import textwrap
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline import strict_yaml
from pipeline.components import KINDS, registry
from pipeline.config import Config
from pipeline.recipes import shipped, shipped_folder
from pipeline.store import Store
from stages.parameters import describe_rule
from stages.registry import REQUIRED, Component
from stages.shots import shot_group
from stages.wording import counted

if TYPE_CHECKING:
    import numpy as np

BAR = 40  # characters of the longest bar
SILENT = 60.0  # seconds without a word, and three epochs' time, after which a run counts as stopped


def listing(kind: str | None, form: str = "table") -> str:
    """Every component of `kind` (of all kinds when None) with its parameters, or the shipped recipes.

    `form` is table (for a terminal) or markdown.
    """
    kinds = [*KINDS, "configs"] if kind is None else [kind]
    texts = []
    for name in kinds:
        if name == "configs":
            text = _recipes()
        else:
            text = (_markdown if form == "markdown" else _components)(_described(name))
        texts.append(text if kind else f"{name}\n{text}")
    return "\n\n".join(texts)


def _described(kind: str) -> list[Component]:
    """The components of a kind; what all data sets share stands once, at the end."""
    found = registry(kind)
    components = [found.describe(name) for name in found.names()]
    if kind != "datasets":
        return components
    shared = found.shared
    own = [
        replace(c, parameters={k: p for k, p in c.parameters.items() if k not in shared.parameters})
        for c in components
    ]
    return [*own, replace(shared, name="every data set")]


def _components(components: list[Component]) -> str:
    lines = []
    for component in components:
        fixed = ", ".join(f"{key} {_json(value)}" for key, value in component.fixed.items())
        lines.append(f"  {component.name}" + (f" ({fixed})" if fixed else ""))
        lines.append(_wrapped(component.summary, 6))
        for parameter in component.parameters.values():
            default = "required" if parameter.default is REQUIRED else f"default {_json(parameter.default)}"
            lines.append(f"      · {parameter.name}: {describe_rule(parameter.rule)}, {default}")
        if component.source:
            lines.append(_wrapped(f"Source: {component.source}", 6))
    return "\n".join(lines)


def _wrapped(text: str, indent: int) -> str:
    return textwrap.fill(text, 100, initial_indent=" " * indent, subsequent_indent=" " * (indent + 2))


def _markdown(components: list[Component]) -> str:
    lines = ["| name | what it is | parameters |", "|---|---|---|"]
    for component in components:
        told = [f"{key} = {_json(value)}" for key, value in component.fixed.items()]
        for p in component.parameters.values():
            told.append(f"`{p.name}`" if p.default is REQUIRED else f"`{p.name}` {_json(p.default)}")
        parameters = ", ".join(told)
        summary = component.summary.replace("|", "\\|")
        lines.append(f"| `{component.name}` | {summary} | {parameters} |")
    return "\n".join(lines)


def _json(value) -> str:
    return "null" if value is None else json.dumps(value)


def _recipes() -> str:
    lines = []
    for name in shipped():
        text = (shipped_folder() / f"{name}.yaml").read_text(encoding="utf-8")
        head = [line[1:].strip() for line in text.splitlines() if line.startswith("#")]
        purpose = next((line for line in head if line and not line.startswith("longtail ")), "")
        lines.append(f"  {name}: {purpose}")
    return "\n".join(lines)


def class_chart(config: Config) -> str:
    """Training samples of each class with a bar, the shot groups' sizes, and the other splits' sizes."""
    from pipeline.building import load_splits

    splits = load_splits(config)
    counts, sizes = splits.class_counts.tolist(), {"validation": len(splits.val), "test": len(splits.test)}
    drawn = chart(
        splits.class_names,
        counts,
        weights=class_weights(config, splits.class_counts),
        weighs_from=config.representation.loss.full().get("start_epoch", 0) if config.representation else 0,
        many=config.evaluation.many,
        few=config.evaluation.few,
        **sizes,
    )
    if splits.flipped is not None:
        drawn += f"\nlabel noise: {splits.flipped.sum()} of {len(splits.train)} training labels are wrong"
    if splits.meta is not None:
        drawn += f"\nheld out to learn sample weights on: {len(splits.meta)} samples, labelled right"
    return drawn


def class_weights(config: Config, class_counts: np.ndarray) -> list[float] | None:
    """What a sample of each class (C,) counts in stage one's loss; None where the loss has no weighting."""
    from stages.losses.weightings import build_weights

    spec = None if config.representation is None else config.representation.loss.params.get("weighting")
    return None if spec in (None, "none") else build_weights(spec, class_counts).tolist()


def chart(
    names: Sequence[str],
    counts: Sequence[int],
    *,
    validation: int,
    test: int,
    many: int,
    few: int,
    weights: Sequence[float] | None = None,
    weighs_from: int = 0,
) -> str:
    """Training samples of each class with a bar, then the sizes of groups and of the other splits.

    `weights` are the loss's, a column of their own; they apply from epoch `weighs_from` on.
    """
    name_width, digits = min(max(map(len, names)), 24), len(str(max(counts)))
    samples, classes = counted(sum(counts), "training sample"), counted(len(counts), "class", "classes")
    lines = [f"class counts ({samples}, {classes})"]
    if weights is not None and weighs_from:
        lines[0] += f"; the loss weighs from epoch {weighs_from} on"
    for row, (name, count) in enumerate(zip(names, counts, strict=True)):
        bar = "█" * max(round(BAR * count / max(counts)), 1 if count else 0)
        group = shot_group(count, many, few) or "absent"
        weight = "" if weights is None else f"  weight {weights[row]:.4g}"
        lines.append(
            f"  {name[:24]:<{name_width}}  {count:>{digits}}  {bar:<{BAR}}  {group:<6}{weight}".rstrip()
        )
    groups = [shot_group(count, many, few) for count in counts]
    sizes = ", ".join(f"{groups.count(g)} {g}" for g in ("many", "medium", "few"))
    present = [count for count in counts if count]
    lines.append(
        f"shots: {sizes} (many > {many}, few < {few}); imbalance factor {max(present) / min(present):.4g}; "
        f"validation {validation}, test {test}"
    )
    return "\n".join(lines)


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
    from pipeline.progress import duration

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
