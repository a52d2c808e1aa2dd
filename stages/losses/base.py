"""What every loss shares."""

from __future__ import annotations

import torch
from torch import nn


class Loss(nn.Module):
    """Knows the training counts (C,); a class without samples is masked out of the logits.

    Raises ValueError for counts that are negative, not one-dimensional, or all zero.
    """

    absent: torch.Tensor

    def __init__(self, class_counts):
        super().__init__()
        counts = torch.as_tensor(class_counts)
        if counts.ndim != 1 or not (counts >= 0).all() or not counts.any():
            raise ValueError(f"class_counts: must be (C,) counts ≥ 0, not all 0, got {counts.tolist()}")
        self.register_buffer("absent", counts == 0, persistent=False)
        self._any_absent = bool(self.absent.any())

    def mask(self, logits: torch.Tensor) -> torch.Tensor:
        """Logits (B, C) with −inf for classes that have no training sample."""
        return logits.masked_fill(self.absent, -torch.inf) if self._any_absent else logits

    def set_epoch(self, epoch: int) -> None:
        """The epoch about to begin, from 0."""

    def set_class_accuracy(self, accuracy) -> None:
        """Validation accuracy of each class (C,), after each epoch."""
