"""Weights trained elsewhere: which of a file's tensors are a backbone's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from longtail.stages.wording import listed

COUNTERS = "num_batches_tracked"  # of batch norm; older files lack it, and nothing here uses it


@dataclass(frozen=True)
class KeyMap:
    """How a file's names map to a backbone's: `prefix` + name is the file's key.

    `missing` are the backbone's tensors the file lacks, `misshapen` those of another shape (name, shape in
    the backbone, shape in the file), `unused` the file's keys that the backbone does not have.
    """

    prefix: str
    matched: list[str]
    missing: list[str]
    misshapen: list[tuple[str, tuple[int, ...], tuple[int, ...]]]
    unused: list[str]

    @property
    def complete(self) -> bool:
        """True when every weight and statistic of the backbone is there in its shape."""
        return not self.missing and not self.misshapen

    def __str__(self) -> str:
        total = len(self.matched) + len(self.missing) + len(self.misshapen)
        lines = [f"{len(self.matched)} of the backbone's {total} tensors matched, prefix {self.prefix!r}"]
        shapes = [f"{name} (backbone {own}, file {given})" for name, own, given in self.misshapen]
        for what, names in (
            ("missing", self.missing),
            ("of another shape", shapes),
            ("not used", self.unused),
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


def match(tensors: Mapping[str, torch.Tensor], backbone: nn.Module) -> KeyMap:
    """The prefix under which most of `backbone`'s tensors are in `tensors`, in their shapes.

    Files of other tools wrap the same names: ``module.``, ``state_dict.``, ``encoder.``.... Raises ValueError
    for a file that holds all of them several times (a momentum encoder's, a teacher's).
    """
    own = {k: tuple(t.shape) for k, t in backbone.state_dict().items() if not k.endswith(COUNTERS)}
    given = {k: tuple(t.shape) for k, t in tensors.items() if not k.endswith(COUNTERS)}
    first = next(iter(own))
    prefixes = {key.removesuffix(first) for key in given if key.endswith(first)} | {""}
    ranked = sorted(prefixes, key=lambda p: (-sum(given.get(p + k) == own[k] for k in own), len(p), p))
    prefix = ranked[0]
    rivals = [p for p in ranked[1:] if all(given.get(p + k) == own[k] for k in own)]
    if rivals:
        raise ValueError(f"the file holds the backbone several times, under {[prefix, *rivals]}; keep one")
    return KeyMap(
        prefix=prefix,
        matched=[k for k in own if given.get(prefix + k) == own[k]],
        missing=[k for k in own if prefix + k not in given],
        misshapen=[(k, own[k], given[prefix + k]) for k in own if given.get(prefix + k, own[k]) != own[k]],
        unused=sorted(k for k in given if k.removeprefix(prefix) not in own or not k.startswith(prefix)),
    )


def load_backbone(tensors: Mapping[str, torch.Tensor], backbone: nn.Module) -> KeyMap:
    """Copy a file's tensors into `backbone` by :func:`match`, and return the map.

    Raises ValueError showing what is missing or of another shape unless every tensor is there, or when one is
    not finite.
    """
    key_map = match(tensors, backbone)
    if not key_map.complete:
        raise ValueError(f"the weights do not fit the backbone: {key_map}".replace("\n", "; "))
    picked = {name: tensors[key_map.prefix + name] for name in key_map.matched}
    bad = [name for name, tensor in picked.items() if not torch.isfinite(tensor).all()]
    if bad:
        raise ValueError(f"the weights hold NaN or infinity: {listed(bad)}")
    backbone.load_state_dict(picked, strict=False)  # what is left out are the counters
    return key_map
