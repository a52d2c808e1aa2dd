"""`report`: which runs it finds and how it prints them."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import numpy as np
import pytest

from longtail.pipeline.config import strict_yaml
from longtail.pipeline.config.loading import load_config
from tests.command_line import (
    CLASSIFIERS,
    SMALL,
    failed,
    ok,
    records,
    snapshot,
)
from tests.finished_runs import named


def ids(root: Path, *arguments: str | Path) -> list[str]:
    return [record["run"] for record in records(root, "report", *arguments)]


def test_report_finds_a_run_by_everything_it_is_called(root, tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text(strict_yaml.dump(load_config(SMALL[0], SMALL[1:]).full()))
    everything = records(root, "report")
    assert {record["classifier"] for record in everything} == set(CLASSIFIERS)
    runs = {record["run"] for record in everything}
    one, two = everything[0]["representation"], next((root / "features").iterdir()).name
    folder = root / "representations" / one
    for reference in (path, one, one[:9], folder, f"{folder}/", two, root / "features" / two):
        assert set(ids(root, reference)) == runs, reference
    for record in everything:
        for reference in (record["run"], record["run"][:9], root / "classifiers" / record["run"]):
            assert ids(root, reference) == [record["run"]]


def test_report_finds_a_directory_from_inside(root, monkeypatch):
    name = next((root / "representations").iterdir()).name
    monkeypatch.chdir(root / "representations")
    assert len(ids(root, f"./{name}")) == len(CLASSIFIERS)
    monkeypatch.chdir(name)
    assert len(ids(root, ".")) == len(CLASSIFIERS)


def test_report_of_a_config_keeps_its_order_and_prints_what_run_printed(first, tmp_path):
    root, printed = first
    path = tmp_path / "mine.yaml"
    path.write_text(strict_yaml.dump(load_config(SMALL[0], SMALL[1:]).full()))
    assert ok("--root", root, "report", path).out == printed.out


def test_report_names_each_run_once(root):
    everything = ids(root)
    assert sorted(ids(root, everything[0], everything[1], everything[0])) == sorted(everything[:2])


@pytest.mark.parametrize("reference", ["nonsense", "0123456789abcdef", "no/such/folder", "gone.yaml"])
def test_report_of_something_unknown_fails_on_one_line(root, reference):
    assert failed(1, "--root", root, "report", reference) == [
        f"error: {reference}: is no directory, id or configuration here"
    ]


def test_report_of_a_config_never_run_fails_with_the_reason(root):
    (line,) = failed(1, "--root", root, "report", "digits_lt")
    assert "digits_lt: has no finished run under" in line


def test_report_of_an_empty_root_fails_with_the_reason(tmp_path):
    (line,) = failed(1, "--root", tmp_path, "report")
    assert "no finished run under" in line and "longtail run" in line


@pytest.mark.parametrize("verb", ["report", "show"])
def test_directory_of_another_root_is_refused_with_the_root_to_say(root, tmp_path, verb):
    folder = next((root / "representations").iterdir())
    (line,) = failed(1, "--root", tmp_path, verb, folder)
    assert "lies under another root" in line and f"--root {root}" in line


def test_evaluation_thresholds_regroup_a_finished_run(first):
    root, _ = first
    before = snapshot(root)
    usual = records(root, "run", *SMALL)
    other = records(root, "run", *SMALL, "evaluation={many: 100, few: 50}")
    assert snapshot(root) == before
    for one, two in zip(usual, other, strict=True):
        assert one["run"] == two["run"]
        classes = two["metrics"]["class_accuracy"]  # counts 110 78 56 40 29 20 14 10 7 5
        assert two["metrics"]["many"] == pytest.approx(classes[0])
        assert two["metrics"]["medium"] == pytest.approx(np.mean(classes[1:3]))
        assert two["metrics"]["few"] == pytest.approx(np.mean(classes[3:]))
        assert one["metrics"]["accuracy"] == two["metrics"]["accuracy"]


def test_group_without_classes_is_null_and_a_dash(root):
    nobody = "evaluation={many: 1000, few: 0}"
    for record in records(root, "run", *SMALL, nobody):
        assert record["metrics"]["many"] is None and record["metrics"]["few"] is None
        assert record["metrics"]["medium"] == pytest.approx(record["metrics"]["balanced_accuracy"])
    row = ok("--root", root, "run", *SMALL, nobody).out.splitlines()[3]
    assert row.split()[2] == "–" and row.split()[4] == "–"


def test_damaged_record_is_named_and_left_out(first, tmp_path):
    root = tmp_path / "copy"
    subprocess.run(["cp", "-a", first[0], root], check=True)
    path = named(root, "classifiers/*/result.json", classifier="crt")
    content = bytearray(path.read_bytes())
    content[100] ^= 1
    path.write_bytes(content)
    outcome = ok("--root", root, "report", "--format", "json")
    assert path.parent.name not in [record["run"] for record in json.loads(outcome.out)]
    assert f"warning: {path}" in outcome.err
    again = ok("--root", root, "run", *SMALL)
    assert again.out == first[1].out and str(path) in again.err
