"""Figures about stage one's training, epoch by epoch."""

from __future__ import annotations

from typing import Any

import numpy as np

from pipeline.page.chapter import Chapter
from pipeline.page.drawing import STYLES, Drawing, canvas, legend

LINES = (
    ("balanced_accuracy", "balanced", 0),
    ("many", "many", 2),
    ("medium", "medium", 3),
    ("few", "few", 1),
)
MOST_CLASSES = len(STYLES)


def training_curves(chapter: Chapter) -> Drawing:
    """Training loss above, validation accuracy by shot group below, over epochs."""
    rows = chapter.history
    epochs = [row["epoch"] for row in rows]
    judged = [row for row in rows if "validation" in row]
    figure, panels = canvas(
        2 if judged else 1, height=3.7 if judged else 2.4, ratios=[2, 3] if judged else None
    )
    every = max(1, len(epochs) // 10)
    color, dashes, marker = STYLES[4]
    panels[0].plot(
        epochs, [row["loss"] for row in rows], color=color, linestyle=dashes, marker=marker, markevery=every
    )
    panels[0].set_ylim(bottom=0)
    panels[0].set_ylabel("training loss")
    title = f"Training loss ends at {rows[-1]['loss']:.3g} after {len(rows)} epochs"
    if judged:
        for key, name, number in LINES:
            values = [row["validation"].get(key) for row in judged]
            if any(value is None for value in values):
                continue  # no such class
            color, dashes, marker = STYLES[number]
            panels[1].plot(
                [row["epoch"] for row in judged],
                [100 * value for value in values],
                color=color,
                linestyle=dashes,
                marker=marker,
                markevery=every,
                label=name,
            )
        panels[1].set_ylim(-3, 103)
        panels[1].set_ylabel("validation accuracy, %")
        legend(figure, panels[1], columns=4)
        top = max(judged, key=lambda row: row["validation"]["balanced_accuracy"])
        reached = 100 * top["validation"]["balanced_accuracy"]
        title = (
            f"Balanced validation accuracy is highest in epoch {top['epoch']} of {len(rows)}: {reached:.1f} %"
        )
    panels[-1].set_xlabel("completed epochs")
    panels[-1].xaxis.get_major_locator().set_params(integer=True)
    caption = "Mean training loss of each epoch"
    caption += (
        ", and accuracy of stage one's own head on validation, balanced and by shot group." if judged else "."
    )
    return Drawing("training_curves", title, caption, figure)


def loss_state(row: dict[str, Any]) -> dict[str, Any]:
    """What a loss that adapts said of itself in an epoch: ``class_weights`` (C,), ``tau``; {} for others."""
    found = row.get("loss_state")
    return found if isinstance(found, dict) else {}


def class_weights(chapter: Chapter) -> Drawing | None:
    """The weights a loss gives classes over epochs; None where no loss adapts any."""
    if chapter.representation is None:
        return None
    rows = [row for row in chapter.history if loss_state(row).get("class_weights")]
    if not rows:
        return None
    weights = np.array([loss_state(row)["class_weights"] for row in rows], float)  # (epochs, C)
    epochs = [row["epoch"] for row in rows]
    taus = np.array([loss_state(row).get("tau") for row in rows], float)  # NaN before it is first chosen
    has_tau = bool(np.isfinite(taus).any())
    figure, panels = canvas(1 + has_tau, height=4.0 if has_tau else 3.0, ratios=[3, 1] if has_tau else None)
    order = sorted(range(len(chapter.counts)), key=lambda c: -chapter.counts[c])
    picked = [
        order[n] for n in np.unique(np.linspace(0, len(order) - 1, min(MOST_CLASSES, len(order))).astype(int))
    ]
    every = max(1, len(epochs) // 10)
    for (color, dashes, marker), c in zip(STYLES, picked, strict=False):
        label = f"{chapter.names[c]} ({chapter.counts[c]})"
        panels[0].plot(
            epochs, weights[:, c], color=color, linestyle=dashes, marker=marker, markevery=every, label=label
        )
    panels[0].set_ylabel("weight of the class in the loss")
    legend(figure, panels[0], columns=4)
    if has_tau:
        panels[1].plot(epochs, taus, color=STYLES[0].color, marker=STYLES[0].marker, markevery=every)
        panels[1].set_ylabel("τ of the loss")
    panels[-1].set_xlabel("completed epochs")
    panels[-1].xaxis.get_major_locator().set_params(integer=True)
    top = int(weights[-1].argmax())
    title = f"Class {chapter.names[top]} ends with the largest weight, {weights[-1, top]:.2f} times the usual"
    left = len(order) - len(picked)
    caption = (
        "Weight the loss gives each class in each epoch; 1 is no weighting; training samples in brackets."
        + (f" {len(picked)} of {len(order)} classes, evenly spaced by frequency." if left else "")
        + (" Below, the exponent τ of the weights." if has_tau else "")
    )
    return Drawing("class_weights", title, caption, figure)
