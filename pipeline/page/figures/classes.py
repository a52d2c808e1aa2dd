"""Figures about classes: how many samples each has and how well each is recognised."""

from __future__ import annotations

import numpy as np

from longtail.pipeline.page.figures.class_axis import MOST_POINTS, ClassAxis
from longtail.pipeline.page.figures.drawing import (
    BLUE,
    GREEN,
    INK,
    MUTED,
    ORANGE,
    VERMILION,
    Drawing,
    Missing,
    canvas,
    legend,
    line,
)
from longtail.pipeline.page.run_results import RunResults

GROUP_COLORS = {"many": BLUE, "medium": GREEN, "few": VERMILION, None: MUTED}
HATCHES = {"many": "", "medium": "////", "few": "xxxx", None: ""}


def class_counts(run: RunResults) -> Drawing:
    """Training samples of each class, on a logarithmic scale, coloured by shot group."""
    axis = ClassAxis(run.counts, run.names)
    figure, (axes,) = canvas(height=2.3)
    counts = axis.points(run.counts)
    groups = [run.group_of(c) for c in axis.order]
    limits = {"many": f"many: > {run.thresholds['many']}", "few": f"few: < {run.thresholds['few']}"}
    for group in ("many", "medium", "few"):
        members = [1 if run.group_of(c) == group else 0 for c in range(len(run.counts))]
        inside = axis.points(members) >= 0.5
        if not inside.any():
            continue
        axes.stairs(
            np.where(inside, counts, np.nan),
            axis.edges,
            fill=True,
            facecolor=GROUP_COLORS[group],
            edgecolor="#ffffff",
            hatch=HATCHES[group],
            linewidth=0,
            label=f"{limits.get(group, group)} ({groups.count(group)})",
            baseline=0.8,
        )
    axes.set_yscale("log")
    axes.set_ylim(bottom=0.8)
    axes.yaxis.set_major_formatter("{x:g}")
    axes.grid(axis="x", visible=False)
    axes.set_ylabel("training samples")
    axis.label(axes)
    legend(figure, axes)
    present = [n for n in run.counts if n]
    most, least = max(present), min(present)
    first, last = (run.names[run.counts.index(n)] for n in (most, least))
    title = (
        f"From {most:,} samples of class {first} down to {least:,} of class {last}: {most / least:.3g} to 1"
    )
    caption = (
        f"Training samples of each class, {sum(present):,} in all, on a logarithmic scale; shot groups in "
        f"colour and hatching, their number of classes in brackets.{axis.note}"
    )
    return Drawing("class_counts", title, caption, figure)


def class_accuracy(run: RunResults) -> Drawing:
    """Test accuracy of each class by frequency, a line a classifier."""
    axis = ClassAxis(run.counts, run.names, most=MOST_POINTS)
    figure, (axes,) = canvas(height=2.9)
    for result in run.shown:
        values = 100 * axis.points(run.metrics(result)["class_accuracy"])
        line(axes, axis.positions, values, run.style(result), label=run.label(result))
    axes.set_ylim(top=102)
    axes.set_ylabel("class accuracy, %")
    axis.label(axes)
    legend(figure, axes)
    what, reached = run.rare(run.best)
    if run.joint is None or run.joint is run.best:
        title = f"{run.label(run.best)} has {100 * reached:.0f} % {what}"
    else:
        before = run.rare(run.joint)[1]
        verb = "rises" if reached > before else "goes"
        title = (
            f"{what.capitalize()} {verb} from {100 * before:.0f} % with {run.label(run.joint)} "
            f"to {100 * reached:.0f} % with {run.label(run.best)}"
        )
    caption = (
        f"Test accuracy of each class, classes by training frequency.{run.sizes}{axis.note}{run.omission}"
    )
    return Drawing("class_accuracy", title, caption, figure)


def accuracy_spread(run: RunResults) -> Drawing:
    """Class accuracies of each classifier as a box, with mean and population deviation."""
    shown = run.shown[::-1]  # the first on top
    figure, (axes,) = canvas(height=0.9 + 0.38 * len(shown))
    values = [[100 * v for v in run.metrics(r)["class_accuracy"] if v is not None] for r in shown]
    places = np.arange(1, len(shown) + 1)
    lines = {"color": INK, "linewidth": 1.0}
    axes.boxplot(
        values,
        positions=places + 0.12,
        orientation="horizontal",
        widths=0.34,
        whis=(0, 100),
        boxprops=lines,
        whiskerprops=lines,
        capprops=lines,
        medianprops={"color": ORANGE, "linewidth": 2.2},
    )
    means, spread = [np.mean(v) for v in values], [np.std(v) for v in values]
    axes.errorbar(
        means, places - 0.22, xerr=spread, fmt="D", color=BLUE, capsize=3, markersize=4.5, linewidth=1.5
    )
    axes.set_yticks(places, [run.label(r) for r in shown])
    axes.set_ylim(0.45, len(shown) + 0.5)
    axes.grid(axis="y", visible=False)
    limits = axes.get_xlim()
    axes.set_xticks([tick for tick in axes.get_xticks() if limits[0] <= tick <= 100])
    axes.set_xlim(limits)  # a mean and its deviation may end beyond 100 %
    axes.set_xlabel("test accuracy of a class, %")
    least = min(range(len(shown)), key=spread.__getitem__)
    title = f"Classes differ least with {run.label(shown[least])}: SD {spread[least]:.1f} points"
    if len(shown) == 1:
        title = f"Accuracy differs between classes by an SD of {spread[0]:.1f} points"
    if run.joint is not None and shown[least] is not run.joint:
        title += f", {run.label(run.joint)} {spread[shown.index(run.joint)]:.1f}"
    caption = (
        "Each box spans the quartiles of class accuracy, whiskers the worst and the best class, the thick "
        "line is the median. The diamond below it is the mean (balanced accuracy) with one population "
        f"standard deviation to either side.{run.sizes}{run.omission}"
    )
    return Drawing("accuracy_spread", title, caption, figure)


def gains(joint: list[float | None], other: list[float | None]) -> list[float | None]:
    """Accuracy of each class less that under joint, (C,) fractions; None where either is undefined."""
    return [None if a is None or b is None else b - a for a, b in zip(joint, other, strict=True)]


def gained_and_lost(run: RunResults) -> Drawing | None:
    """Accuracy each classifier gains and loses in each class against joint; None without both."""
    if run.joint is None:
        raise Missing("there is no `joint` to compare with")
    if not run.others:
        return None
    axis = ClassAxis(run.counts, run.names)
    base = run.metrics(run.joint)["class_accuracy"]
    gained = {r.run: gains(base, run.metrics(r)["class_accuracy"]) for r in run.others}
    figure, panels = canvas(len(gained), height=max(2.6, 0.9 + 0.72 * len(gained)))
    reach = max(5.0, 105 * max(abs(v) for values in gained.values() for v in values if v is not None))
    for axes, result in zip(panels, run.others, strict=True):
        values = 100 * axis.points(gained[result.run])
        up, down = np.where(values > 0, values, np.nan), np.where(values < 0, values, np.nan)
        axes.stairs(up, axis.edges, fill=True, color=BLUE)
        axes.stairs(
            down, axis.edges, fill=True, facecolor=VERMILION, edgecolor="#ffffff", hatch="////", linewidth=0
        )
        axes.axhline(0, color=INK, linewidth=0.8)
        axes.set_ylim(-reach, reach)
        axes.grid(axis="x", visible=False)
        axes.set_title(run.label(result), loc="left", pad=2)
    figure.supylabel("percentage points against joint", fontsize=9)
    axis.label(panels[-1])
    known = [v for v in gained[run.best.run] if v is not None]
    won, lost = [v for v in known if v > 0], [v for v in known if v < 0]
    title = f"{run.label(run.best)} gains {_points(won)} and loses {_points(lost)}"
    caption = (
        f"Test accuracy of each class less that of {run.label(run.joint)}: bars up are gains, "
        "hatched bars down losses; classes by training frequency."
        f"{run.sizes}{axis.note}{run.omission}"
    )
    return Drawing("gained_and_lost", title, caption, figure)


def _points(values: list[float]) -> str:
    if not values:
        return "nothing in any class"
    mean = 100 * sum(map(abs, values)) / len(values)
    return f"{mean:.1f} points on average in {len(values)} class" + "es" * (len(values) > 1)
