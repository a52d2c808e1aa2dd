"""Frozen features: a backbone's output for every sample, computed once."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from longtail.stages.wording import listed

if TYPE_CHECKING:
    import torch
    from torch import nn

    from longtail.stages.data import Part, Request
    from longtail.stages.data.pictures.augment import Augment

BATCH = 512  # samples at once; not a setting, since a feature's last bits would depend on it
BATCH_VALUES = 2**24  # of input at once: large pictures come in smaller batches


@dataclass(frozen=True)
class Features:
    """Features `X` (N, D) float32 or float16, possibly a memory map, with labels `y` (N,) int64."""

    X: np.ndarray
    y: np.ndarray

    def __post_init__(self):
        object.__setattr__(self, "X", np.asanyarray(self.X))
        object.__setattr__(self, "y", np.asarray(self.y))
        if self.X.ndim != 2 or self.y.shape != self.X.shape[:1]:
            raise ValueError(f"features must be (N, D) with N labels, got {self.X.shape} and {self.y.shape}")

    def __len__(self) -> int:
        return len(self.y)


def extract_features(
    backbone: nn.Module,
    part: Part,
    indices: Sequence[int] | None = None,
    *,
    device="cpu",
    dtype: str = "float32",
    augment: Augment | None = None,
    key: tuple = (),
) -> Features:
    """Features of the samples at `indices` (all by default), in that order.

    Runs in evaluation and inference mode: no gradient, batch-norm statistics untouched; the modules' own
    modes are restored. Every row is written by index and none is missed. With `augment` the samples are
    augmented at random, by draws from (`key`, first index of the batch).

    Raises ValueError naming the rows whose features are not finite (in `dtype`: float16 ends at 65504).
    """
    indices = np.arange(len(part)) if indices is None else np.asarray(indices, np.int64)
    if not len(indices):
        raise ValueError("indices: must hold at least one sample, got none")
    X = forward_rows(backbone, part, indices, device=device, augment=augment, key=key)
    X = X.astype(dtype, copy=False)
    reject_non_finite(X, indices)
    return Features(X, part.labels[indices])


def reject_non_finite(X: np.ndarray, rows: np.ndarray | None = None) -> None:
    """ValueError naming the rows of `X` (N, D) that hold NaN or infinity; `rows` are their numbers."""
    step = max(1, 2**24 // max(X.shape[1], 1))  # a memory map is checked piece by piece
    bad = [
        start + np.flatnonzero(~np.isfinite(X[start : start + step]).all(1))
        for start in range(0, len(X), step)
    ]
    bad = np.concatenate([*bad, np.empty(0, int)]).astype(int)
    if len(bad):
        named = listed(bad if rows is None else np.asarray(rows)[bad])
        raise ValueError(f"features: {len(bad)} of {len(X)} rows hold NaN or infinity (rows {named})")


def forward_rows(
    module: nn.Module,
    part: Part,
    indices: np.ndarray,
    *,
    device="cpu",
    augment: Augment | None = None,
    key: tuple = (),
) -> np.ndarray:
    """Outputs (N, K) float32 of `module` in evaluation and inference mode, row i for ``indices[i]``."""
    import torch

    from longtail.stages.data import Request

    part = part.to(device)
    blocks = _blocks(part, indices)
    requests = [Request(indices[block], (*key, int(indices[block.start]))) for block in blocks]
    modes = [(m, m.training) for m in module.modules()]
    module.eval()
    rows, written = None, np.zeros(len(indices), bool)
    try:
        with torch.inference_mode(), closing(_inputs(part, requests, augment)) as stream:
            for block, inputs in zip(blocks, stream, strict=True):
                out = module(inputs).float().cpu().numpy()
                if rows is None:
                    rows = np.empty((len(indices), out.shape[1]), np.float32)
                rows[block] = out
                written[block] = True
    finally:
        for m, training in modes:
            m.training = training
    assert written.all() and rows is not None, "a row was missed"
    return rows


def _inputs(part: Part, requests: list[Request], augment: Augment | None) -> Generator[torch.Tensor]:
    if hasattr(part, "stream"):
        with closing(part.stream(requests, augment)) as stream:
            yield from (inputs for inputs, _ in stream)
    else:
        if augment is not None:
            raise ValueError(f"augment: {type(part).__name__} cannot be augmented; leave it out")
        yield from (part.batch(request.indices) for request in requests)


def _blocks(part: Part, indices: np.ndarray) -> list[slice]:
    """Slices of `indices`, each a batch whose size depends on a sample's size alone (a power of two)."""
    at_once = batch_rows(part.batch(indices[:1]).numel())
    return [slice(start, min(start + at_once, len(indices))) for start in range(0, len(indices), at_once)]


def batch_rows(values: int) -> int:
    """The batch size for samples of `values` numbers each: a power of two."""
    at_once = BATCH
    while at_once > 1 and at_once * values > BATCH_VALUES:
        at_once //= 2
    return at_once
