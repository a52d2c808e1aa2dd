"""The page is one file that loads nothing, holds every figure and says what it lacks."""

from __future__ import annotations

import re
import shutil
from dataclasses import replace
from xml.etree import ElementTree

import pytest

pytest.importorskip("matplotlib", reason="figures need the extra `report`")
pytest.importorskip("jinja2", reason="the page needs the extra `report`")

from longtail.pipeline.errors import LongtailError
from longtail.pipeline.files.outputs import OURS, output_path
from longtail.pipeline.page import page as page_module
from longtail.pipeline.page import sections as sections_module
from longtail.pipeline.page.figures import classes
from longtail.pipeline.page.figures.drawing import PALETTE, house_style
from longtail.pipeline.page.figures.figure_files import figure_file, page_svg
from longtail.pipeline.store.finished_results import find_results
from longtail.pipeline.store.store import Store
from longtail.pipeline.tables.records import records
from tests.command_line import longtail
from tests.pipeline.page.contents import EVERY_FIGURE, SHARED_FIGURES, result, run_of


@pytest.fixture
def root(page):
    """The output root that the page is about."""
    return page.parent / "root"


@pytest.fixture
def run(root):
    return run_of(root)


def test_page_holds_every_figure_of_every_run_and_the_shared_ones(page):
    ids = re.findall(r'<figure id="(all|run-\w+)-(\w+)-figure">', page.read_text())
    runs = {run for run, _ in ids} - {"all"}
    assert len(runs) == 2
    for run in runs:
        assert {key for r, key in ids if r == run} == EVERY_FIGURE
    assert {key for r, key in ids if r == "all"} == SHARED_FIGURES


def test_page_names_no_address_but_xml_namespaces(page):
    text = page.read_text()
    assert re.findall(r".{30}https?:.{20}", text.replace('xmlns="http://www.w3.org', "")) == []
    loaded = re.findall(r'(?:src|href|action|data)="([^"]*)"', text)
    assert loaded and all(address.startswith(("#", "data:")) for address in loaded)
    assert "@import" not in text and not re.search(r"url\((?!#)", text)


def test_every_drawing_has_a_text_and_ids_are_unique(page):
    text = page.read_text()
    svgs = re.findall(r"<svg[^>]*>", text)
    assert len(svgs) == 2 * len(EVERY_FIGURE) + len(SHARED_FIGURES)
    for svg in svgs:
        assert 'role="img"' in svg and len(re.search(r'aria-label="([^"]+)"', svg)[1]) > 60
    assert all(alt for alt in re.findall(r'<img [^>]*alt="([^"]*)"', text))
    ids = re.findall(r'\sid="([^"]+)"', text)
    assert len(ids) == len(set(ids))
    assert set(re.findall(r'href="#([^"]+)"', text)) | set(re.findall(r"url\(#([^)]+)\)", text)) <= set(ids)


def test_colours_follow_the_readers_scheme(page):
    drawn = "".join(re.findall(r"<svg.*?</svg>", page.read_text(), re.DOTALL))
    left = {light for _, light, _ in PALETTE if light in drawn}
    assert left == set() and "var(--ink)" in drawn


def test_results_table_is_that_of_the_records(page, root):
    rows = [row for results, _ in find_results(Store(root), ()) for row in records(results)]
    table = re.search(r"<tbody>(.*?)</tbody>", page.read_text(), re.DOTALL)[1]
    values = [re.findall(r'class="number" data-value="([^"]*)"', line) for line in table.split("</tr>")[:-1]]
    keys = ("balanced_accuracy", "many", "medium", "few", "class_accuracy_std", "worst_class_accuracy",
            "accuracy", "top5_accuracy", "ece")  # fmt: skip
    expected = [["" if row.metrics[k] is None else str(row.metrics[k]) for k in keys] for row in rows]
    assert sorted(values) == sorted(expected)


def test_results_table_follows_the_sections_and_links_each_row_to_its_own(page, root):
    text = page.read_text()
    table = re.search(r"<tbody>(.*?)</tbody>", text, re.DOTALL)[1]
    links = re.findall(r'<a href="#(run-[^"]*)"', table)
    sections = re.findall(r'id="(run-[0-9a-f]{8})"', text)
    assert list(dict.fromkeys(links)) == list(dict.fromkeys(sections))
    rows = [row for results, _ in find_results(Store(root), ()) for row in records(results)]
    for line in table.split("</tr>")[:-1]:
        anchor = re.search(r'href="#run-([0-9a-f]{8})', line)[1]
        reached = re.search(r'class="number" data-value="([^"]*)"', line)[1]
        ours = [r for r in rows if r.result.representation.startswith(anchor)]
        assert reached in [str(r.metrics["balanced_accuracy"]) for r in ours]


def test_the_page_of_an_ablation_has_its_runs_and_its_differences(root, tmp_path):
    path = tmp_path / "ablation.html"
    small = ["representation.epochs=2", "system.threads=1", "system.device=cpu", "classifiers=[joint, ncm]"]
    vary = ["--vary", "representation.sampler=instance_balanced,square_root", "--html", path]
    outcome = longtail("--root", tmp_path / "root", "ablate", "digits_lt", *small, *vary)
    assert outcome.status == 0, outcome.err
    text = path.read_text()
    assert re.findall(r'<figure id="all-(\w+)-figure">', text) == [
        "matrix",
        "differences",
        "norms_by_sampler",
    ]
    assert len(set(re.findall(r'<figure id="(run-\w+)-', text))) == 2
    gaps = [line for line in outcome.out.splitlines() if "[" in line]
    assert len(gaps) == 2 and "Against instance_balanced/joint:" in text


def test_a_long_table_stands_below_what_all_runs_show(page, root, tmp_path, monkeypatch):
    def order(path):
        text = path.read_text()
        return text.index('id="results"') < text.index('id="all"')

    assert order(page)
    monkeypatch.setattr(page_module, "LONG_TABLE", 3)
    monkeypatch.setattr(sections_module, "_figures", lambda run, samples: [])
    groups = find_results(Store(root), ())
    rows = [row for results, _ in groups for row in records(results)]
    page_module.write_page(Store(root), groups, rows, html=tmp_path / "page.html")
    assert not order(tmp_path / "page.html")


def test_names_of_classes_cannot_become_markup(root, tmp_path, monkeypatch):
    monkeypatch.setattr(
        sections_module, "_figures", lambda run, samples: [("counts", lambda: classes.class_counts(run))]
    )
    store = Store(root)
    ((results, thresholds),) = find_results(store, ())
    hostile = ['<script>alert("&")</script>', "$x^2$", "a'b\"c", *"3456789"]
    renamed = [replace(result, class_names=hostile) for result in results[:5]]
    page_module.write_page(store, [(renamed, thresholds)], records(renamed), html=tmp_path / "page.html")
    text = (tmp_path / "page.html").read_text()
    assert "<script>alert" not in text and "&lt;script" in text
    drawn = re.search(r'<figure id="[^"]*class_counts-figure">.*?(<svg.*?</svg>)', text, re.DOTALL)[1]
    shown = [t.text for t in ElementTree.fromstring(drawn).iter() if t.tag.endswith("text")]
    assert "$x^2$" in shown


def test_what_is_gone_is_listed_and_the_rest_drawn(root, tmp_path):
    copy = tmp_path / "root"
    shutil.copytree(root, copy)
    shutil.rmtree(copy / "features")
    for path in copy.glob("representations/*/history.jsonl"):
        path.unlink()
    (run, *_) = sorted(p.name for p in (copy / "representations").iterdir())
    outcome = longtail("--root", copy, "report", run, "--html", tmp_path / "page.html")
    text = (tmp_path / "page.html").read_text()
    drawn = set(re.findall(r'<figure id="run-\w+?-(\w+)-figure">', text))
    assert outcome.status == 0 and drawn == EVERY_FIGURE - {"accuracy_over_tau", "training_curves"}
    assert (
        "Accuracy over τ: the cached features are gone; `longtail extract CONFIG` makes them again." in text
    )
    assert "history.jsonl is gone." in text


def test_a_page_has_a_limit_with_a_warning(root, tmp_path, monkeypatch):
    monkeypatch.setattr(sections_module, "MOST_FIGURES", 3)
    monkeypatch.setattr(
        sections_module, "_figures", lambda run, samples: [("counts", lambda: classes.class_counts(run))] * 3
    )
    outcome = longtail("--root", root, "report", "--html", tmp_path / "page.html")
    assert (tmp_path / "page.html").read_text().count("<figure ") == 5
    assert "the page holds 3 figures already; `longtail report RUN --html` draws this run" in outcome.err


@pytest.mark.parametrize(("options", "begins"), [([], b"<?xml"), (["--figures-format", "png"], b"\x89PNG")])
def test_figures_are_files_of_their_own(root, tmp_path, monkeypatch, options, begins):
    monkeypatch.setattr(
        sections_module, "_figures", lambda run, samples: [("counts", lambda: classes.class_counts(run))]
    )
    outcome = longtail("--root", root, "report", "--figures", tmp_path / "figures", *options)
    files = sorted(p.name for p in (tmp_path / "figures").iterdir())
    assert outcome.status == 0 and "balanced" in outcome.out
    form = options[1] if options else "svg"
    assert [name.partition(".")[2] for name in files] == [form] * 4
    assert sum(name.endswith(f"-class_counts.{form}") for name in files) == 2
    assert all((tmp_path / "figures" / name).read_bytes().startswith(begins) for name in files)


def test_figure_format_without_figures_is_a_usage_error(root):
    outcome = longtail("--root", root, "report", "--figures-format", "png")
    assert outcome.status == 2 and "--figures-format is for --figures DIR" in outcome.err


@pytest.mark.parametrize("library", ["matplotlib", "jinja2"])
def test_missing_library_names_the_extra(root, tmp_path, monkeypatch, library):
    monkeypatch.setitem(__import__("sys").modules, library, None)
    outcome = longtail("--root", root, "report", "--html", tmp_path / "page.html")
    assert outcome.status == 1 and "pip install 'longtail[report]'" in outcome.err
    assert not (tmp_path / "page.html").exists()


def test_nothing_judged_on_test_is_nothing_to_draw(store, tmp_path):
    untested = result()
    del untested.metrics["test"]
    with pytest.raises(Exception, match="no run judged on the test split"):
        page_module.write_page(store, [([untested], None)], [], html=tmp_path / "page.html")


def test_drawing_is_the_same_bytes_again_and_leaves_matplotlib_as_it_was(run):
    import matplotlib

    before = dict(matplotlib.rcParams)
    with house_style():
        one, other = classes.class_counts(run), classes.class_counts(run)
        assert page_svg(one, "a") == page_svg(other, "a")
        assert figure_file(one, "svg") == figure_file(other, "svg")
    assert dict(matplotlib.rcParams) == before


def test_what_is_written_is_known_as_ours_and_replaced_by_the_next(page, run, tmp_path):
    page_module.check_outputs(page, tmp_path)
    with house_style():
        drawing = classes.class_counts(run)
        for suffix in OURS:
            path = tmp_path / f"figure{suffix}"
            page_module.write_drawing(drawing, path)
            assert output_path(path, "a figure", replaces=True) == path
            path.write_bytes(path.read_bytes().replace(b"longtail", b"somebody"))
            with pytest.raises(LongtailError, match="exists already"):
                output_path(path, "a figure", replaces=True)
