"""What the cells of an ablation gain over its baseline, with intervals."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from longtail.pipeline.compare.ablation_table import AblationCell
from longtail.pipeline.page.figures.drawing import BLUE, INK, MUTED, Drawing, canvas, signed
from longtail.pipeline.page.labels import shortened

MOST_CELLS = 40
LONGEST_LABEL = 34


def gains_over_baseline(cells: Sequence[AblationCell]) -> Drawing | None:
    """Balanced test accuracy of every cell less that of the baseline, best first; None without any."""
    compared = [cell for cell in cells if cell.difference]
    if not compared:
        return None
    compared.sort(key=lambda cell: -cell.difference.mean)
    shown, left = compared[:MOST_CELLS], len(compared) - MOST_CELLS
    gaps = 100 * np.array([cell.difference for cell in shown])  # (cells, 3): mean, low, high
    places = np.arange(len(shown))[::-1]
    figure, (axes,) = canvas(height=0.9 + 0.24 * len(shown))
    for (mean, low, high), place in zip(gaps, places, strict=True):
        sure = low > 0 or high < 0
        axes.errorbar(
            mean,
            place,
            xerr=[[mean - low], [high - mean]],
            fmt="D" if sure else "o",
            color=BLUE if sure else MUTED,
            markerfacecolor=BLUE if sure else "none",
            capsize=3,
            markersize=4.5,
            linewidth=1.5,
        )
    axes.axvline(0, color=INK, linewidth=0.8)
    axes.set_yticks(places, [shortened(f"{cell.row} / {cell.classifier}", LONGEST_LABEL) for cell in shown])
    axes.set_ylim(-0.6, len(shown) - 0.4)
    axes.grid(axis="y", visible=False)
    axes.set_xlabel("percentage points of balanced test accuracy")
    base = shown[0].baseline
    better = sum(cell.difference.low > 0 for cell in compared)
    worse = sum(cell.difference.high < 0 for cell in compared)
    title = f"Against {base}: {better} of {len(compared)} better, {worse} worse"
    title += f"; most gained by {shown[0].row} / {shown[0].classifier}, {signed(gaps[0, 0])} points"
    caption = (
        f"Balanced test accuracy less that of {base}, with the 95 % interval of a bootstrap paired over "
        "seeds and test samples; a filled diamond where the interval leaves out 0."
        + (f" The {left} lowest did not fit." if left > 0 else "")
    )
    return Drawing("differences", title, caption, figure)
