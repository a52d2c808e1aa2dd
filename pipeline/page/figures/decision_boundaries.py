"""Decision boundaries of several classifiers on the plane of two features."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from longtail.pipeline.page.figures.drawing import Drawing, panels
from longtail.pipeline.page.labels import shortened
from longtail.stages.features import Features

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from longtail.stages.network import Head

STEPS = 240  # grid points along each feature
SHOWN = 0.995  # of the samples lie inside the window, along each feature
MOST_DOTS = 300
SMALLEST_LABELLED = 5.0  # grid steps from a region's border to its innermost point
LENGTH = 0.42  # of the window's smaller half, how long the longest weight is drawn
PALER = 0.35  # of the way to white, so that dots and names stand out
BRIGHT, DARK = "#f5f5f5", "#101010"


class Panel(NamedTuple):
    """One classifier: what it is called, its fitted estimator, validation balanced accuracy or None."""

    name: str
    estimator: Any
    reached: float | None

    @property
    def head(self) -> Head | None:
        """The linear head whose weights can be drawn: none with distances or directions only."""
        head = getattr(self.estimator, "head_", None)
        return None if head is None or head.cosine else head


def window(X: np.ndarray) -> tuple[float, float, float, float]:
    """(left, right, bottom, top) around nearly all samples `X` (N, 2) and the origin, with a margin."""
    tail = (1 - SHOWN) / 2
    low = np.minimum(np.quantile(X, tail, axis=0), 0)
    high = np.maximum(np.quantile(X, 1 - tail, axis=0), 0)
    margin = 0.06 * np.maximum(high - low, 1e-6)
    (left, bottom), (right, top) = (low - margin).tolist(), (high + margin).tolist()
    return left, right, bottom, top


class Regions(NamedTuple):
    """A classifier over the window's grid, rows upwards: the class of each point, and how far it is ahead.

    `classes` (STEPS, STEPS) row numbers; `margins` has for each class that is predicted somewhere its score
    less the best other one, (STEPS, STEPS): its region's border is where that is 0.
    """

    classes: np.ndarray
    margins: dict[int, np.ndarray]


def regions(estimator, bounds: tuple[float, float, float, float]) -> Regions:
    """The classes that a fitted estimator gives the points of the window (left, right, bottom, top)."""
    left, right, bottom, top = bounds
    across, up = np.meshgrid(np.linspace(left, right, STEPS), np.linspace(bottom, top, STEPS))
    points = np.stack([across.ravel(), up.ravel()], 1).astype(np.float32)
    scores = np.asarray(estimator.scores(points), np.float64)
    winner = scores.argmax(1)
    margins = {}
    for column in np.unique(winner):
        others = np.delete(scores, column, axis=1)
        ahead = scores[:, column] - others.max(1, initial=-np.inf)
        margins[int(estimator.classes_[column])] = ahead.reshape(STEPS, STEPS)
    return Regions(estimator.classes_[winner].reshape(STEPS, STEPS), margins)


def rare_share(classes: np.ndarray, counts: list[int]) -> float:
    """Fraction of the window's points, of these `classes`, that go to the rarer half of all classes."""
    order = np.argsort(-np.asarray(counts), kind="stable")
    return float(np.isin(classes, order[(len(order) + 1) // 2 :]).mean())


def decision_boundaries(
    shown: list[Panel], train: Features, counts: list[int], names: list[str], *, data: str
) -> Drawing:
    """A panel a classifier: its regions, brighter for rarer classes, training samples, and weights as arrows.

    `train` holds features (N, 2); `counts`, `names` (C,); `data` is what the samples are, for the caption.
    """
    bounds = window(np.asarray(train.X, np.float64))
    won = [regions(panel.estimator, bounds) for panel in shown]
    figure, grid = panels(len(shown))
    for axes, panel, region in zip(grid, shown, won, strict=True):
        _draw(axes, panel, region, bounds, train, counts, names)
    figure.supxlabel("feature 1", fontsize=9)
    figure.supylabel("feature 2", fontsize=9)
    shares = {p.name: 100 * rare_share(r.classes, counts) for p, r in zip(shown, won, strict=True)}
    first, most = shown[0].name, max(shares, key=shares.get)
    title = f"The rarer half of the classes holds {shares[first]:.0f} % of the plane with {first}"
    if most != first:
        title += f", {shares[most]:.0f} % with {most}"
    caption = (
        f"Regions of each classifier on two features of {data}, brighter the rarer the class; dots are "
        "training samples, numbers in the titles balanced validation accuracy. Arrows are the classes' "
        "weight vectors, to one scale in each panel: the longer, the more of the plane a class wins."
    )
    return Drawing("boundaries", title, caption, figure)


def _draw(axes: Axes, panel: Panel, won: Regions, bounds, train: Features, counts, names) -> None:
    from matplotlib import colormaps

    rank = np.argsort(np.argsort(-np.asarray(counts), kind="stable"))
    colors = colormaps["cividis"](rank / max(1, len(rank) - 1))  # (C, 4)
    tints = colors + PALER * (1 - colors)
    axes.imshow(tints[won.classes], extent=bounds, origin="lower", aspect="auto", interpolation="nearest")
    across, up = np.linspace(*bounds[:2], STEPS), np.linspace(*bounds[2:], STEPS)
    for ahead in won.margins.values():
        if ahead.min() < 0 < ahead.max() < np.inf:  # else all of the window is one class's
            axes.contour(across, up, ahead, [0.0], colors=[DARK], linewidths=0.6)
    every = -(-len(train) // MOST_DOTS)
    X, y = np.asarray(train.X[::every], np.float64), train.y[::every]
    axes.scatter(*X.T, s=5, c=colors[y], edgecolors=DARK, linewidths=0.3)
    if panel.head is not None:
        _arrows(axes, np.asarray(panel.head.weight, np.float64), bounds)
    _labels(axes, won.classes, bounds, names)
    reached = "" if panel.reached is None else f": {100 * panel.reached:.0f} %"
    axes.set_title(f"{panel.name}{reached}", loc="left", pad=3)
    axes.set_xlim(bounds[:2])
    axes.set_ylim(bounds[2:])
    axes.grid(visible=False)


def _arrows(axes: Axes, weight: np.ndarray, bounds: tuple[float, float, float, float]) -> None:
    """Weight vectors (C, 2) from the origin."""
    left, right, bottom, top = bounds
    longest = np.linalg.norm(weight, axis=1).max()
    if longest == 0:
        return
    scale = LENGTH * min(right - left, top - bottom) / longest
    for x, y in scale * weight:
        axes.annotate("", (x, y), (0, 0), arrowprops={"arrowstyle": "-|>", "color": DARK, "linewidth": 0.9})


def _labels(axes: Axes, classes: np.ndarray, bounds, names: list[str]) -> None:
    """Each class's name where its region is widest; regions too thin for a name have none."""
    from scipy.ndimage import distance_transform_edt

    left, right, bottom, top = bounds
    for c in np.unique(classes):
        inside = distance_transform_edt(np.pad(classes == c, 1))[1:-1, 1:-1]
        row, column = np.unravel_index(inside.argmax(), inside.shape)
        if inside[row, column] < SMALLEST_LABELLED:
            continue
        x, y = np.array([column, row]) / (STEPS - 1)
        place = left + x * (right - left), bottom + y * (top - bottom)
        box = {"boxstyle": "round,pad=0.15", "facecolor": BRIGHT, "edgecolor": "none", "alpha": 0.85}
        axes.text(*place, shortened(names[c], 12), color=DARK, ha="center", va="center", fontsize=8, bbox=box)
