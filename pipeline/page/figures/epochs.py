"""Figures about stage one's training, epoch by epoch."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from longtail.pipeline.page.figures.drawing import STYLES, Drawing, canvas, legend, line
from longtail.pipeline.page.run_results import RunResults
from longtail.pipeline.store.contents import EpochRow, LossState

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LINES = (
    ("balanced_accuracy", "balanced", 0),
    ("many", "many", 2),
    ("medium", "medium", 3),
    ("few", "few", 1),
)


def training_curves(run: RunResults) -> Drawing:
    """Training loss above, validation accuracy by shot group below, over epochs."""
    rows = run.history
    epochs = [row["epoch"] for row in rows]
    judged = [row for row in rows if "validation" in row]
    figure, panels = canvas(
        2 if judged else 1, height=3.7 if judged else 2.4, ratios=[2, 3] if judged else None
    )
    line(panels[0], epochs, [row["loss"] for row in rows], STYLES[4])
    panels[0].set_ylim(bottom=0)
    panels[0].set_ylabel("training loss")
    title = f"Training loss ends at {rows[-1]['loss']:.3g} after {len(rows)} epochs"
    if judged:
        for key, name, number in LINES:
            values = [row["validation"].get(key) for row in judged]
            if any(value is None for value in values):
                continue  # no such class
            at = [row["epoch"] for row in judged]
            line(panels[1], at, [100 * value for value in values], STYLES[number], label=name)
        panels[1].set_ylim(-3, 103)
        panels[1].set_ylabel("validation accuracy, %")
        legend(figure, panels[1], columns=4)
        top = max(judged, key=lambda row: row["validation"]["balanced_accuracy"])
        reached = 100 * top["validation"]["balanced_accuracy"]
        title = (
            f"Balanced validation accuracy is highest in epoch {top['epoch']} of {len(rows)}: {reached:.1f} %"
        )
    _name_epochs(panels[-1])
    caption = "Mean training loss of each epoch"
    caption += (
        ", and accuracy of stage one's own head on validation, balanced and by shot group." if judged else "."
    )
    return Drawing("training_curves", title, caption, figure)


def loss_state(row: EpochRow) -> LossState:
    """What an adaptive loss reported of an epoch: ``class_weights`` (C,), ``tau``; {} for others."""
    state = row.get("loss_state")
    return state if isinstance(state, dict) else {}


def class_weights(run: RunResults) -> Drawing | None:
    """The weights a loss gives classes over epochs; None where no loss adapts any."""
    rows = [row for row in _history(run) if loss_state(row).get("class_weights")]
    if not rows:
        return None
    weights = np.array([loss_state(row)["class_weights"] for row in rows], float)  # (epochs, C)
    epochs = [row["epoch"] for row in rows]
    taus = np.array([loss_state(row).get("tau") for row in rows], float)  # NaN before it is first chosen
    has_tau = bool(np.isfinite(taus).any())
    figure, panels = canvas(1 + has_tau, height=4.0 if has_tau else 3.0, ratios=[3, 1] if has_tau else None)
    note = _lines_of_classes(panels[0], run, epochs, weights)
    panels[0].set_ylabel("weight of the class in the loss")
    legend(figure, panels[0], columns=4)
    if has_tau:
        line(panels[1], epochs, taus, STYLES[0])
        panels[1].set_ylabel("τ of the loss")
    _name_epochs(panels[-1])
    top = int(weights[-1].argmax())
    title = f"Class {run.names[top]} ends with the largest weight, {weights[-1, top]:.2f} times the usual"
    caption = (
        "Weight the loss gives each class in each epoch; 1 is no weighting; training samples in brackets."
        + note
        + (" Below, the exponent τ of the weights." if has_tau else "")
    )
    return Drawing("class_weights", title, caption, figure)


def learned_weights(run: RunResults) -> Drawing | None:
    """Mean learned sample weight of each class, of right and of wrong labels over epochs; None without."""
    rows = [row for row in _history(run) if row.get("learned_weights")]
    if not rows:
        return None
    learned, epochs = [row["learned_weights"] for row in rows], [row["epoch"] for row in rows]
    weights = np.array(
        [entry["class_weights"] for entry in learned], float
    )  # (epochs, C); NaN when not drawn
    groups = {
        words: np.array([entry[key] for entry in learned], float)
        for key, words in (("clean", "right labels"), ("flipped", "wrong labels"))
    }
    noisy = all(np.isfinite(values).any() for values in groups.values())
    figure, panels = canvas(1 + noisy, height=4.4 if noisy else 3.0, ratios=[3, 2] if noisy else None)
    note = _lines_of_classes(panels[0], run, epochs, weights)
    panels[0].set_ylabel("mean weight of the class")
    legend(figure, panels[0], columns=4)
    top = int(np.nanargmax(weights[-1]))
    title = f"Class {run.names[top]} ends with the largest weights, {weights[-1, top]:.2f} on average"
    caption = (
        "Mean learned weight of a class's samples in each epoch; 1 is the mean of a batch; training samples "
        "in brackets." + note
    )
    if noisy:
        for style, (words, values) in zip(STYLES, groups.items(), strict=False):
            line(panels[1], epochs, values, style)
            panels[1].annotate(
                words, (epochs[-1], values[-1]), xytext=(-4, 5), textcoords="offset points", ha="right"
            )
        panels[1].set_ylim(bottom=0)
        panels[1].margins(y=0.25)
        panels[1].set_ylabel("mean weight")
        right, wrong = (values[-1] for values in groups.values())
        title = f"Right labels end with a mean weight of {right:.2f}, wrong ones of {wrong:.2f}"
        caption += " Below, samples whose labels `data.label_noise` kept or changed, which no rule knows."
    _name_epochs(panels[-1])
    return Drawing("learned_weights", title, caption, figure)


def _history(run: RunResults) -> list[EpochRow]:
    return [] if run.representation is None else run.history


def _lines_of_classes(axes: Axes, run: RunResults, epochs: list[int], weights: np.ndarray) -> str:
    """A line for each class of `weights` (epochs, C), while styles last; a sentence on those left out."""
    order = sorted(range(len(run.counts)), key=lambda c: -run.counts[c])
    places = np.unique(np.linspace(0, len(order) - 1, min(len(STYLES), len(order))).astype(int))
    for style, c in zip(STYLES, [order[n] for n in places], strict=False):
        line(axes, epochs, weights[:, c], style, label=f"{run.names[c]} ({run.counts[c]})")
    if len(places) == len(order):
        return ""
    return f" {len(places)} of {len(order)} classes, evenly spaced by frequency."


def _name_epochs(axes: Axes) -> None:
    axes.set_xlabel("completed epochs")
    axes.xaxis.get_major_locator().set_params(integer=True)
