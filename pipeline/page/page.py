"""The page: every figure of every run, its table and its provenance, in one file that loads nothing."""

from __future__ import annotations

import base64
import importlib
import logging
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from longtail.pipeline.errors import LongtailError
from longtail.pipeline.files.publish import publish_bytes
from longtail.pipeline.page.figures import (
    calibration,
    classes,
    confusion,
    differences,
    epochs,
    head_weights,
    matrix,
)
from longtail.pipeline.page.figures.drawing import (
    PALETTE,
    Drawing,
    Missing,
    figure_file,
    house_style,
    page_svg,
)
from longtail.pipeline.page.run_results import Chapter, chapters
from longtail.pipeline.page.table import results_table
from longtail.pipeline.store.finished import Found
from longtail.pipeline.store.store import Store
from longtail.pipeline.tables.records import value_text

log = logging.getLogger("longtail")

NEEDS_EXTRA = "figures need matplotlib and jinja2: pip install 'longtail[report]'"
MOST_FIGURES = 250  # on a page: some 10 MB and a minute
MOST_OPEN = 3  # more runs than these begin folded
LONG_TABLE = 20  # rows, beyond which what all runs show together comes first


class Shown(NamedTuple):
    """A figure as it stands on the page."""

    key: str
    title: str
    caption: str
    svg: str
    pictures: list[tuple[str, str]]  # (data address, text)


@dataclass
class Section:
    """One chapter of the page with its figures; without a chapter, what concerns all of them."""

    anchor: str
    title: str
    chapter: Chapter | None
    draw: list[tuple[str, Callable[[], Drawing | None]]]
    shown: list[Shown] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)


def write(
    store: Store,
    found: Iterable[Found],
    rows: list[dict[str, Any]],
    *,
    html: str | Path | None = None,
    figures: str | Path | None = None,
    form: str = "svg",
    cells: list[dict[str, Any]] | None = None,
) -> None:
    """Write finished runs as one page, `html`, and every figure as a file of `form` below `figures`.

    `rows` are the records of the page's table, `cells` those of an ablation's, if it is one. ImportError
    without the extra ``report``, LongtailError when nothing was judged on test.
    """
    need_libraries()
    parts = chapters(store, found)
    if not parts:
        raise LongtailError(
            "no run judged on the test split: nothing to draw; `longtail run CONFIG` makes one"
        )
    sections = _sections(parts, cells or [])
    count = 0
    with house_style():
        for section, drawing in _drawings(sections):
            count += 1
            if figures is not None:
                path = Path(figures) / f"{section.anchor}-{drawing.key}.{form}"
                publish_bytes(path, figure_file(drawing, form))
            if html is not None:
                section.shown.append(_on_page(drawing, section.anchor))
    if figures is not None:
        log.info("%s: %d figures", figures, count)
    if html is not None:
        page = _render(sections, rows).encode()
        publish_bytes(Path(html), page)
        log.info("%s: %d figures, %.1f MB", html, count, len(page) / 1e6)


def write_drawing(drawing: Drawing, path: Path) -> None:
    """Write one figure as svg, png or a page of its own (html), by the file's ending."""
    if path.suffix == ".html":
        shown = _on_page(drawing, "figure")
        page = (
            _environment().get_template("figure.html").render(title=shown.title, shown=shown, palette=PALETTE)
        )
        publish_bytes(path, page.encode())
    else:
        publish_bytes(path, figure_file(drawing, path.suffix.removeprefix(".")))


def need_libraries() -> None:
    """ImportError naming the extra when matplotlib or jinja2 is missing."""
    for library in ("matplotlib", "jinja2"):
        try:
            importlib.import_module(library)
        except ImportError as error:
            raise ImportError(NEEDS_EXTRA) from error


# -- what is drawn ----------------------------------------------------------------------------------------


def _sections(parts: list[Chapter], cells: list[dict[str, Any]]) -> list[Section]:
    samples = confusion.Samples()
    ordered = [(row, c) for row, members in matrix.varied(parts).items() for c in sorted(members, key=_seeds)]
    parts = [c for _, c in ordered]
    together = [
        ("the matrix of settings and classifiers", lambda: matrix.matrix(parts)),
        ("differences to the baseline", lambda: differences.differences(cells)),
        ("weight norms by sampler", lambda: head_weights.norms_by_sampler(parts)),
    ]
    found = [Section("all", "All runs together", None, together)]
    for row, chapter in ordered:
        seeds = f"seed {chapter.seed}" + (f", data seed {chapter.data_seed}" if chapter.data_seed else "")
        title = f"{row}, {seeds}"
        anchor = f"run-{(chapter.representation or chapter.key)[:8]}"
        if any(section.anchor == anchor for section in found):
            anchor += f"-{len(found)}"
        found.append(Section(anchor, title, chapter, _figures(chapter, samples)))
    return found


def _seeds(chapter: Chapter) -> tuple[int, int]:
    return chapter.data_seed, chapter.seed


def _figures(c: Chapter, samples: confusion.Samples) -> list[tuple[str, Callable[[], Drawing | None]]]:
    return [
        ("class counts", lambda: classes.class_counts(c)),
        ("class accuracy", lambda: classes.class_accuracy(c)),
        ("spread of class accuracy", lambda: classes.accuracy_spread(c)),
        ("gained and lost accuracy", lambda: classes.gained_and_lost(c)),
        ("accuracy over τ", lambda: head_weights.accuracy_over_tau(c)),
        ("weight norms", lambda: head_weights.weight_norms(c)),
        ("reliability diagram", lambda: calibration.reliability_diagram(c)),
        ("confused classes", lambda: confusion.confusions(c, samples)),
        ("training curves", lambda: epochs.training_curves(c)),
        ("class weights over epochs", lambda: epochs.class_weights(c)),
        ("learned weights over epochs", lambda: epochs.learned_weights(c)),
    ]


def _drawings(sections: list[Section]) -> Iterator[tuple[Section, Drawing]]:
    """Every figure that can be drawn, one at a time; sections note what cannot, and why."""
    count = 0
    for section in sections:
        if count >= MOST_FIGURES:
            said = (
                f"the page holds {MOST_FIGURES} figures already; `longtail report RUN --html` draws this run"
            )
            section.left_out.append(f"All figures: {said}.")
            log.warning("%s: without figures, %s", section.title, said)
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


def _on_page(drawing: Drawing, anchor: str) -> Shown:
    pictures = [
        (f"data:image/png;base64,{base64.b64encode(picture.png).decode()}", picture.text)
        for picture in drawing.pictures
    ]
    svg = page_svg(drawing, f"{anchor}-{drawing.key}")
    return Shown(drawing.key, drawing.heading, drawing.reading, svg, pictures)


# -- how it is written ------------------------------------------------------------------------------------


def _environment():
    from jinja2 import Environment, PackageLoader, StrictUndefined

    loader = PackageLoader("longtail.pipeline.page")
    return Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True)


def _render(sections: list[Section], rows: list[dict[str, Any]]) -> str:
    runs = [section for section in sections if section.chapter is not None]
    anchors = {s.chapter.identity: (s.anchor, s.title) for s in runs}
    data = list(dict.fromkeys(section.chapter.settings["data"] for section in runs))
    return (
        _environment()
        .get_template("page.html")
        .render(
            title=f"Long-tailed recognition: {', '.join(data)}",
            table=results_table(rows, anchors),
            together=sections[0],
            runs=runs,
            facts={section.anchor: _facts(section.chapter) for section in runs},
            on_test=any(r["protocol"] == "paper" for section in runs for r in section.chapter.results),
            classifiers=sum(len(section.chapter.results) for section in runs),
            representations=len({s.chapter.representation or s.chapter.key for s in runs}),
            most_open=MOST_OPEN,
            long_table=LONG_TABLE,
            palette=PALETTE,
        )
    )


def _facts(chapter: Chapter) -> list[tuple[str, str]]:
    """Where a chapter's numbers come from, as (name, text)."""
    said, first = chapter.provenance, chapter.results[0]
    named = {key: chapter.settings[key] for key in matrix.NAMED if key in chapter.settings}
    every = named | chapter.settings.get("all", {})
    settings = ", ".join(f"{key} {value_text(value)}" for key, value in every.items() if value is not None)
    machine = said.get("platform") and f"{said['platform']}, {said['cores']} cores"
    environment = ", ".join(f"{k} {v}" for k, v in said.get("environment", {}).items())
    versions = ", ".join(f"{name} {number}" for name, number in first["versions"].items())
    protocols = sorted({result["protocol"] for result in chapter.results})
    fits = ", ".join(f"{chapter.label(r)} {r['run']} ({r['seconds']:.2g} s)" for r in chapter.results)
    limits = chapter.thresholds
    found = [
        ("representation", chapter.representation),
        ("features", chapter.key),
        ("classifiers", fits),
        ("settings", settings),
        ("seeds", f"training {chapter.seed}, split and subset {chapter.data_seed}"),
        ("protocol", ", ".join(protocols)),
        ("shot groups", f"many > {limits['many']}, few < {limits['few']} training samples"),
        ("command", " ".join(said.get("command", []))),
        ("began", said.get("began")),
        ("machine", machine),
        ("environment", environment),
        ("versions", versions),
    ]
    return [(name, text) for name, text in found if text]
