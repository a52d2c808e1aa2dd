"""The page: every figure of every run, its table and its provenance, in one file that loads nothing."""

from __future__ import annotations

import importlib
import logging
from collections.abc import Iterable, Sequence
from pathlib import Path

from longtail.pipeline.compare.ablation_table import AblationCell
from longtail.pipeline.errors import LongtailError
from longtail.pipeline.files.outputs import output_folder, output_path
from longtail.pipeline.files.publish import publish_bytes
from longtail.pipeline.page.figures.drawing import PALETTE, Drawing, house_style
from longtail.pipeline.page.figures.figure_files import figure_file
from longtail.pipeline.page.provenance import provenance_lines
from longtail.pipeline.page.run_results import runs_of
from longtail.pipeline.page.sections import PageSection, drawings, page_figure, page_sections
from longtail.pipeline.page.table import results_table
from longtail.pipeline.store.finished_results import ReferenceResults
from longtail.pipeline.store.store import Store
from longtail.pipeline.tables.records import Record
from longtail.stages.data.files.user_path import user_path

log = logging.getLogger("longtail")

NEEDS_EXTRA = "figures need matplotlib and jinja2: pip install 'longtail[report]'"
MOST_OPEN = 3  # more runs than these begin folded
LONG_TABLE = 20  # rows, beyond which what all runs show together comes first


def write_page(
    store: Store,
    groups: Iterable[ReferenceResults],
    records: Sequence[Record],
    *,
    html: str | Path | None = None,
    figures: str | Path | None = None,
    form: str = "svg",
    cells: Sequence[AblationCell] = (),
    force: bool = False,
) -> None:
    """Write finished runs as one page, `html`, and every figure as a file of `form` below `figures`.

    `records` are those of the page's table, `cells` those of an ablation, if it is one. ImportError without
    the extra ``report``, LongtailError when nothing was judged on test, and for a file in the way that
    longtail did not write, unless `force`.
    """
    need_libraries()
    check_outputs(html, figures, force=force)
    runs = runs_of(store, groups)
    if not runs:
        raise LongtailError(
            "no run judged on the test split: nothing to draw; `longtail run CONFIG` makes one"
        )
    sections = page_sections(runs, cells)
    count = 0
    with house_style():
        for section, drawing in drawings(sections):
            count += 1
            if figures is not None:
                path = user_path(figures) / f"{section.anchor}-{drawing.key}.{form}"
                publish_bytes(
                    output_path(path, "a figure", replaces=True, force=force), figure_file(drawing, form)
                )
            if html is not None:
                section.shown.append(page_figure(drawing, section.anchor))
    if figures is not None:
        log.info("%s: %d figures", figures, count)
    if html is not None:
        page = _page_html(sections, records).encode()
        publish_bytes(output_path(html, "a page", replaces=True, force=force), page)
        log.info("%s: %d figures, %.1f MB", html, count, len(page) / 1e6)


def check_outputs(html: str | Path | None, figures: str | Path | None, *, force: bool = False) -> None:
    """LongtailError where :func:`write_page` may not write; better before the work than after it."""
    if html is not None:
        output_path(html, "a page", replaces=True, force=force)
    if figures is not None:
        output_folder(figures, "figures")


def write_drawing(drawing: Drawing, path: Path) -> None:
    """Write one figure as svg, png or a page of its own (html), by the file's ending."""
    if path.suffix == ".html":
        figure = page_figure(drawing, "figure")
        template = _environment().get_template("figure.html")
        publish_bytes(path, template.render(title=figure.title, shown=figure, palette=PALETTE).encode())
    else:
        publish_bytes(path, figure_file(drawing, path.suffix.removeprefix(".")))


def need_libraries() -> None:
    """ImportError naming the extra when matplotlib or jinja2 is missing."""
    for library in ("matplotlib", "jinja2"):
        try:
            importlib.import_module(library)
        except ImportError as error:
            raise ImportError(NEEDS_EXTRA) from error


def _environment():
    from jinja2 import Environment, PackageLoader, StrictUndefined

    loader = PackageLoader("longtail.pipeline.page")
    return Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True)


def _page_html(sections: Sequence[PageSection], records: Sequence[Record]) -> str:
    together, *by_run = sections
    runs = [section.run for section in by_run]
    anchors = {section.run.identity: (section.anchor, section.title) for section in by_run}
    data = list(dict.fromkeys(run.settings.data for run in runs))
    return (
        _environment()
        .get_template("page.html")
        .render(
            title=f"Long-tailed recognition: {', '.join(data)}",
            table=results_table(records, anchors),
            together=together,
            runs=by_run,
            facts={section.anchor: provenance_lines(section.run) for section in by_run},
            on_test=any(result.chosen_on_test for run in runs for result in run.results),
            classifiers=sum(len(run.results) for run in runs),
            representations=len({run.id for run in runs}),
            most_open=MOST_OPEN,
            long_table=LONG_TABLE,
            palette=PALETTE,
        )
    )
