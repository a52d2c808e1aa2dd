"""Figures about the head: what τ does to it, and how long each class's weights are."""

from __future__ import annotations

from typing import Any

import numpy as np

from pipeline.page.axis import ClassAxis
from pipeline.page.chapter import Chapter
from pipeline.page.drawing import STYLES, Drawing, Missing, Style, canvas, legend
from pipeline.report import CHOSEN_ON_TEST

MOST_TAU_POINTS = 300
LINES = (("balanced", 0), ("many", 2), ("medium", 3), ("few", 1))  # with the number of its style


def accuracy_over_tau(chapter: Chapter) -> Drawing:
    """Validation accuracy of the τ-normalised head for every τ, exactly, with the τ that was chosen."""
    from stages.classifiers.tau_norm import tau_path

    head = chapter.head
    if head.cosine:
        raise Missing("a cosine head's weights all have length 1: every τ predicts alike")
    val = chapter.features.val
    if not len(val):
        raise Missing("there are no validation samples, and the test split is not for choosing")
    path = tau_path(val.X, val.y, head.weight, class_counts=chapter.counts, **chapter.thresholds)
    fitted = next(
        (r for r in chapter.results if r["classifier"] == "tau_norm" and "tau_" in r["fitted"]), None
    )
    chosen = path.best_tau if fitted is None else fitted["fitted"]["tau_"]
    taus = _cells(path.break_points, max(1.5, 1.3 * chosen))
    shots = [path.shot_accuracies(tau) for tau in taus]
    figure, (axes,) = canvas(height=3.2)
    for name, number in LINES:
        values = path.balanced_accuracy(taus) if name == "balanced" else [shot[name] for shot in shots]
        if any(value is None for value in values):
            continue  # no such class
        color, dashes, marker = STYLES[number]
        every = max(1, len(taus) // 8)
        axes.plot(
            taus,
            100 * np.array(values),
            color=color,
            linestyle=dashes,
            marker=marker,
            markevery=every,
            label=name,
        )
    paper = fitted is not None and fitted["protocol"] == "paper"
    told = f"τ = {chosen:.2f}" + (CHOSEN_ON_TEST if paper else "")
    axes.axvline(chosen, color=STYLES[0].color, linestyle=":", linewidth=1.2, label=told)
    axes.set_xlim(0, taus[-1])
    axes.set_xlabel("τ (0: weights as trained, 1: all of length 1)")
    axes.set_ylabel("validation accuracy, %")
    legend(figure, axes)
    start, reached = 100 * path.balanced_accuracy(0.0), 100 * path.balanced_accuracy(chosen)
    title = f"Balanced validation accuracy goes from {start:.1f} % at τ = 0 to {reached:.1f} % at τ = {chosen:.2f}"
    if chosen == 0:
        title = f"No τ beats τ = 0, at {start:.1f} % balanced validation accuracy"
    where = f"on the test split (protocol paper, {CHOSEN_ON_TEST})" if paper else "on validation"
    caption = (
        "Accuracy of the head W/‖W‖^τ on validation samples for every τ, computed exactly, balanced and by shot "
        f"group. The dotted line is the τ chosen {where}."
    )
    return Drawing("accuracy_over_tau", title, caption, figure)


def _cells(break_points: np.ndarray, end: float) -> np.ndarray:
    """τ from 0 to `end`, one inside each of the cells accuracy is constant on, at most 300 of them."""
    ends = np.concatenate([[0.0], break_points[break_points < end], [end]])
    middle = (ends[1:] + ends[:-1]) / 2
    if len(middle) > MOST_TAU_POINTS:
        middle = middle[np.linspace(0, len(middle) - 1, MOST_TAU_POINTS).astype(int)]
    return np.unique(np.concatenate([[0.0], middle, [end]]))


# -- norms ------------------------------------------------------------------------------------------------


def weight_norms(chapter: Chapter) -> Drawing:
    """Length of each class's weights in every linear classifier, over the mean length."""
    lines = []
    for result in chapter.shown:
        head = chapter.head_of(result)
        if head is not None and not head.cosine:
            lines.append((chapter.label(result), chapter.style(result), head.weight))
    if not lines:
        raise Missing("no linear classifier whose weights have lengths is among the results")
    return _norms(
        "weight_norms", chapter, lines, f"Linear classifiers on the same features.{chapter.omission}"
    )


def norms_by_sampler(chapters: list[Chapter]) -> Drawing | None:
    """Length of each class's weights in stage one's head, a line a sampler; None for a single sampler."""
    found: dict[str, Chapter] = {}
    for chapter in chapters:
        if "sampler" in chapter.settings and chapter.counts == chapters[0].counts:
            found.setdefault(spec_text(chapter.settings["sampler"]), chapter)
    if len(found) < 2:
        return None
    lines, left = [], len(found) - len(STYLES)
    for style, (name, chapter) in zip(STYLES, found.items(), strict=False):
        try:
            lines.append((name, style, chapter.head.weight))
        except Missing:
            left += 1
    if len(lines) < 2:
        raise Missing("the heads of fewer than two samplers are still there")
    note = f"Stage one's head, one run a sampler (the first of its seeds){f'; {left} left out' if left > 0 else ''}."
    return _norms("norms_by_sampler", chapters[0], lines, note)


def _norms(key: str, chapter: Chapter, lines: list[tuple[str, Style, Any]], note: str) -> Drawing:
    axis = ClassAxis(chapter.counts, chapter.names)
    figure, (axes,) = canvas(height=3.2)
    correlations = {}
    for name, (color, dashes, marker), weight in lines:
        norms = np.linalg.norm(np.asarray(weight, np.float64), axis=1)
        correlations[name] = rank_correlation(norms, chapter.counts)
        values = axis.pick(norms / norms.mean())
        every = max(1, len(values) // 12)
        axes.plot(axis.at, values, color=color, linestyle=dashes, marker=marker, markevery=every, label=name)
    axes.axhline(1, color=STYLES[0].color, linewidth=0.6)
    axes.set_ylabel("‖W of the class‖ / mean over classes")
    axis.label(axes)
    legend(figure, axes)
    high, low = (f(correlations, key=correlations.get) for f in (max, min))
    title = f"Weights follow class size with rank correlation {correlations[high]:.2f} under {high}"
    if high != low:
        title += f", {correlations[low]:.2f} under {low}"
    caption = (
        f"L2 norm of each class's weight vector over the mean of its classifier. {note} Where frequent classes "
        f"have longer weights, their scores win by length alone.{axis.note}"
    )
    return Drawing(key, title, caption, figure)


def rank_correlation(norms, counts) -> float:
    """Spearman's rank correlation of weight norms (C,) and class counts (C,); 0 where either is constant."""
    from scipy.stats import rankdata

    ranks = [rankdata(values) - (len(values) + 1) / 2 for values in (np.round(norms, 9), counts)]
    size = np.sqrt((ranks[0] ** 2).sum() * (ranks[1] ** 2).sum())
    return float((ranks[0] * ranks[1]).sum() / size) if size else 0.0


def spec_text(spec: Any) -> str:
    """A component of a run's settings in words."""
    if not isinstance(spec, dict):
        return str(spec)
    params = ", ".join(f"{k}={spec_text(v)}" for k, v in spec.items() if k != "name")
    return f"{spec.get('name', '')}({params})" if params else str(spec.get("name"))
