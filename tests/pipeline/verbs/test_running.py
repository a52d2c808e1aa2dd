"""`run`, and one stage at a time."""

from __future__ import annotations

import csv
import io
import json
import re
import subprocess
from pathlib import Path

import numpy as np
import pytest

from tests.command_line import (
    CLASSIFIERS,
    HEAVY,
    SMALL,
    in_process,
    ok,
    records,
    snapshot,
)
from tests.pipeline.verbs.keys import RECORD_KEYS

METRIC_KEYS = [
    "accuracy", "top5_accuracy", "balanced_accuracy", "macro_precision", "many", "medium", "few",
    "class_accuracy", "class_accuracy_std", "worst_class_accuracy", "ece",
]  # fmt: skip


# -- run -------------------------------------------------------------------------------------------------


def test_run_prints_one_table_of_every_classifier(first):
    lines = first[1].out.splitlines()
    assert lines[0].startswith(
        "digits · small_cnn · instance_balanced · cross_entropy · 2 epochs · seed 0 · "
    )
    assert lines[0].endswith("test accuracy in %")
    assert re.split(r"\s{2,}", lines[1]) == [
        "classifier", "balanced", "many", "medium", "few", "class SD", "worst class",
    ]  # fmt: skip
    assert [line.split()[0] for line in lines[3:-1]] == CLASSIFIERS
    assert lines[-1] == "* best of its column"


def test_table_marks_the_best_of_each_column(first):
    rows = [re.split(r"\s{2,}", line) for line in first[1].out.splitlines()[3:-1]]
    assert {len(row) for row in rows} == {7}
    for column, best in zip(range(1, 7), (max, max, max, max, min, max), strict=True):
        cells = [row[column] for row in rows]
        values = [float(cell.rstrip("*")) for cell in cells]
        assert [cell.endswith("*") for cell in cells] == [value == best(values) for value in values]


def test_progress_goes_to_standard_error_only(first):
    assert "epoch 2/2" in first[1].err and "training" in first[1].err
    assert "epoch" not in first[1].out.replace("2 epochs", "")


def test_run_leaves_the_documented_tree(root):
    assert {path.name for path in root.iterdir()} <= {
        "representations",
        "features",
        "classifiers",
        "fingerprints.json",
    }
    assert len(list(root.glob("classifiers/*/DONE"))) == len(CLASSIFIERS)
    assert (
        len(list(root.glob("representations/*/DONE")))
        == len(list(root.glob("features/*/manifest.json")))
        == 1
    )


@pytest.mark.parametrize("verb", ["run", "represent", "report", "show", "--help", "list"])
def test_command_that_finds_everything_done_loads_nothing_heavy(first, verb):
    root, printed = first
    arguments = {"--help": [verb], "list": [verb]}.get(verb, [verb, *SMALL])
    if verb == "report":
        arguments = [verb]
    before = snapshot(root)
    process = in_process(HEAVY, "--root", root, *arguments)
    assert process.returncode == 0
    assert process.stderr.strip() == "HEAVY"
    assert snapshot(root) == before
    if verb == "run":
        assert process.stdout == printed.out


def test_run_again_prints_the_same_and_touches_nothing(first):
    root, printed = first
    before = snapshot(root)
    again = ok("--root", root, "run", *SMALL)
    assert again.out == printed.out and again.err == ""
    assert snapshot(root) == before


def test_json_records_have_the_documented_keys(root):
    result_records = records(root, "run", *SMALL)
    assert [record["classifier"] for record in result_records] == CLASSIFIERS
    for record in result_records:
        assert list(record) == RECORD_KEYS
        assert list(record["metrics"]) == METRIC_KEYS
        assert (record["split"], record["seed"], record["data_seed"]) == ("test", 0, 0)
        assert record["protocol"] == "validation"
        assert (root / "classifiers" / record["run"] / "DONE").exists()
        assert (root / "representations" / record["representation"] / "DONE").exists()
    assert {record["classifier"]: list(record["params"]) for record in result_records} == {
        "joint": [], "crt": [], "ncm": [], "tau_norm": ["tau_"], "lws": [],
    }  # fmt: skip


def test_json_metrics_are_fractions_that_agree_with_each_other(root):
    for record in records(root, "run", *SMALL, "--split", "all"):
        metrics = dict(record["metrics"])
        classes = metrics.pop("class_accuracy")
        assert len(classes) == 10
        for value in [*classes, *metrics.values()]:
            assert value is None or 0 <= value <= 1
        assert metrics["ece"] is not None or record["classifier"] == "ncm"
        assert metrics["balanced_accuracy"] == pytest.approx(np.mean(classes))
        assert metrics["worst_class_accuracy"] == pytest.approx(min(classes))
        assert metrics["many"] == pytest.approx(np.mean(classes[:3]))
        assert metrics["few"] == pytest.approx(np.mean(classes[6:]))


def test_split_chooses_records(root):
    splits = {
        choice: [(r["classifier"], r["split"]) for r in records(root, "run", *SMALL, "--split", choice)]
        for choice in ("test", "val", "all")
    }
    assert splits["test"] == [(name, "test") for name in CLASSIFIERS]
    assert splits["val"] == [(name, "val") for name in CLASSIFIERS]
    assert splits["all"] == [(name, split) for name in CLASSIFIERS for split in ("val", "test")]


def test_split_all_draws_a_table_for_each_split(root):
    tables = ok("--root", root, "run", *SMALL, "--split", "all").out.split("\n\n")
    assert [table.splitlines()[0].split(" · ")[-1] for table in tables] == [
        "val accuracy in %", "test accuracy in %",
    ]  # fmt: skip


def test_csv_holds_the_same_figures_as_json(root):
    rows = list(csv.DictReader(io.StringIO(ok("--root", root, "run", *SMALL, "--format", "csv").out)))
    result_records = records(root, "run", *SMALL)
    assert [row["run"] for row in rows] == [record["run"] for record in result_records]
    for row, record in zip(rows, result_records, strict=True):
        assert json.loads(row["params"]) == record["params"]
        for key in METRIC_KEYS:
            if key != "class_accuracy":
                assert (float(row[key]) if row[key] else None) == record["metrics"][key]


def test_markdown_is_a_table_of_equal_columns(root):
    title, blank, *lines = ok("--root", root, "run", *SMALL, "--format", "markdown").out.splitlines()
    assert title.startswith("digits · ") and blank == ""
    assert len(lines) == 2 + len(CLASSIFIERS)
    assert all(line.startswith("|") and line.count("|") == 8 for line in lines)
    assert set(lines[1]) == set("|-:")
    assert sum("**" in line for line in lines) >= 1


def test_fresh_makes_everything_again_with_the_same_figures(tmp_path):
    small = [*SMALL, "classifiers=[joint, ncm]", "representation.epochs=1"]
    once = records(tmp_path, "run", *small)
    before = snapshot(tmp_path)
    assert records(tmp_path, "run", *small, "--fresh") == once
    after = snapshot(tmp_path)
    assert before.keys() == after.keys()
    assert all(after[name] > before[name] for name in before)


# -- one stage each --------------------------------------------------------------------------------------


def test_joint_is_the_joint_of_run(root):
    before = snapshot(root)
    assert records(root, "joint", *SMALL) == [
        r for r in records(root, "run", *SMALL) if r["classifier"] == "joint"
    ]
    assert snapshot(root) == before


def test_represent_and_extract_print_their_directories_and_do_nothing_twice(root):
    before = snapshot(root)
    one = Path(ok("--root", root, "represent", *SMALL).out.strip())
    two = Path(ok("--root", root, "extract", *SMALL).out.strip())
    assert one.parent == root / "representations" and (one / "DONE").is_file()
    assert two.parent == root / "features" and (two / "manifest.json").is_file()
    assert snapshot(root) == before


def test_classify_prints_what_run_prints_and_does_nothing_twice(first):
    root, printed = first
    before = snapshot(root)
    assert ok("--root", root, "classify", *SMALL).out == printed.out
    assert snapshot(root) == before


def test_another_classifier_leaves_earlier_stages_alone(first, tmp_path):
    root = tmp_path / "copy"
    subprocess.run(["cp", "-a", first[0], root], check=True)
    before = snapshot(root)
    outcome = ok("--root", root, "classify", *SMALL, "classifiers=[{name: tau_norm, tau: 1}]")
    assert (
        "tau_norm tau=1" in outcome.out and "training" not in outcome.err and "extracting" not in outcome.err
    )
    after = snapshot(root)
    new = {name for name in after if name not in before}
    assert {name: after[name] for name in before} == before
    assert {name.split("/")[0] for name in new} == {"classifiers"} and len(new) == 4
