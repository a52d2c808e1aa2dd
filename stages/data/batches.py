"""Training batches as a function of (seed, epoch, batch)."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import torch

from stages.data import Part
from stages.data.transforms import Augment, Mixture
from stages.randomness import generator


class Batch(NamedTuple):
    """Inputs (B, ...) and labels (B,) on the training device; `mixture` says how mixup blended them."""

    inputs: torch.Tensor
    labels: torch.Tensor
    mixture: Mixture | None = None


class Batches:
    """The batches of any epoch, from any batch on, the same for whoever asks.

    The last batch of an epoch may be smaller; no sample is dropped.
    """

    def __init__(
        self,
        part: Part,
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
        for offset in range(0, len(indices), self.batch_size):
            picked = indices[offset : offset + self.batch_size]
            rng = generator(self.seed, "augment", epoch, start + offset // self.batch_size)
            inputs, mixture = self.part.augmented(picked, self.augment, rng)
            labels = self._labels[torch.as_tensor(picked, device=self.device)]
            yield Batch(inputs.contiguous(memory_format=self.memory_format), labels, mixture)
