"""Training batches as a function of (seed, epoch, batch)."""

from __future__ import annotations

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
    `indices` (B,) are the samples' positions in the training part; a piece of a batch has none. No piece has
    fewer than `smallest` samples unless the batch itself has.
    """

    inputs: torch.Tensor
    labels: torch.Tensor
    partners: torch.Tensor | None = None
    share: float = 1.0
    indices: np.ndarray | None = None
    smallest: int = 1

    def pieces(self, count: int) -> Iterator[Batch]:
        """The batch in up to `count` pieces of nearly the same size: itself for 1."""
        if count == 1:
            yield self
            return
        total = len(self.labels)
        rows_of_pieces = torch.arange(total, device=self.labels.device)
        for rows in rows_of_pieces.tensor_split(number_of_pieces(total, count, self.smallest)):
            part = slice(int(rows[0]), int(rows[-1]) + 1)
            partners = None if self.partners is None else self.partners[part]
            yield Batch(self.inputs[part], self.labels[part], partners, self.share)


def number_of_pieces(total: int, count: int, smallest: int) -> int:
    """How many pieces of at least `smallest` samples a batch of `total` is cut into, `count` at most."""
    return max(1, min(count, total // smallest))


class Batches:
    """The batches of any epoch, beginning with any of them; every process gets the same.

    The last batch of an epoch may be smaller; no sample is dropped. What is left for it joins the batch
    before when that is fewer than `smallest` samples, which are at most `batch_size`.
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
        smallest: int = 1,
    ):
        self.smallest = smallest
        self.part = part.to(device)
        self.sampler, self.batch_size, self.seed = sampler, batch_size, seed
        self.augment = augment or Augment()
        self.device = torch.device(device)
        self.memory_format = torch.channels_last if channels_last else torch.contiguous_format
        self._labels = torch.as_tensor(part.labels, device=self.device)

    def __len__(self) -> int:
        """Batches an epoch."""
        whole, left = divmod(len(self.sampler), self.batch_size)
        return whole + (left >= self.smallest if whole else 1)

    def piece_sizes(self, count: int) -> set[int]:
        """The sizes of the pieces of an epoch's batches, each cut into up to `count`."""
        before = (len(self) - 1) * self.batch_size
        whole = {len(self.sampler) - before, *([self.batch_size] if before else [])}
        cut = [(total, number_of_pieces(total, count, self.smallest)) for total in whole]
        return {size for total, pieces in cut for size in (total // pieces, -(-total // pieces))}

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        """The batches of one epoch (from 0), beginning with batch `start`."""
        total, batches = len(self.sampler), len(self)
        begins = [row * self.batch_size for row in range(batches)] + [total]
        self.sampler.set_epoch(epoch, begins[start])
        indices = self.sampler.indices()
        requests = [
            Request(
                indices[begins[row] - begins[start] : begins[row + 1] - begins[start]],
                (self.seed, "augment", epoch, row),
            )
            for row in range(start, batches)
        ]
        with closing(self.part.stream(requests, self.augment)) as stream:
            for request, (inputs, mixture) in zip(requests, stream, strict=True):
                labels = self._labels[torch.as_tensor(request.indices, device=self.device)]
                inputs = inputs.contiguous(memory_format=self.memory_format)
                if mixture is None:
                    yield Batch(inputs, labels, indices=request.indices, smallest=self.smallest)
                else:
                    partner = torch.as_tensor(mixture.partner, device=self.device)
                    mixed = labels[partner], mixture.share
                    yield Batch(inputs, labels, *mixed, request.indices, self.smallest)
