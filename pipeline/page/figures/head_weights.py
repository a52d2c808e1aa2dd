"""Figures about the head: what τ does to it, and how long each class's weights are."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from longtail.pipeline.page.figures.class_axis import MOST_POINTS, ClassAxis
from longtail.pipeline.page.figures.drawing import (
    STYLES,
    Drawing,
    Missing,
    Style,
    canvas,
    legend,
    line,
    number,
)
from longtail.pipeline.page.run_results import RunResults
from longtail.pipeline.store.parameter_text import value_text
from longtail.pipeline.store.result import Result
from longtail.pipeline.tables.records import CHOSEN_ON_TEST

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from longtail.stages.classifiers.tools.accuracy_path import TauPath

MOST_CELLS = 300
LINES = (("balanced", 0), ("many", 2), ("medium", 3), ("few", 1))  # with the number of its style


def accuracy_over_tau(run: RunResults) -> Drawing:
    """Validation accuracy of the τ-normalised head for every τ, exactly, with the τ that was chosen."""
    from longtail.stages.classifiers.tools.paths import tau_path

    head = run.head
    if head.cosine:
        raise Missing("a cosine head's weights all have length 1: every τ predicts alike")
    val = run.features.val
    if not len(val):
        raise Missing("there are no validation samples, and the test split is not for choosing")
    path = tau_path(val.X, val.y, head.weight, class_counts=run.counts, **run.thresholds)
    fitted = [r for r in run.results if "tau_" in r.fitted and r.classifier == "tau_norm"]
    shown = min(fitted, key=_by_hand, default=None)  # one that chose its τ, if any did
    chosen = path.best_tau if shown is None else shown.fitted["tau_"]
    paper = shown is not None and shown.chosen_on_test
    figure, (axes,) = canvas(height=2.7)
    end = max(1.5, 1.3 * chosen)
    _draw_path(axes, path, end)
    mark = CHOSEN_ON_TEST if paper else ""
    axes.axvline(chosen, color=STYLES[0].color, linestyle=":", linewidth=1.2, label=f"τ = {chosen:.2f}{mark}")
    axes.set_xlabel("τ (0: weights as trained, 1: all of length 1)")
    axes.set_ylabel("validation accuracy, %")
    legend(figure, axes)
    start, reached = 100 * path.balanced_accuracy(0.0), 100 * path.balanced_accuracy(chosen)
    title = f"Balanced validation accuracy: {start:.1f} % at τ = 0"
    if chosen:
        title += f", {reached:.1f} % at τ = {chosen:.2f}"
    elif path.best_tau == 0:
        title = f"No τ beats τ = 0, at {start:.1f} % balanced validation accuracy"
    where = f"on the test split (protocol paper, {mark})" if paper else "on validation"
    if shown is not None and _by_hand(shown):
        where = "by hand"
    caption = (
        "Accuracy on validation samples with each class's weights divided by the τ-th power of their norm, "
        f"balanced and by shot group{_exactness(path, end)}. The dotted line is the τ chosen {where}."
    )
    return Drawing("accuracy_over_tau", title, caption, figure)


def _by_hand(result: Result) -> bool:
    return result.params.get("tau", "validation") != "validation"


def _exactness(path: TauPath, end: float) -> str:
    steps = int((path.break_points < end).sum())
    return f", at {MOST_CELLS} of the {steps} steps" if steps > MOST_CELLS else ", exactly for every τ"


def _draw_path(axes: Axes, path: TauPath, end: float) -> None:
    """Accuracy from τ = 0 to `end`, constant between break points (at most 300 cells are drawn)."""
    inside = path.break_points[path.break_points < end]
    if len(inside) > MOST_CELLS:
        inside = inside[np.linspace(0, len(inside) - 1, MOST_CELLS).astype(int)]
    ends = np.concatenate([[0.0], inside, [end]])
    middle = (ends[1:] + ends[:-1]) / 2
    shots = [path.shot_accuracies(tau) for tau in middle]
    for name, style in LINES:
        values = path.balanced_accuracy(middle) if name == "balanced" else [shot[name] for shot in shots]
        if any(value is None for value in values):
            continue  # no such class
        steps = np.repeat(ends, 2)[1:-1], 100 * np.repeat(values, 2)
        line(axes, *steps, STYLES[style], label=name, every=0.12)
    axes.set_xlim(0, end)


# -- norms ------------------------------------------------------------------------------------------------


def weight_norms(run: RunResults) -> Drawing:
    """Length of each class's weights in every linear classifier, over the mean length."""
    lines = []
    for result in run.shown:
        head = run.head_of(result)
        if head is not None and not head.cosine:
            lines.append((run.label(result), run.style(result), head.weight))
    if not lines:
        raise Missing("no linear classifier whose weights have lengths is among the results")
    return _norms("weight_norms", run, lines, f"Linear classifiers on the same features.{run.omission}")


def norms_by_sampler(runs: list[RunResults]) -> Drawing | None:
    """Length of each class's weights in stage one's head, a line a sampler; None for a single sampler.

    Of runs that differ in more than sampler and seeds, those are drawn that leave the most samplers.
    """
    alike: dict[str, dict[str, RunResults]] = {}
    for run in runs:
        settings = run.settings
        if settings.sampler is not None:
            key = repr((run.counts, replace(settings, sampler=None, position=None)))
            alike.setdefault(key, {}).setdefault(value_text(settings.sampler), run)
    by_sampler = max(alike.values(), key=len, default={})
    if len(by_sampler) < 2:
        return None
    lines = []
    for name, run in by_sampler.items():
        with suppress(Missing):
            if not run.head.cosine:
                lines.append((name, STYLES[len(lines) % len(STYLES)], run.head.weight))
    if len(lines) < 2:
        raise Missing("fewer than two samplers have a linear head that is still there")
    left = len(by_sampler) - len(lines[: len(STYLES)])
    note = "Stage one's head, one run a sampler (the first of its seeds), all else equal" + (
        f"; {left} left out." if left else "."
    )
    first = next(iter(by_sampler.values()))
    return _norms("norms_by_sampler", first, lines[: len(STYLES)], note)


def _norms(key: str, run: RunResults, lines: list[tuple[str, Style, Any]], note: str) -> Drawing:
    axis = ClassAxis(run.counts, run.names, most=MOST_POINTS)
    figure, (axes,) = canvas(height=2.7)
    correlations = {}
    for name, style, weight in lines:
        norms = np.linalg.norm(np.asarray(weight, np.float64), axis=1)
        correlations[name] = rank_correlation(norms, run.counts)
        values = axis.points(norms / norms.mean())
        line(axes, axis.positions, values, style, label=name)
    axes.axhline(1, color=STYLES[0].color, linewidth=0.6)
    axes.set_ylabel("weight norm / mean norm")
    axis.label(axes)
    legend(figure, axes)
    high, low = (f(correlations, key=correlations.get) for f in (max, min))
    title = f"Rank correlation of weight norms with class size: {number(correlations[high])} under {high}"
    if high != low:
        title += f", {number(correlations[low])} under {low}"
    caption = (
        f"L2 norm of each class's weight vector over the mean of its classifier. {note} Where frequent "
        f"classes have longer weights, their scores win by length alone.{axis.note}"
    )
    return Drawing(key, title, caption, figure)


def rank_correlation(norms, counts) -> float:
    """Spearman's rank correlation of weight norms (C,) and class counts (C,); 0 where either is constant."""
    from scipy.stats import rankdata

    ranks = [rankdata(values) - (len(values) + 1) / 2 for values in (np.round(norms, 9), counts)]
    size = np.sqrt((ranks[0] ** 2).sum() * (ranks[1] ** 2).sum())
    return float((ranks[0] * ranks[1]).sum() / size) if size else 0.0
