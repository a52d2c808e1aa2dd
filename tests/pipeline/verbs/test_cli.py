"""The command line as a person uses it: real commands on real data, small."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import click
import numpy as np
import pytest

from longtail.pipeline.cli import cli
from longtail.pipeline.config import strict_yaml
from longtail.pipeline.config.components import KINDS, registry
from longtail.pipeline.config.loading import load_config
from longtail.pipeline.config.recipes import shipped
from tests.command_line import (
    CLASSIFIERS,
    HEAVY,
    MAIN,
    SMALL,
    Outcome,
    failed,
    in_process,
    longtail,
    ok,
    records,
    snapshot,
)
from tests.finished_runs import named
from tests.places import CHECKOUT

RECORD_KEYS = [
    "run",
    "representation",
    "classifier",
    "params",
    "split",
    "seed",
    "data_seed",
    "protocol",
    "metrics",
    "class_names",
    "class_counts",
    "class_samples",
]
METRIC_KEYS = [
    "accuracy", "top5_accuracy", "balanced_accuracy", "macro_precision", "many", "medium", "few",
    "class_accuracy", "class_accuracy_std", "worst_class_accuracy", "ece",
]  # fmt: skip


@pytest.fixture
def first(digits_run) -> tuple[Path, Outcome]:
    """An output root with one small finished run, and what that run printed."""
    return digits_run


@pytest.fixture
def root(first) -> Path:
    return first[0]


# -- run ----------------------------------------------------------------------------------------------------


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


@pytest.mark.parametrize("verb", ["run", "represent", "report", "--help", "list"])
def test_command_that_finds_everything_done_loads_nothing_heavy(first, verb):
    root, printed = first
    arguments = {"--help": [verb], "list": [verb]}.get(verb, [verb, *SMALL])
    if verb == "report":
        arguments = [verb]
    before = snapshot(root)
    found = in_process(HEAVY, "--root", root, *arguments)
    assert found.returncode == 0
    assert found.stderr.strip() == "HEAVY"
    assert snapshot(root) == before
    if verb == "run":
        assert found.stdout == printed.out


def test_run_again_prints_the_same_and_touches_nothing(first):
    root, printed = first
    before = snapshot(root)
    again = ok("--root", root, "run", *SMALL)
    assert again.out == printed.out and again.err == ""
    assert snapshot(root) == before


def test_json_records_have_the_documented_keys(root):
    found = records(root, "run", *SMALL)
    assert [record["classifier"] for record in found] == CLASSIFIERS
    for record in found:
        assert list(record) == RECORD_KEYS
        assert list(record["metrics"]) == METRIC_KEYS
        assert (record["split"], record["seed"], record["data_seed"]) == ("test", 0, 0)
        assert record["protocol"] == "validation"
        assert (root / "classifiers" / record["run"] / "DONE").exists()
        assert (root / "representations" / record["representation"] / "DONE").exists()
    assert {record["classifier"]: list(record["params"]) for record in found} == {
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
    found = records(root, "run", *SMALL)
    assert [row["run"] for row in rows] == [record["run"] for record in found]
    for row, record in zip(rows, found, strict=True):
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


# -- one stage each -----------------------------------------------------------------------------------------


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
    found = ok("--root", root, "classify", *SMALL, "classifiers=[{name: tau_norm, tau: 1}]")
    assert "tau_norm tau=1" in found.out and "training" not in found.err and "extracting" not in found.err
    after = snapshot(root)
    new = {name for name in after if name not in before}
    assert {name: after[name] for name in before} == before
    assert {name.split("/")[0] for name in new} == {"classifiers"} and len(new) == 4


# -- report -------------------------------------------------------------------------------------------------


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


def test_report_of_a_config_never_run_says_so(root):
    (line,) = failed(1, "--root", root, "report", "digits_lt")
    assert "digits_lt: has no finished run under" in line


def test_report_of_an_empty_root_says_so(tmp_path):
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
    found = ok("--root", root, "report", "--format", "json")
    assert path.parent.name not in [record["run"] for record in json.loads(found.out)]
    assert f"warning: {path}" in found.err
    again = ok("--root", root, "run", *SMALL)
    assert again.out == first[1].out and str(path) in again.err


# -- list and show ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_list_shows_every_name_with_its_source(kind):
    out = ok("list", kind).out
    for name in registry(kind).names():
        assert re.search(rf"^  {re.escape(name)}\b", out, re.MULTILINE), name
    assert out.count("Source: ") >= len(registry(kind).names())
    assert "Source: \n" not in out


def test_list_shows_every_parameter():
    out = ok("list").out
    for kind in KINDS:
        for name in registry(kind).names():
            for parameter in registry(kind).describe(name).parameters:
                assert f"· {parameter}: " in out


def test_list_configs_shows_every_recipe_with_its_purpose():
    lines = ok("list", "configs").out.splitlines()
    assert [line.split(":")[0].strip() for line in lines] == shipped()
    assert all(len(line.split(": ", 1)[1].split()) > 4 for line in lines)


def test_list_of_everything_has_every_kind():
    out = ok("list").out
    for kind in (*KINDS, "configs"):
        assert f"\n{kind}\n" in f"\n{out}"


def test_show_prints_a_config_that_reads_back_the_same_and_its_class_counts(root, tmp_path):
    settings, chart, progress = ok("--root", root, "show", *SMALL).out.split("\n\n")
    assert "state: finished, 2 epochs" in progress
    (tmp_path / "shown.yaml").write_text(settings)
    assert load_config(str(tmp_path / "shown.yaml")).full() == load_config(SMALL[0], SMALL[1:]).full()
    head, *bars, shots = chart.strip().splitlines()
    rows = [line.split() for line in bars]
    counts = [int(row[1]) for row in rows]
    assert counts == [110, 78, 56, 40, 29, 20, 14, 10, 7, 5]
    assert head == f"class counts ({sum(counts)} training samples, 10 classes)"
    widths = [row[2].count("█") for row in rows]
    assert widths == sorted(widths, reverse=True) and widths[0] == 40 and widths[-1] >= 1
    assert [row[3] for row in rows] == ["many"] * 3 + ["medium"] * 3 + ["few"] * 4
    assert "3 many, 3 medium, 4 few (many > 50, few < 20)" in shots
    assert "imbalance factor 22" in shots and "validation 200, test 400" in shots


def test_show_tells_from_when_deferred_weights_apply(root):
    weighted = "representation.loss={name: cross_entropy, weighting: inverse_frequency, start_epoch: %d}"
    heads = {}
    for epoch in (0, 3):
        lines = ok("--root", root, "show", *SMALL, weighted % epoch).out.splitlines()
        heads[epoch] = next(line for line in lines if line.startswith("class counts"))
        assert sum("  weight " in line for line in lines) == 10
    assert heads == {
        0: "class counts (369 training samples, 10 classes)",
        3: "class counts (369 training samples, 10 classes); the loss weighs from epoch 3 on",
    }


def test_show_of_a_run_tells_its_state(root):
    name = next((root / "representations").iterdir()).name
    for reference in (name, name[:10], root / "representations" / name):
        out = ok("--root", root, "show", reference).out
        assert out.splitlines()[0] == str(root / "representations" / name)
        assert "state: finished, 2 epochs" in out
        assert re.search(r"last epoch: loss \d+\.\d+, \d+ images/s", out)
        assert f"classifiers: {', '.join(sorted(CLASSIFIERS))}" in out


def test_show_of_features_or_a_classifier_tells_what_they_are(root):
    (representation,) = (path.name for path in (root / "representations").iterdir())
    (features,) = (path.name for path in (root / "features").iterdir())
    for reference in (features, features[:9], root / "features" / features):
        lines = ok("--root", root, "show", reference).out.splitlines()
        assert lines[0] == str(root / "features" / features)
        assert lines[1] == "features: train 369×64, val 200×64, test 400×64, float32"
        assert lines[2:4] == ["data: digits, 10 classes", f"representation: {representation}"]
        assert lines[4] == f"classifiers: {', '.join(sorted(CLASSIFIERS))}"
    for record in records(root, "report"):
        for reference in (record["run"], record["run"][:10], root / "classifiers" / record["run"]):
            out = ok("--root", root, "show", reference).out
            assert f"classifier: {record['classifier']}" in out and f"features: {features}" in out
            assert f"test balanced accuracy: {100 * record['metrics']['balanced_accuracy']:.1f} %" in out
            assert out.splitlines()[-1] == f"table: longtail report {record['run']}"


def test_settings_kept_with_a_run_read_back(root):
    (path,) = root.glob("representations/*/config.yaml")
    kept, config = strict_yaml.load(path.read_text()), load_config(SMALL[0], SMALL[1:])
    assert kept["representation"] == config.representation.full()


# -- bad input ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments",
    [["trian"], ["--root", "r"], ["run"], ["show"], ["run", "digits_lt", "--bad"], ["list", "cats"],
     ["run", "digits_lt", "--format", "xml"], ["run", "digits_lt", "--split", "train"],
     ["--root", "/etc/passwd", "report"]],
)  # fmt: skip
def test_bad_usage_exits_with_2(arguments):
    lines = failed(2, *arguments)
    assert lines[0].startswith("Usage: longtail")
    assert lines[-1].startswith("Error: ")


def test_no_verb_prints_the_help_and_exits_with_2():
    assert "Commands:" in failed(2)


def test_every_problem_of_a_config_is_one_line(tmp_path):
    lines = failed(
        2,
        "--root",
        tmp_path / "r",
        "run",
        "digits_lt",
        "seed=-1",
        "sed=2",
        "classifiers=[crtt]",
        "evaluation.few=90",
    )
    assert sorted(lines) == [
        "error: digits_lt: classifiers.0: unknown classifier 'crtt'; did you mean 'crt'?",
        "error: digits_lt: evaluation.few: must be ≤ evaluation.many (50), got 90",
        "error: digits_lt: sed: unknown key; did you mean 'seed'?",
        "error: digits_lt: seed: must be an integer ≥ 0, got -1",
    ]
    assert not (tmp_path / "r").exists()


@pytest.mark.parametrize("verb", ["run", "joint", "represent", "extract", "classify", "show"])
def test_unknown_config_is_one_line_for_every_verb(tmp_path, verb):
    (line,) = failed(2, "--root", tmp_path, verb, "digits_tl")
    assert line.endswith("did you mean 'digits_lt'?")


def test_show_of_an_id_that_no_result_has_says_so(tmp_path):
    assert failed(1, "--root", tmp_path, "show", "deadbeef") == [
        f"error: deadbeef: no id under {tmp_path} begins with it"
    ]


@pytest.mark.parametrize("recipe", ["features", "image_folder"])
@pytest.mark.parametrize("verb", ["run", "extract"])
def test_missing_data_is_one_line_and_leaves_nothing(tmp_path, verb, recipe):
    (line,) = failed(1, "--root", tmp_path / "r", verb, recipe, f"data.root={tmp_path}/gone")
    assert line.startswith("error: data.root: ") and f"{tmp_path}/gone" in line
    assert not (tmp_path / "r").exists()


def test_represent_of_features_says_there_is_nothing_to_train(tmp_path):
    np.savez(tmp_path / "f.npz", X=np.zeros((4, 2), np.float32), y=np.arange(4) % 2)
    (line,) = failed(1, "--root", tmp_path / "r", "represent", "features", f"data.root={tmp_path}/f.npz")
    assert "nothing to train" in line


def test_data_that_cannot_be_split_as_asked_is_one_line(tmp_path):
    *_, line = failed(1, "--root", tmp_path, "run", *SMALL, "data.max_count=5000")
    assert line.startswith("error: data.max_count: ") and "5000" in line


def test_device_that_is_not_there_is_one_line(tmp_path):
    (line,) = failed(2, "--root", tmp_path, "represent", *SMALL, "system.device=nonsense")
    assert line == "error: digits_lt: system.device: must be auto, cpu, cuda, cuda:N or mps, got 'nonsense'"
    *_, line = failed(1, "--root", tmp_path, "represent", *SMALL, "system.device=cuda:77")
    assert line.startswith("error: system.device: 'cuda:77' cannot be used here")


def test_root_that_cannot_be_written_is_one_line(tmp_path):
    (tmp_path / "file").touch()
    *_, line = failed(1, "--root", tmp_path / "file" / "root", "represent", *SMALL)
    assert line.startswith("error: ") and "Not a directory" in line


def test_traceback_is_shown_when_asked_for(tmp_path, monkeypatch):
    monkeypatch.setenv("LONGTAIL_TRACEBACK", "1")
    found = longtail("--root", tmp_path, "report", "nonsense")
    assert found.status == 1 and "Traceback" in found.err and found.out == ""


def test_root_is_taken_from_the_environment(root, monkeypatch):
    monkeypatch.setenv("LONGTAIL_ROOT", str(root))
    assert len(json.loads(ok("report", "--format", "json").out)) == len(CLASSIFIERS)


# -- help and documentation ---------------------------------------------------------------------------------


def command_of(verb: str) -> click.Command:
    """The command itself, imported."""
    return cli.commands[verb].load()


def example_of(command: click.Command) -> list[str]:
    """The words of a verb's example."""
    (line,) = [line.strip() for line in command.help.splitlines() if line.strip().startswith("Example: ")]
    return shlex.split(line.removeprefix("Example: "))


@pytest.mark.parametrize("verb", sorted(cli.commands))
def test_verb_has_help_with_an_example(verb):
    out = ok(verb, "--help").out
    assert out == ok(verb, "-h").out
    assert re.search(rf"^  Example: longtail {verb}\b.*\S$", out, re.MULTILINE)
    assert all(len(line) <= 80 for line in out.splitlines())
    shown = next(line for line in out.splitlines() if "Example: " in line)
    assert shlex.split(shown.split("Example: ")[1]) == example_of(command_of(verb))  # not broken in two


@pytest.mark.parametrize("verb", sorted(cli.commands))
def test_example_of_a_verb_is_valid(verb):
    program, name, *words = example_of(command_of(verb))
    assert (program, name) == ("longtail", verb)
    parent = click.Context(cli, **cli.context_settings)  # or the verb would forget -h for good
    context = cli.commands[verb].make_context(verb, list(words), parent=parent)  # options and their choices
    config = context.params.get("config") or context.params.get("reference")
    if config:
        load_config(config, context.params.get("overrides", ()))


def test_help_of_the_program_lists_every_verb_with_the_first_sentence_of_its_help():
    out = ok("--help").out
    assert "Example: longtail " in out
    for verb in cli.commands:
        first = re.match(r".*?\.(?=\s)", command_of(verb).help, re.DOTALL)[0]
        assert re.search(rf"^  {verb}  +{re.escape(first)}$", out, re.MULTILINE), verb


def test_option_that_verbs_share_is_the_same_everywhere():
    """Only the values to choose from may differ: `list` prints two of the four formats."""
    seen: dict[str, dict] = {}
    for verb in cli.commands:
        for option in command_of(verb).params:
            if isinstance(option, click.Option):
                described = option.to_info_dict()
                for key in ("type", "name"):
                    described.pop(key)
                for flag in option.opts:
                    assert seen.setdefault(flag, described) == described, f"{verb} {flag}"
    assert {"--fresh", "--force", "--format", "--split", "--html"} <= seen.keys()


@pytest.mark.parametrize("verb", sorted(cli.commands))
def test_every_option_of_a_verb_has_help(verb):
    options = [p for p in command_of(verb).params if isinstance(p, click.Option)]
    assert all(option.help and option.help.endswith(".") for option in options)
    assert command_of(verb).name == verb


def test_completion_of_verbs_and_help_import_no_verb():
    code = """
import sys
from click.shell_completion import ShellComplete
from longtail.pipeline.cli import cli
shell = ShellComplete(cli, {}, "longtail", "_LONGTAIL_COMPLETE")
assert {"run", "report", "represent"} == {item.value for item in shell.get_completions([], "r")}
cli.main(["--help"], standalone_mode=False)
heavy = {"torch", "numpy", "pydantic", "yaml", "annotated_types", "tqdm"} & set(sys.modules)
verbs = {name for name in sys.modules if name.startswith("longtail.pipeline.verbs.")}
print(sorted(heavy), sorted(verbs), file=sys.stderr)
"""
    completed = in_process(code)
    assert completed.returncode == 0, completed.stderr
    verbs = [f"longtail.pipeline.verbs.{name}" for name in ("catalogue", "console")]
    assert completed.stderr.splitlines()[-1] == f"[] {verbs}"


def test_version_is_printed():
    assert re.fullmatch(r"longtail, version \d+\.\d+\.\d+\S*\n", ok("--version").out)


def test_readme_has_every_verb():
    readme = (CHECKOUT / "README.md").read_text(encoding="utf-8")
    missing = [verb for verb in cli.commands if not re.search(rf"`{verb}\b|\blongtail {verb}\b", readme)]
    assert not missing


# -- pipes --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("arguments", [["list"], ["run", *SMALL], ["--help"]])
def test_closed_pipe_gives_no_traceback(root, arguments):
    read, write = os.pipe()
    os.close(read)
    command = [sys.executable, "-c", MAIN, "--root", str(root), *arguments]
    with os.fdopen(write, "wb") as stdout:
        found = subprocess.run(
            command, stdout=stdout, stderr=subprocess.PIPE, text=True, cwd=CHECKOUT, timeout=60
        )
    assert found.stderr == ""
    assert found.returncode == 1


def test_closed_standard_output_gives_no_traceback(root):
    command = (
        f"{shlex.quote(sys.executable)} -c {shlex.quote(MAIN)} --root {shlex.quote(str(root))} report >&-"
    )
    found = subprocess.run(command, shell=True, capture_output=True, text=True, cwd=CHECKOUT, timeout=60)
    assert "Traceback" not in found.stderr


def test_output_is_utf8_free_of_control_codes_when_piped(root):
    found = in_process(MAIN, "--root", root, "report", env={**os.environ, "PYTHONUTF8": "1"})
    assert found.returncode == 0 and "\x1b" not in found.stdout + found.stderr


# -- signals ------------------------------------------------------------------------------------------------


def test_interrupt_says_one_line_and_the_run_shows_as_under_way(tmp_path):
    arguments = ["--root", tmp_path, "represent", *SMALL, "representation.epochs=2000", "system.compile=off"]
    process = subprocess.Popen(
        [sys.executable, "-c", MAIN, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=CHECKOUT,
    )
    deadline = time.monotonic() + 60
    while not list(tmp_path.glob("representations/*/history.jsonl")) and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert out == "" and "Traceback" not in err
    assert err.splitlines()[-1] == "error: stopped by signal 2; the same command continues"
    (folder,) = (tmp_path / "representations").iterdir()
    assert re.search(r"state: under way, [1-9]\d* epochs? done", ok("--root", tmp_path, "show", folder).out)


# -- other data ---------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def pixels() -> tuple[np.ndarray, np.ndarray]:
    """Long-tailed digits: images (N, 8, 8) of 0…16 and labels, 60, 40, 25 and 12 of four classes."""
    from sklearn.datasets import load_digits

    images, labels = load_digits().images, load_digits().target
    rows = np.concatenate([np.flatnonzero(labels == c)[:n] for c, n in enumerate((60, 40, 25, 12))])
    return images[rows], labels[rows]


def test_features_of_ones_own_run_end_to_end(tmp_path, pixels):
    images, labels = pixels
    np.savez(tmp_path / "features.npz", X=images.reshape(-1, 64).astype(np.float32), y=labels)
    command = [
        "--root",
        tmp_path / "root",
        "run",
        "features",
        f"data.root={tmp_path}/features.npz",
        "evaluation.many=30",
    ]
    found = ok(*command)
    lines = found.out.splitlines()
    assert lines[0].startswith("feature_arrays · seed 0 · ") and "epochs" not in lines[0]
    assert [line.split("  ")[0].split(" tau=")[0] for line in lines[3:-1]] == [
        "joint (linear)",
        *CLASSIFIERS[1:],
    ]
    assert "training" not in found.err
    rows = json.loads(ok(*command, "--format", "json").out)
    assert [row["classifier"] for row in rows] == CLASSIFIERS
    assert all(row["representation"] is None and list(row) == RECORD_KEYS for row in rows)
    assert "is_linear_fit_" not in rows[0]["params"]
    assert all(row["metrics"]["balanced_accuracy"] > 0.8 for row in rows if row["classifier"] != "lws")
    assert not (tmp_path / "root" / "representations").exists()
    before = snapshot(tmp_path / "root")
    (tmp_path / "moved").mkdir()
    moved = (tmp_path / "features.npz").rename(tmp_path / "moved" / "f.npz")
    again = ok(*command[:4], f"data.root={moved}", "evaluation.many=30")
    assert again.out == found.out and snapshot(tmp_path / "root") == before


def test_features_of_two_archives_are_two_tables(tmp_path, pixels):
    images, labels = pixels
    for name, scale in (("a", 1.0), ("b", 0.5)):
        np.savez(tmp_path / f"{name}.npz", X=images.reshape(-1, 64).astype(np.float32) * scale, y=labels)
        ok(
            "--root",
            tmp_path / "root",
            "run",
            "features",
            f"data.root={tmp_path}/{name}.npz",
            "classifiers=[ncm]",
        )
    tables = ok("--root", tmp_path / "root", "report").out.split("\n\n")
    assert len(tables) == 2
    assert len({table.splitlines()[0] for table in tables}) == 2
    assert all("*" not in table for table in tables)  # nothing to be better than


def test_folder_of_pictures_runs_end_to_end(tmp_path, pixels):
    from PIL import Image

    images, labels = pixels
    for n, (image, label) in enumerate(zip(images, labels, strict=True)):
        path = tmp_path / "pictures" / f"digit {label}" / f"{n}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray((image * 15).astype(np.uint8)).save(path)
    command = [
        "--root", tmp_path / "root", "run", "image_folder", f"data.root={tmp_path}/pictures",
        "data.image_size=8", "data.mode=gray", "representation.backbone=small_cnn", "evaluation.many=30",
        "representation.augment={pad: 1, flip: false}", "representation.epochs=1",
        "representation.optimizer.lr=0.05", "system.threads=1", "system.device=cpu",
    ]  # fmt: skip
    found = ok(*command)
    assert found.out.startswith("image_folder · small_cnn · ")
    rows = json.loads(ok(*command, "--format", "json").out)
    assert [row["classifier"] for row in rows] == CLASSIFIERS
    assert all(len(row["metrics"]["class_accuracy"]) == 4 for row in rows)
    assert all(row["metrics"]["top5_accuracy"] is None for row in rows)  # four classes
    chart = ok(*command[:2], "show", *command[3:]).out
    assert re.search(r"digit 0 +43 ", chart)  # 60 less a fifth for test and a tenth of the rest
    assert ok(*command).out == found.out
