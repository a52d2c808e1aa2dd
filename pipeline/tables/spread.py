"""A metric over replicates: mean and sample deviation."""

from __future__ import annotations

import statistics
from collections.abc import Iterable
from typing import NamedTuple


class Spread(NamedTuple):
    """Mean, sample deviation and number of replicates, fractions; `std` is None for fewer than two."""

    mean: float | None
    std: float | None
    n: int

    def percent(self, digits: int = 1, between: str = " ") -> str:
        """``71.3 ± 0.4 (3)``, `between` before the sign; the mean alone without a deviation."""
        if self.mean is None:
            return "–"
        mean = f"{100 * self.mean:.{digits}f}"
        return mean if self.std is None else f"{mean}{between}± {100 * self.std:.{digits}f} ({self.n})"


def spread(values: Iterable[float | None]) -> Spread:
    """The spread of those values that are defined."""
    known = [value for value in values if value is not None]
    std = statistics.stdev(known) if len(known) > 1 else None
    return Spread(statistics.fmean(known) if known else None, std, len(known))
