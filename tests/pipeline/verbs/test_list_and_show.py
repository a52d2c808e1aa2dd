"""`list` and `show`."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from longtail.pipeline.config import strict_yaml
from longtail.pipeline.config.components import KINDS, registry
from longtail.pipeline.config.loading import load_config
from longtail.pipeline.config.recipes import shipped
from longtail.pipeline.store.records.result_index import read_result
from longtail.pipeline.store.store import Store
from longtail.pipeline.work.class_chart import class_chart, sizes_in_results
from tests.command_line import (
    CLASSIFIERS,
    SMALL,
    ok,
    records,
)


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


@pytest.mark.parametrize("setting", ["evaluation.many=30", "representation.loss.weighting=effective_number"])
def test_the_chart_of_a_finished_configuration_is_that_of_its_data(root, setting):
    config = load_config(SMALL[0], [*SMALL[1:], setting])
    results = list(Store(root).results())
    assert results and class_chart(config, results) == class_chart(config)


@pytest.mark.parametrize(
    "lacking",
    [
        {"settings": ["data.label_noise=0.2"]},
        {"settings": ["representation.reweighting=l2rw"]},
        {"class_samples": {}},  # an older file, or one that has not been judged on test
    ],
)
def test_results_that_lack_a_number_of_the_chart_leave_it_to_the_data(root, lacking):
    config = load_config(SMALL[0], [*SMALL[1:], *lacking.pop("settings", [])])
    result = replace(next(Store(root).results()), **lacking)
    assert sizes_in_results(config, [result]) is None


def test_results_without_a_sample_of_a_class_are_warned_of_as_the_data_are(root, caplog):
    result = next(Store(root).results())
    counts, tested = [0, *result.class_counts[1:]], [*result.class_samples["test"][:-1], 0]
    result = replace(result, class_counts=counts, class_samples={"test": tested})
    sizes = sizes_in_results(load_config(SMALL[0], SMALL[1:]), [result])
    assert sizes.class_counts == counts and sizes.test == sum(tested)
    assert [record.getMessage() for record in caplog.records] == [
        "no training sample in 1 class (0): never predicted",
        "no test sample in 1 class (9): in no mean, and accuracy undefined",
    ]


def test_show_of_a_configuration_reads_its_own_results_alone(root, monkeypatch):
    read = []

    def reading(folder):
        read.append(folder.name)
        return read_result(folder)

    monkeypatch.setattr("longtail.pipeline.store.store.read_result", reading)
    assert "\nclassifiers: ncm" in ok("--root", root, "show", *SMALL, "classifiers=[ncm]").out
    (name,) = read
    assert Store(root).result(name).classifier == "ncm"


def test_show_prints_the_epoch_from_which_deferred_weights_apply(root):
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


def test_show_of_a_run_prints_its_state(root):
    name = next((root / "representations").iterdir()).name
    for reference in (name, name[:10], root / "representations" / name):
        out = ok("--root", root, "show", reference).out
        assert out.splitlines()[0] == str(root / "representations" / name)
        assert "state: finished, 2 epochs" in out
        assert re.search(r"last epoch: loss \d+\.\d+, \d+ images/s", out)
        assert f"classifiers: {', '.join(sorted(CLASSIFIERS))}" in out


def test_show_of_features_or_a_classifier_describes_them(root):
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
