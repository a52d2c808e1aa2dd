"""Weights trained elsewhere: which of a file's tensors are a backbone's."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from longtail.stages.wording import listed

NUMBERED = re.compile(r"(.*?)\.\d+\.")  # what stands before a layer's number: layer1 in layer1.0.conv1.weight
COUNTERS = "num_batches_tracked"  # of batch norm; older files lack it, and nothing here uses it


@dataclass(frozen=True)
class KeyMap:
    """How a file's names map to a backbone's: `keys` are the file's keys by the backbone's names.

    They are `prefix` + the name, or what a public layout calls it. `missing` are the backbone's tensors the
    file lacks, `misshapen` those of another shape (name, shape in the backbone, shape in the file), `unused`
    the file's keys that the backbone does not have. Of these, `further` are more layers among those that it
    has, which make the file's another network.
    """

    prefix: str
    keys: dict[str, str]
    matched: list[str]
    missing: list[str]
    misshapen: list[tuple[str, tuple[int, ...], tuple[int, ...]]]
    unused: list[str]
    further: list[str]

    @property
    def complete(self) -> bool:
        """True when every weight and statistic of the backbone is there in its shape."""
        return not self.missing and not self.misshapen and not self.further

    def __str__(self) -> str:
        total = len(self.matched) + len(self.missing) + len(self.misshapen)
        lines = [f"{len(self.matched)} of the backbone's {total} tensors matched, prefix {self.prefix!r}"]
        shapes = [f"{name} (backbone {own}, file {given})" for name, own, given in self.misshapen]
        further = [] if self.missing else self.further  # where layers are missing, others are only unused
        for what, names in (
            ("missing", self.missing),
            ("of another shape", shapes),
            ("layers that the backbone does not have", further),
            ("not used", [name for name in self.unused if name not in set(further)]),
        ):
            if names:
                lines.append(f"{what}: {listed(names, 3)}")
        return "\n".join(lines)


def flatten(content: Any, path: str = "") -> dict[str, torch.Tensor]:
    """Every tensor in nested mappings under its dotted path; other values are left out."""
    if isinstance(content, torch.Tensor):
        return {path: content}
    if not isinstance(content, Mapping):
        return {}
    flat: dict[str, torch.Tensor] = {}
    for key, value in content.items():
        flat |= flatten(value, f"{path}.{key}" if path else str(key))
    return flat


def match(
    tensors: Mapping[str, torch.Tensor], backbone: nn.Module, *, weights_prefix: str | None = None
) -> KeyMap:
    """The names under which most of `backbone`'s tensors are in `tensors`, in their shapes.

    Files of other tools wrap the same names: ``module.``, ``state_dict.``, ``encoder.``...; a backbone that
    others lay out differently tells by ``public_names()``, dictionaries of its own names to theirs. Where a
    file holds all of them several times (a moving average, a momentum encoder) `weights_prefix` says which:
    the prefix or how it begins. ValueError naming the prefixes where it does not.
    """
    own = {k: tuple(t.shape) for k, t in backbone.state_dict().items() if not k.endswith(COUNTERS)}
    given = {k: tuple(t.shape) for k, t in tensors.items() if not k.endswith(COUNTERS)}
    layouts = [{k: k for k in own}, *getattr(backbone, "public_names", list)()]
    places = [
        (prefix, {k: prefix + name for k, name in layout.items() if k in own})
        for layout in layouts
        for prefix in _prefixes(given, next(iter(layout.values())), weights_prefix)
    ]

    def fitting(keys: Mapping[str, str]) -> int:
        return sum(given.get(keys[k]) == own[k] for k in own)

    ranked = sorted(places, key=lambda place: (-fitting(place[1]), len(place[0]), place[0]))
    prefix, keys = ranked[0]
    rivals = [p for p, other in ranked if fitting(other) == len(own)]
    if len(rivals) > 1 and weights_prefix not in rivals:
        raise ValueError(
            f"the file holds the backbone several times, under the prefixes {', '.join(map(repr, rivals))}; "
            f"choose one: `weights_prefix={rivals[-1]}`, say"
        )
    if weights_prefix in rivals:
        prefix, keys = next(place for place in ranked if place[0] == weights_prefix)
    used = set(keys.values())
    stages = {_stage(key, prefix) for key in used} - {None}
    unused = sorted(k for k in given if k not in used)
    return KeyMap(
        prefix=prefix,
        keys=keys,
        matched=[k for k in own if given.get(keys[k]) == own[k]],
        missing=[k for k in own if keys[k] not in given],
        misshapen=[(k, own[k], given[keys[k]]) for k in own if given.get(keys[k], own[k]) != own[k]],
        unused=unused,
        further=[k for k in unused if _stage(k, prefix) in stages],
    )


def _stage(key: str, prefix: str) -> str | None:
    """The part of a file's name before the first number behind the prefix; None for another name."""
    numbered = NUMBERED.match(key.removeprefix(prefix)) if key.startswith(prefix) else None
    return numbered and numbered[1]


def _prefixes(given: Collection[str], first: str, wanted: str | None) -> set[str]:
    """What stands before the name `first` in a file's keys, where it begins as `wanted`; never empty."""
    found = {key.removesuffix(first) for key in given if key.endswith(first)} | {""}
    if wanted is None:
        return found
    return {prefix for prefix in found if prefix.startswith(wanted)} or {wanted}


def load_backbone(
    tensors: Mapping[str, torch.Tensor], backbone: nn.Module, *, weights_prefix: str | None = None
) -> KeyMap:
    """Copy a file's tensors into `backbone` by :func:`match`, and return the map.

    Raises ValueError showing what is missing or of another shape unless every tensor is there, or when one is
    not finite.
    """
    key_map = match(tensors, backbone, weights_prefix=weights_prefix)
    if not key_map.complete:
        raise ValueError(f"the weights do not fit the backbone: {key_map}".replace("\n", "; "))
    picked = {name: tensors[key_map.keys[name]] for name in key_map.matched}
    bad = [name for name, tensor in picked.items() if not torch.isfinite(tensor).all()]
    if bad:
        raise ValueError(f"the weights hold NaN or infinity: {listed(bad)}")
    backbone.load_state_dict(picked, strict=False)  # what is left out are the counters
    return key_map
