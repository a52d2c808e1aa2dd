"""The reliability diagram: how often predictions of a given confidence are right."""

from __future__ import annotations

import numpy as np

from longtail.pipeline.page.figures.drawing import MUTED, SKY, Drawing, Missing, canvas, legend, line
from longtail.pipeline.page.run_results import RunResults

LEAST = 5  # samples in a bin, below which its accuracy says nothing


def reliability_diagram(run: RunResults) -> Drawing:
    """Accuracy of test predictions by confidence, with the expected calibration error of each classifier."""
    from longtail.stages.metrics.scores import ECE_BINS, reliability

    tables = {}
    for result in run.shown:
        if run.metrics(result)["ece"] is None:
            continue  # its scores are no logits
        predictions = run.predictions(result)
        if "test.confidence" in predictions:
            hit = predictions["test"] == predictions["test.y"]
            tables[result.run] = reliability(predictions["test.confidence"], hit)
    if not tables:
        raise Missing("no confidences were published; `longtail classify CONFIG --fresh` adds them")
    figure, (axes, below) = canvas(2, height=3.8, ratios=[4, 1])
    axes.plot([0, 100], [0, 100], color=MUTED, linewidth=1, label="perfect")
    for result in run.shown:
        table = tables.get(result.run)
        if table is None:
            continue
        some = table.samples >= LEAST
        line(
            axes,
            100 * table.confidence[some] / table.samples[some],
            100 * table.hits[some] / table.samples[some],
            run.style(result),
            label=f"{run.label(result)}: ECE {100 * run.metrics(result)['ece']:.1f} %",
            every=1,
        )
    main = next(r for r in (run.joint, run.best, *run.shown) if r and r.run in tables)
    table = tables[main.run]
    below.stairs(
        100 * table.samples / table.samples.sum(), np.linspace(0, 100, ECE_BINS + 1), fill=True, color=SKY
    )
    below.set_ylabel("samples, %")
    below.set_title(f"share of samples, {run.label(main)}", loc="left", pad=2)
    below.set_xlabel("confidence of the prediction, %")
    axes.set_ylabel("accuracy, %")
    axes.set_xlim(0, 100)
    axes.set_ylim(0, 102)
    legend(figure, axes, columns=2)
    gap = 100 * (table.confidence.sum() - table.hits.sum()) / table.samples.sum()
    word = "surer than right" if gap > 0 else "less sure than right"
    judged = [result for result in run.shown if result.run in tables]
    least = min(judged, key=lambda result: run.metrics(result)["ece"])
    title = f"{run.label(main)} is {abs(gap):.1f} points {word}"
    if len(tables) > 1:
        ece = 100 * run.metrics(least)["ece"]
        whom = "it" if least is main else run.label(least)
        title += f"; {whom} is calibrated best, ECE {ece:.1f} %"
    caption = (
        f"Test predictions in {ECE_BINS} bins of softmax confidence, those of fewer than {LEAST} samples "
        "left out; below the diagonal a classifier is too sure. ECE is the gap's mean over samples; "
        "classifiers whose scores are no logits have none." + run.omission
    )
    return Drawing("reliability", title, caption, figure)
