"""Classes along an axis, most frequent first; thousands of them as averages of neighbours."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from longtail.pipeline.page.labels import shortened

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOST_NAMED = 24  # classes that still have room for their names
MOST_BARS = 200
MOST_POINTS = 40  # of a line: several cross each other
LONGEST_NAME = 14


class ClassAxis:
    """The horizontal axis of figures about classes. `counts` (C,) training samples, `names` (C,).

    More classes than `most` are averaged with their neighbours.
    """

    def __init__(self, counts: Sequence[int], names: Sequence[str], *, most: int = MOST_BARS):
        self.counts, self.names = np.asarray(counts), names
        self.order = np.argsort(-self.counts, kind="stable")
        self._bins = np.array_split(self.order, min(most, len(self.order)))

    @property
    def positions(self) -> np.ndarray:
        """Where the points are, (K,): the rank of each class, from 1, or their mean."""
        ends = np.cumsum([len(bin_) for bin_ in self._bins])
        return np.array([end - (len(bin_) - 1) / 2 for end, bin_ in zip(ends, self._bins, strict=True)])

    @property
    def edges(self) -> np.ndarray:
        """Where steps begin and end, (K + 1,)."""
        return np.concatenate([[0.5], np.cumsum([len(bin_) for bin_ in self._bins]) + 0.5])

    def points(self, values: Sequence[float | None]) -> np.ndarray:
        """Values of all classes (C,) as points (K,); NaN where undefined."""
        values = np.array([np.nan if v is None else v for v in values], float)
        points = np.full(len(self._bins), np.nan)
        for n, bin_ in enumerate(self._bins):
            known = values[bin_][np.isfinite(values[bin_])]
            if len(known):
                points[n] = known.mean()
        return points

    @property
    def note(self) -> str:
        """A sentence for captions when points stand for several classes."""
        size = -(-len(self.order) // len(self._bins))
        return "" if size == 1 else f" Each point is the mean of up to {size} neighbouring classes."

    def label(self, axes: Axes) -> None:
        """Ticks and the axis's name."""
        axes.set_xlim(0.5, len(self.order) + 0.5)
        if len(self.order) > MOST_NAMED:
            axes.set_xlabel("class, by rank in training frequency")
            return
        names = [shortened(self.names[c], LONGEST_NAME) for c in self.order]
        long = max(map(len, names)) > 3
        axes.set_xticks(
            range(1, len(names) + 1),
            names,
            rotation=40 if long else 0,
            ha="right" if long else "center",
            rotation_mode="anchor" if long else "default",
        )
        axes.set_xlabel("class, most frequent in training first")
