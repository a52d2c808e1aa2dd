"""The sections of the page: what all runs show together, then each run, with the figures of each."""

from __future__ import annotations

import base64
import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from longtail.pipeline.compare.ablation_table import AblationCell
from longtail.pipeline.page.figures import (
    calibration,
    classes,
    confusion,
    epochs,
    gains_over_baseline,
    head_weights,
    matrix,
)
from longtail.pipeline.page.figures.drawing import Drawing, Missing
from longtail.pipeline.page.figures.figure_files import page_svg
from longtail.pipeline.page.run_results import RunResults
from longtail.pipeline.tables.headings import seeds_text

log = logging.getLogger("longtail")

MOST_FIGURES = 250  # on a page: some 10 MB and a minute

Draw = Callable[[], "Drawing | None"]  # raises Missing where there is nothing to draw from


class PageFigure(NamedTuple):
    """A figure as it stands on the page."""

    key: str
    title: str
    caption: str
    svg: str
    pictures: list[tuple[str, str]]  # (data address, text)


@dataclass
class PageSection:
    """One run of the page with its figures; without a run, what concerns all of them."""

    anchor: str
    title: str
    run: RunResults | None
    draw: list[tuple[str, Draw]]  # (what it draws, function)
    shown: list[PageFigure] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)


def page_sections(runs: Sequence[RunResults], cells: Sequence[AblationCell]) -> list[PageSection]:
    """The sections in order, the one of all runs first; `cells` are those of an ablation, if it is one."""
    samples = confusion.Samples()
    rows = matrix.runs_by_row(runs)
    ordered = [(row, run) for row, members in rows.items() for run in sorted(members, key=_data_seed_first)]
    every = [run for _, run in ordered]
    together: list[tuple[str, Draw]] = [
        ("the matrix of settings and classifiers", lambda: matrix.matrix(every)),
        ("differences to the baseline", lambda: gains_over_baseline.gains_over_baseline(cells)),
        ("weight norms by sampler", lambda: head_weights.norms_by_sampler(every)),
    ]
    sections = [PageSection("all", "All runs together", None, together)]
    for row, run in ordered:
        anchor = f"run-{run.id[:8]}"
        if any(section.anchor == anchor for section in sections):
            anchor += f"-{len(sections)}"
        title = f"{row}, {seeds_text(run.first)}"
        sections.append(PageSection(anchor, title, run, _figures(run, samples)))
    return sections


def _data_seed_first(run: RunResults) -> tuple[int, int]:
    return run.first.data_seed, run.first.seed


def _figures(run: RunResults, samples: confusion.Samples) -> list[tuple[str, Draw]]:
    return [
        ("class counts", lambda: classes.class_counts(run)),
        ("class accuracy", lambda: classes.class_accuracy(run)),
        ("spread of class accuracy", lambda: classes.accuracy_spread(run)),
        ("gained and lost accuracy", lambda: classes.gained_and_lost(run)),
        ("accuracy over τ", lambda: head_weights.accuracy_over_tau(run)),
        ("weight norms", lambda: head_weights.weight_norms(run)),
        ("reliability diagram", lambda: calibration.reliability_diagram(run)),
        ("confused classes", lambda: confusion.confusions(run, samples)),
        ("training curves", lambda: epochs.training_curves(run)),
        ("class weights over epochs", lambda: epochs.class_weights(run)),
        ("learned weights over epochs", lambda: epochs.learned_weights(run)),
    ]


def drawings(sections: Sequence[PageSection]) -> Iterator[tuple[PageSection, Drawing]]:
    """Every figure that can be drawn, one at a time; sections note what cannot, and why."""
    count = 0
    for section in sections:
        if count >= MOST_FIGURES:
            reason = (
                f"the page holds {MOST_FIGURES} figures already; `longtail report RUN --html` draws this run"
            )
            section.left_out.append(f"All figures: {reason}.")
            log.warning("%s: without figures, %s", section.title, reason)
            continue
        for name, draw in section.draw:
            try:
                drawing = draw()
            except Missing as reason:
                section.left_out.append(f"{name[0].upper()}{name[1:]}: {reason}.")
                continue
            if drawing is not None:
                count += 1
                yield section, drawing


def page_figure(drawing: Drawing, anchor: str) -> PageFigure:
    """A drawing as it stands in the section of that anchor."""
    pictures = [
        (f"data:image/png;base64,{base64.b64encode(picture.png).decode()}", picture.text)
        for picture in drawing.pictures
    ]
    svg = page_svg(drawing, f"{anchor}-{drawing.key}")
    return PageFigure(drawing.key, drawing.heading, drawing.reading, svg, pictures)
