"""The grid of an ablation: every configuration that methods, varied settings and seeds make up."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import product
from typing import Any

from longtail.pipeline.config import strict_yaml
from longtail.pipeline.config.loading import Config, check_config
from longtail.pipeline.config.recipes import merge, parse_override, read_settings
from longtail.pipeline.errors import ConfigError

MOST_RUNS = 10_000


@dataclass(frozen=True)
class Variant:
    """One row of the table at one seed: what is varied, in words, and the configuration that gives."""

    row: str
    config: Config

    def __str__(self) -> str:
        split = self.config.data.full()["seed"]
        return f"{self.row}, seed {self.config.seed}" + (f", data seed {split}" if split else "")


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
    cells = math.prod([len(methods), *map(len, axes.values()), count, splits])
    if cells > MOST_RUNS:
        raise ConfigError(f"ablation: must stand for at most {MOST_RUNS} runs, got {cells}", source)
    grid = []
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
            grid.append(Variant(", ".join(words) or "as configured", config))
    return grid


def _axis(text: str) -> tuple[str, list[Any]]:
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        raise ConfigError(f"--vary must be KEY=a,b,c or KEY=[...], got {text!r}")
    values = strict_yaml.load(value if value.strip().startswith("[") else f"[{value}]", f"--vary {key}")
    if not values:
        raise ConfigError(f"--vary {key}: must name at least one value, got {text!r}")
    return key.strip(), values


def _flow(value: Any) -> str:
    """A value in YAML's flow style, on one line."""
    return json.dumps(value, ensure_ascii=False)


def _words(key: str, value: Any) -> str:
    return unrounded_text(value) if isinstance(value, str | dict) else f"{key.rpartition('.')[2]}={value}"


def unrounded_text(value: Any) -> str:
    """A setting without rounding, so that different ones read differently; of a component name(key=value)."""
    if not isinstance(value, dict):
        return str(value)
    params = ", ".join(f"{k}={unrounded_text(v)}" for k, v in value.items() if k != "name")
    return f"{value['name']}({params})" if "name" in value and params else value.get("name", params)
