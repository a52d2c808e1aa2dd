"""Ablations: a grid of settings times seeds, every classifier on each, as means with their spread."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Any

from longtail.pipeline.config import strict_yaml
from longtail.pipeline.config.choices import check_choices
from longtail.pipeline.config.loading import Config, check_config
from longtail.pipeline.config.recipes import merge, parse_override, read_settings
from longtail.pipeline.errors import ConfigError, Interrupted, LongtailError
from longtail.pipeline.process.progress import TimeLeft
from longtail.pipeline.store.labels import label, shown_name
from longtail.pipeline.store.store import Store
from longtail.pipeline.work.classifying import load_predictions
from longtail.pipeline.work.execute import Workbench

log = logging.getLogger("longtail")


@dataclass(frozen=True)
class Variant:
    """One row of the table at one seed: what is varied, in words, and the configuration that gives."""

    row: str
    config: Config

    def __str__(self) -> str:
        split = self.config.data.full()["seed"]
        return f"{self.row}, seed {self.config.seed}" + (f", data seed {split}" if split else "")


@dataclass
class Ablation:
    """Results by (row, classifier), one a seed and split; `failed` says which runs were lost and why."""

    rows: list[str]
    columns: list[str]
    cells: dict[tuple[str, str], list[dict[str, Any]]] = field(default_factory=dict)
    failed: list[str] = field(default_factory=list)


# -- the grid ---------------------------------------------------------------------------------------------


def variants(
    reference: str,
    overrides: Iterable[str],
    *,
    vary: Iterable[str] = (),
    seeds: int | None = None,
    data_seeds: int | None = None,
) -> list[Variant]:
    """Every configuration of a grid: ``ablation.methods`` times what ``ablation.vary`` sets times replicates.

    `vary` takes the place of the latter, ``KEY=a,b,c`` or ``KEY=[a, {name: b, ...}]``. Replicates of a row
    are `seeds` training seeds, counting up from the row's ``seed``, times `data_seeds` splits, from its
    ``data.seed``. Raises ConfigError with all that is wrong.
    """
    settings, source = read_settings(reference, overrides)
    base = check_config(settings, source)
    axes = dict(_axis(text) for text in vary) or dict(base.ablation.vary)
    count = seeds if seeds is not None else base.ablation.seeds
    splits = data_seeds if data_seeds is not None else base.ablation.data_seeds
    methods = [([name], change) for name, change in base.ablation.methods.items()] or [([], {})]
    found = []
    for (name, change), values in product(methods, product(*axes.values())):
        changed, words = merge(settings, change), list(name)
        for key, value in zip(axes, values, strict=True):
            changed = merge(changed, parse_override(f"{key}={_flow(value)}"))
            words.append(_words(key, value))
        where = f"{source} ({', '.join(words)})"
        first = check_config(changed, where)
        for split, number in product(range(splits), range(count)):
            drawn = {"seed": first.seed + number}
            if split:
                drawn |= {"data": {"seed": first.data.full()["seed"] + split}}
            config = check_config(merge(changed, drawn), where)
            found.append(Variant(", ".join(words) or "as configured", config))
    return found


def _axis(text: str) -> tuple[str, list[Any]]:
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        raise ConfigError(f"--vary must be KEY=a,b,c or KEY=[...], got {text!r}")
    found = strict_yaml.load(value if value.strip().startswith("[") else f"[{value}]", f"--vary {key}")
    if not found:
        raise ConfigError(f"--vary {key}: must name at least one value, got {text!r}")
    return key.strip(), found


def _flow(value: Any) -> str:
    """A value in YAML's flow style, on one line."""
    import json

    return json.dumps(value, ensure_ascii=False)


def _words(key: str, value: Any) -> str:
    return _in_full(value) if isinstance(value, str | dict) else f"{key.rpartition('.')[2]}={value}"


def _in_full(value: Any) -> str:
    """A setting without rounding, so that different ones read differently; a component is name(key=value)."""
    if not isinstance(value, dict):
        return str(value)
    params = ", ".join(f"{k}={_in_full(v)}" for k, v in value.items() if k != "name")
    return f"{value['name']}({params})" if "name" in value and params else value.get("name", params)


# -- running ----------------------------------------------------------------------------------------------


def run_ablation(grid: Sequence[Variant], store: Store) -> Ablation:
    """Run what is missing of a grid; a run that fails is noted, and the rest goes on."""
    rows = list(dict.fromkeys(variant.row for variant in grid))
    found = Ablation(rows, [])
    left = TimeLeft(len(grid))
    for number, variant in enumerate(grid, 1):
        log.info("run %d of %d: %s%s", number, len(grid), variant, left.next())
        try:
            check_choices(variant.config)
            bench = Workbench(variant.config, store)
            # A result may have been made under other shot groups than this row asks for.
            limits = {"thresholds": variant.config.evaluation.thresholds}
            results = [bench.result(spec) | limits for spec in variant.config.classifiers]
        except (Interrupted, KeyboardInterrupt):
            raise
        except (LongtailError, ValueError, OSError, ArithmeticError) as error:
            said = f"{variant}: {' '.join(str(error).split())}"
            log.warning("failed: %s", said)
            found.failed.append(said)
            continue
        for result in results:
            column = column_of(label(result), result["params"])
            if column not in found.columns:
                found.columns.append(column)
            found.cells.setdefault((variant.row, column), []).append(result)
    return found


def column_of(classifier: str, params: dict[str, Any]) -> str:
    """What a classifier's column is called: its name and the parameters it was given."""
    told = ", ".join(f"{k}={_in_full(v)}" for k, v in params.items())
    return f"{classifier}({told})" if told else classifier


def planned_cells(grid: Iterable[Variant]) -> list[tuple[str, str]]:
    """Every (row, column) a grid will fill, in the table's order."""
    found = []
    for variant in grid:
        trained = variant.config.representation
        epochs = trained.epochs if trained is not None else 0
        for spec in variant.config.classifiers:
            found.append((variant.row, column_of(shown_name(spec.name, epochs), spec.changed())))
    return list(dict.fromkeys(found))


def find_baseline(cells: Sequence[tuple[str, str]], wanted: str | None) -> tuple[str, str]:
    """The one of `cells` that ``ROW/CLASSIFIER`` or, in the first row, ``CLASSIFIER`` names; None: the first.

    ConfigError lists what there is.
    """
    if wanted is None:
        return cells[0]
    named = {f"{row}/{column}": (row, column) for row, column in cells}
    found = named.get(wanted) or named.get(f"{cells[0][0]}/{wanted}")
    if found is None:
        raise ConfigError(f"--baseline must be one of {', '.join(named)}; got {wanted!r}")
    return found


def difference(store: Store, results: list[dict[str, Any]], baseline: list[dict[str, Any]]):
    """The paired bootstrap's difference in test balanced accuracy, over seeds both have; None without any."""
    import numpy as np

    from longtail.stages.metrics.bootstrap import paired_difference

    theirs = {(r["seed"], r["data_seed"]): r for r in baseline}
    pairs = [(r, theirs[r["seed"], r["data_seed"]]) for r in results if (r["seed"], r["data_seed"]) in theirs]
    if not pairs or any("test" not in r["metrics"] for pair in pairs for r in pair):
        return None
    one, other, labels = [], [], []
    for ours, base in pairs:
        mine, its = (load_predictions(store, r["run"]) for r in (ours, base))
        if not np.array_equal(mine["test.y"], its["test.y"]):
            return None  # other samples: nothing to pair
        one.append(mine["test"] == mine["test.y"])
        other.append(its["test"] == its["test.y"])
        labels.append(mine["test.y"])
    return paired_difference(one, other, labels, same_samples=[r["data_seed"] for r, _ in pairs])
