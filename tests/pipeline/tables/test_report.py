"""Reports tell runs apart, keep the configuration's order, and go class by class."""

from __future__ import annotations

import csv
import io
import json
import re

import numpy as np
import pytest

from longtail.pipeline.config.loading import load_config
from longtail.pipeline.tables.headings import differing_settings, heading
from longtail.pipeline.tables.records import Record
from tests.command_line import SMALL, failed, ok, records
from tests.pipeline.store.results import finished_result, run_settings

CHOSEN = "classifiers=[ncm, joint, {name: tau_norm, tau: 1}]"
RUN = (*SMALL, "representation.epochs=1", CHOSEN)


@pytest.fixture(scope="session")
def root(shared):
    """A run, and two that differ from it: in the rate, and stopped before all its epochs."""
    slower = ["representation.optimizer.lr=0.05"]
    stopped = ["representation.epochs=9", "representation.early_stopping=1", "seed=1"]

    def fill(folder):
        for more in ([], slower, [*stopped, "representation.optimizer.lr=1e-9"]):
            ok("--root", folder / "root", "run", *RUN, *more)

    return shared.make("three_runs", fill) / "root"


def titles(text: str) -> list[str]:
    return [table.splitlines()[0] for table in text.split("\n\n")]


def test_titles_name_the_settings_in_which_shown_runs_differ_and_no_others(root):
    shown_titles = titles(ok("--root", root, "report").out)
    assert len(shown_titles) == 3
    rates = {re.search(r"optimizer.lr=(\S+)", title)[1]: title for title in shown_titles}
    assert set(rates) == {"0.1", "0.05", "1e-09"}
    assert " · 1 epoch · " in rates["0.1"] and "seed 0" in rates["0.1"]
    assert re.search(r" · [2-8] of 9 epochs · .*early_stopping=1", rates["1e-09"]), rates["1e-09"]
    assert "seed 1" in rates["1e-09"]
    for title in shown_titles:
        assert "momentum" not in title and "batch_size" not in title and "seed=" not in title
    assert "=" not in titles(ok("--root", root, "report", *RUN).out)[0]  # alone, nothing tells it apart


def test_a_config_with_overrides_names_the_run_they_made(root):
    for more in ([], ["representation.optimizer.lr=0.05"]):
        assert ok("--root", root, "report", *RUN, *more).out == ok("--root", root, "run", *RUN, *more).out
    (line,) = failed(1, "--root", root, "report", *RUN, "seed=7")
    assert "seed=7: has no finished run under" in line
    (line,) = failed(2, "--root", root, "report", "seed=7")
    assert line == "error: seed=7: KEY=VALUE goes with a configuration; name one before it"


def test_rows_come_in_the_order_of_the_configuration(root):
    order = ["ncm", "joint", "tau_norm"]
    run = records(root, "run", *RUN)
    assert [row["classifier"] for row in run] == order
    assert [row["classifier"] for row in records(root, "report")] == order * 3
    assert records(root, "report", run[0]["representation"]) == run


def row(data: str = "image_folder", further=(), **settings) -> Record:
    """A record of a run with these settings of its data and `further` ones."""
    own = run_settings(
        data=data, all={f"data.{key}": value for key, value in settings.items()} | dict(further)
    )
    return Record(finished_result(settings=own, representation="id"), "test", {"many": 100, "few": 20}, {})


def headings(*rows: Record) -> list[str]:
    """The heading of each row beside the others."""
    differing = differing_settings([row.result for row in rows])
    return [heading(row, differing) for row in rows]


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ("/a/cats", "/b/dogs/", "data.root=dogs"),
        ("/a/cats", "/b/cats", "data.root=/b/cats"),  # the last part is the same
        ("/a/cats", "/a/cats", None),
    ],
)
def test_folders_are_called_by_their_name_where_names_differ(one, other, expected):
    title = headings(row(root=one, resize=None), row(root=other, resize=None))[1]
    assert title.split(" · ")[2:-3] == ([expected] if expected else [])


def test_runs_on_other_data_are_not_compared():
    rows = [row(root="/a", image_size=32), row("image_list", image_size=64)]
    assert headings(*rows)[0] == heading(rows[0], {})


def test_a_component_that_some_runs_lack_is_in_their_headings():
    rows = [
        row(further={"reweighting": None}),
        row(further={"reweighting.name": "l2rw", "reweighting.per_class": 10}),
    ]
    assert [title.split(" · ")[2] for title in headings(*rows)] == ["reweighting=null", "reweighting=l2rw"]


# -- class by class ---------------------------------------------------------------------------------------


def test_classes_are_rows_by_name_with_count_and_group(root):
    table = ok("--root", root, "run", *RUN, "--classes").out.splitlines()
    assert table == ok("--root", root, "report", *RUN, "--classes").out.splitlines()
    assert re.split(r"\s{2,}", table[1]) == [
        "class",
        "train",
        "group",
        "test",
        "ncm",
        "joint",
        "tau_norm tau=1",
    ]
    rows = [line.split() for line in table[3:]]
    published = records(root, "run", *RUN)
    assert [r[0] for r in rows] == [str(d) for d in range(10)] == published[0]["class_names"]
    assert (
        [int(r[1]) for r in rows] == [110, 78, 56, 40, 29, 20, 14, 10, 7, 5] == published[0]["class_counts"]
    )
    assert [r[2] for r in rows] == ["many"] * 3 + ["medium"] * 3 + ["few"] * 4
    assert [int(r[3]) for r in rows] == [40] * 10 == published[0]["class_samples"]
    for column, record in enumerate(published, 4):
        shown = [float(r[column]) for r in rows]
        np.testing.assert_allclose(shown, 100 * np.array(record["metrics"]["class_accuracy"]), atol=0.051)


def test_groups_follow_the_thresholds_asked_for(root):
    table = ok("--root", root, "report", *RUN, "evaluation={many: 30, few: 8}", "--classes").out.splitlines()
    assert [line.split()[2] for line in table[3:]] == ["many"] * 4 + ["medium"] * 4 + ["few"] * 2


def test_classes_in_every_format_say_the_same(root):
    plain, split = ["--root", root, "report", *RUN, "--classes"], ["--split", "all"]
    entries = json.loads(ok(*plain, *split, "--format", "json").out)
    assert len(entries) == 2 * 3 * 10
    assert list(entries[0])[-5:] == ["class", "train", "group", "samples", "accuracy"]
    rows = list(csv.DictReader(io.StringIO(ok(*plain, *split, "--format", "csv").out)))
    assert [(r["classifier"], r["split"], r["class"], float(r["accuracy"])) for r in rows] == [
        (e["classifier"], e["split"], e["class"], e["accuracy"]) for e in entries
    ]
    markdown = ok(*plain, "--format", "markdown").out.splitlines()
    assert markdown[2] == "| class | train | group | test | ncm | joint | tau_norm tau=1 |"
    assert all(line.count("|") == 8 for line in markdown[2:])


def test_dry_run_has_no_classes_to_show(tmp_path):
    *_, line = failed(2, "--root", tmp_path, "run", *RUN, "--dry-run", "--classes")
    assert "--dry-run prints no results" in line


def test_every_recipe_parameter_has_a_dotted_name():
    from longtail.pipeline.config.choices import flat

    settings = flat(load_config("digits_lt").full())
    assert settings["representation.optimizer.lr"] == 0.1 and settings["data.seed"] == 0
