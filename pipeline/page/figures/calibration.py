"""The reliability diagram: how often predictions of a given confidence are right."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from longtail.pipeline.page.figures.drawing import MUTED, SKY, Drawing, Missing, canvas, legend, line
from longtail.pipeline.page.run_results import RunResults
from longtail.pipeline.store.result import Result

if TYPE_CHECKING:
    from longtail.stages.metrics.scores import Reliability

LEAST = 5  # samples in a bin, below which its accuracy says nothing


def reliability_diagram(run: RunResults) -> Drawing:
    """Accuracy of test predictions by confidence, with the expected calibration error of each classifier."""
    from longtail.stages.metrics.scores import ECE_BINS

    judged = _tables(run)
    if not judged:
        raise Missing("no confidences were published; `longtail classify CONFIG --fresh` adds them")
    figure, (axes, below) = canvas(2, height=3.8, ratios=[4, 1])
    axes.plot([0, 100], [0, 100], color=MUTED, linewidth=1, label="perfect")
    for result, table in judged:
        some = table.samples >= LEAST
        line(
            axes,
            100 * table.confidence[some] / table.samples[some],
            100 * table.hits[some] / table.samples[some],
            run.style(result),
            label=f"{run.label(result)}: ECE {_ece(run, result):.1f} %",
            every=1,
        )
    main, table = _main(run, judged)
    shares = 100 * table.samples / table.samples.sum()
    below.stairs(shares, np.linspace(0, 100, ECE_BINS + 1), fill=True, color=SKY)
    below.set_ylabel("samples, %")
    below.set_title(f"share of samples, {run.label(main)}", loc="left", pad=2)
    below.set_xlabel("confidence of the prediction, %")
    axes.set_ylabel("accuracy, %")
    axes.set_xlim(0, 100)
    axes.set_ylim(0, 102)
    legend(figure, axes, columns=2)
    caption = (
        f"Test predictions in {ECE_BINS} bins of softmax confidence, those of fewer than {LEAST} samples "
        "left out; below the diagonal a classifier is too sure. ECE is the gap's mean over samples; "
        "classifiers whose scores are not logits have none." + run.omission
    )
    return Drawing("reliability", _title(run, judged), caption, figure)


def _tables(run: RunResults) -> list[tuple[Result, Reliability]]:
    """The reliability of those shown results whose confidences were published."""
    from longtail.stages.metrics.scores import reliability

    tables = []
    for result in run.shown:
        if run.metrics(result)["ece"] is None:
            continue  # its scores are not logits
        predictions = run.predictions(result)
        if "test.confidence" in predictions:
            hit = predictions["test"] == predictions["test.y"]
            tables.append((result, reliability(predictions["test.confidence"], hit)))
    return tables


def _main(run: RunResults, judged: list[tuple[Result, Reliability]]) -> tuple[Result, Reliability]:
    """Joint, the best, or else the first of the judged results."""
    preferred = (run.joint, run.best)
    return next((pair for wanted in preferred for pair in judged if pair[0] is wanted), judged[0])


def _ece(run: RunResults, result: Result) -> float:
    return 100 * run.metrics(result)["ece"]


def _title(run: RunResults, judged: list[tuple[Result, Reliability]]) -> str:
    main, table = _main(run, judged)
    gap = 100 * (table.confidence.sum() - table.hits.sum()) / table.samples.sum()
    word = "surer than right" if gap > 0 else "less sure than right"
    title = f"{run.label(main)} is {abs(gap):.1f} points {word}"
    if len(judged) == 1:
        return title
    least = min((result for result, _ in judged), key=lambda result: _ece(run, result))
    whom = "it" if least is main else run.label(least)
    return f"{title}; {whom} is calibrated best, ECE {_ece(run, least):.1f} %"
