"""Features as a part of a data set: rows of an array, often a memory map."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import torch


class FeatureArrays:
    """Features X (M, D) of any float type, often a memory map, of which `indices` (N,) belong to this part.

    ``labels`` is (N,) int64. Nothing of X is read before :meth:`batch` asks for it. Without `indices` every
    row belongs, N = M.
    """

    def __init__(self, X, labels, indices=None, *, device="cpu"):
        import numpy as np

        self.X = np.asanyarray(X)
        self.labels = np.asarray(labels, np.int64)
        self.indices = None if indices is None else np.asarray(indices, np.int64)
        self.device = device
        rows = len(self.X) if indices is None else len(self.indices)
        if self.X.ndim != 2 or self.labels.shape != (rows,):
            raise ValueError(
                f"features must be (N, D) with labels (N,), got {self.X.shape} and {self.labels.shape}"
            )

    def __len__(self) -> int:
        return len(self.labels)

    def batch(self, indices: Sequence[int]) -> torch.Tensor:
        """Features (B, D) float32, by index, on the part's device."""
        import numpy as np
        import torch

        rows = np.asarray(indices, np.int64)
        rows = rows if self.indices is None else self.indices[rows]
        return torch.from_numpy(np.asarray(self.X[rows], np.float32)).to(self.device)

    def take(self, indices: np.ndarray, labels: np.ndarray) -> FeatureArrays:
        """The rows at `indices`, relabelled, over the same X: nothing is copied."""
        rows = indices if self.indices is None else self.indices[indices]
        return FeatureArrays(self.X, labels, rows, device=self.device)

    def normalized_like(self, train: FeatureArrays) -> FeatureArrays:
        """This part: features are used as they are."""
        return self

    def to(self, device) -> FeatureArrays:
        """The same part with its batches on `device`."""
        return FeatureArrays(self.X, self.labels, self.indices, device=device)

    @property
    def constants(self) -> dict[str, list[float]]:
        """What :meth:`batch` does to a value: nothing."""
        return {}

    @property
    def preprocessing(self) -> None:
        """Features are no pictures."""
        return None
