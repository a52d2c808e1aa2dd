"""Training batches as a function of (seed, epoch, batch)."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import closing
from typing import TYPE_CHECKING, NamedTuple

import torch

from longtail.stages.data import Request, StreamedPart
from longtail.stages.data.pictures.augment import Augment

if TYPE_CHECKING:
    import numpy as np


class Batch(NamedTuple):
    """Inputs (B, ...) and labels (B,) on the training device.

    With mixup an input is `share` of a sample labelled `labels` and 1 − `share` of one labelled `partners`.
    `indices` (B,) are the samples' positions in the training part; a piece of a batch has none.
    """

    inputs: torch.Tensor
    labels: torch.Tensor
    partners: torch.Tensor | None = None
    share: float = 1.0
    indices: np.ndarray | None = None

    def pieces(self, count: int) -> Iterator[Batch]:
        """The batch in up to `count` pieces of nearly the same size: itself for 1."""
        if count == 1:
            yield self
            return
        total = len(self.labels)
        for rows in torch.arange(total, device=self.labels.device).tensor_split(min(count, total)):
            part = slice(int(rows[0]), int(rows[-1]) + 1)
            partners = None if self.partners is None else self.partners[part]
            yield Batch(self.inputs[part], self.labels[part], partners, self.share)


class Batches:
    """The batches of any epoch, beginning with any of them; every process gets the same.

    The last batch of an epoch may be smaller; no sample is dropped.
    """

    def __init__(
        self,
        part: StreamedPart,
        sampler,
        *,
        batch_size: int,
        seed: int,
        augment: Augment | None = None,
        device: str | torch.device = "cpu",
        channels_last: bool = False,
    ):
        self.part = part.to(device)
        self.sampler, self.batch_size, self.seed = sampler, batch_size, seed
        self.augment = augment or Augment()
        self.device = torch.device(device)
        self.memory_format = torch.channels_last if channels_last else torch.contiguous_format
        self._labels = torch.as_tensor(part.labels, device=self.device)

    def __len__(self) -> int:
        """Batches an epoch."""
        return math.ceil(len(self.sampler) / self.batch_size)

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        """The batches of one epoch (from 0), beginning with batch `start`."""
        # The last batch may be short, so that `start` past it lies beyond the sampler's end.
        self.sampler.set_epoch(epoch, min(start * self.batch_size, len(self.sampler)))
        indices = self.sampler.indices()
        requests = [
            Request(indices[offset : offset + self.batch_size], (self.seed, "augment", epoch, start + row))
            for row, offset in enumerate(range(0, len(indices), self.batch_size))
        ]
        with closing(self.part.stream(requests, self.augment)) as stream:
            for request, (inputs, mixture) in zip(requests, stream, strict=True):
                labels = self._labels[torch.as_tensor(request.indices, device=self.device)]
                inputs = inputs.contiguous(memory_format=self.memory_format)
                if mixture is None:
                    yield Batch(inputs, labels, indices=request.indices)
                else:
                    partner = torch.as_tensor(mixture.partner, device=self.device)
                    yield Batch(inputs, labels, labels[partner], mixture.share, request.indices)
