"""Ablations: the grid, its table, failed runs, and how sure a difference is."""

from __future__ import annotations

import csv
import io
import itertools
import json
import statistics

import numpy as np
import pytest
from click.testing import CliRunner

from longtail.pipeline.cli import cli
from longtail.pipeline.compare.ablation import column_name, find_baseline, planned_cells, run_ablation
from longtail.pipeline.compare.ablation_table import ablation_cells, ablation_text
from longtail.pipeline.compare.variants import variants
from longtail.pipeline.errors import ConfigError
from longtail.pipeline.store.store import Store
from longtail.pipeline.work import classifying
from longtail.pipeline.work.execute import run_stage_two
from longtail.stages.metrics.bootstrap import paired_difference

SMALL = ("representation.epochs=2", "system.threads=1", "classifiers=[joint, crt, ncm]")
VARY = ("representation.sampler=instance_balanced,square_root",)
SHOTS = {"many": 50, "few": 20}


@pytest.fixture(scope="module")
def ablated(shared):
    """(grid, store, ablation) of two samplers and three seeds."""
    grid = variants("digits_lt", SMALL, vary=VARY, seeds=3)
    folder = shared.make("ablation", lambda folder: run_ablation(grid, Store(folder / "root")))
    store = Store(folder / "root")
    return grid, store, run_ablation(grid, store)


# -- names ------------------------------------------------------------------------------------------------


def test_column_has_parameters_in_full_and_components_by_name():
    loss = {"name": "focal", "gamma": 0.123456, "weighting": {"name": "inverse_sqrt"}}
    params = {"sampler": {"name": "instance_balanced"}, "loss": loss, "epochs": 2}
    assert column_name("crt", params) == (
        "crt(sampler=instance_balanced, loss=focal(gamma=0.123456, weighting=inverse_sqrt), epochs=2)"
    )


# -- the grid ---------------------------------------------------------------------------------------------


def test_grid_is_every_combination_times_seeds():
    samplers = "representation.sampler=class_balanced,{name: power, q: 0.3}"
    grid = variants("digits_lt", ["seed=4"], seeds=2, vary=[samplers, "representation.batch_size=32,64"])
    rows = list(dict.fromkeys(v.row for v in grid))
    assert rows == [
        "class_balanced, batch_size=32", "class_balanced, batch_size=64",
        "power(q=0.3), batch_size=32", "power(q=0.3), batch_size=64",
    ]  # fmt: skip
    assert [v.config.seed for v in grid] == [4, 5] * 4
    assert grid[-1].config.representation.sampler.params == {"q": 0.3}
    assert grid[-1].config.representation.batch_size == 64


def test_seeds_count_up_from_the_one_a_row_sets():
    grid = variants("digits_lt", [], vary=["seed=0,3"], seeds=2)
    assert [(v.row, v.config.seed) for v in grid] == [
        ("seed=0", 0),
        ("seed=0", 1),
        ("seed=3", 3),
        ("seed=3", 4),
    ]
    grid = variants("digits_lt", ["ablation.methods={a: {seed: 3}, b: {seed: 5}}"])
    assert [(v.row, v.config.seed) for v in grid] == [("a", 3), ("b", 5)]


METHODS = (
    "ablation.methods={plain: {}, LDAM-DRS: {representation: {loss: ldam, "
    "sampler: {name: deferred, start_epoch: 1}}}}"
)


def test_methods_are_named_rows_of_settings_that_change_together():
    grid = variants("digits_lt", [METHODS], vary=["representation.batch_size=32,64"], seeds=2)
    assert list(dict.fromkeys(v.row for v in grid)) == [
        "plain, batch_size=32", "plain, batch_size=64", "LDAM-DRS, batch_size=32", "LDAM-DRS, batch_size=64",
    ]  # fmt: skip
    assert [v.config.seed for v in grid] == [0, 1] * 4
    plain, deferred = grid[0].config.representation, grid[-1].config.representation
    assert (plain.loss.name, plain.sampler.name) == ("cross_entropy", "instance_balanced")
    assert (deferred.loss.name, deferred.sampler.params) == ("ldam", {"start_epoch": 1})


@pytest.mark.parametrize(
    ("methods", "message"),
    [
        ("[ldam]", r"ablation\.methods: must be a mapping of names to settings"),
        ("{ldam: 3}", r"ablation\.methods\.ldam: must be a mapping of settings, got 3"),
        ("{ldam: {representation: {los: ldam}}}", r"representation\.los: unknown key; did you mean 'loss'"),
    ],
)
def test_bad_methods_are_refused_before_anything_runs(methods, message):
    with pytest.raises(ConfigError, match=message):
        variants("digits_lt", [f"ablation.methods={methods}"])


def test_grid_comes_from_the_configuration_without_options(tmp_path):
    path = tmp_path / "a.yaml"
    path.write_text(
        "data: digits\n"
        "ablation: {vary: {representation.sampler: [instance_balanced, square_root]}, seeds: 2}\n"
    )
    assert len(variants(str(path), [])) == 4
    assert len(variants(str(path), [], seeds=1)) == 2
    assert [v.row for v in variants(str(path), [], vary=["data.seed=1,2,3"], seeds=1)] == [
        "seed=1",
        "seed=2",
        "seed=3",
    ]


@pytest.mark.parametrize(
    ("vary", "message"),
    [
        ("representation.sampler", "--vary must be KEY=a,b,c"),
        ("representation.sampler=", "must name at least one value"),
        ("representation.sampler=powr", "did you mean 'power'"),
        ("representation.smapler=power", "did you mean 'sampler'"),
    ],
)
def test_a_bad_grid_is_refused_before_anything_runs(vary, message):
    with pytest.raises(ConfigError, match=message):
        variants("digits_lt", SMALL, vary=[vary])


def test_a_bad_grid_in_a_configuration_is_named():
    with pytest.raises(
        ConfigError, match=r"ablation\.vary\.seed: must be a list of at least one value, got 3"
    ):
        variants("digits_lt", ["ablation={vary: {seed: 3}}"])


# -- running ----------------------------------------------------------------------------------------------


def test_cells_are_the_runs_own_results(ablated):
    grid, store, ablation = ablated
    rows, columns = ["instance_balanced", "square_root"], ["joint", "crt", "ncm"]
    assert list(ablation.cells) == list(itertools.product(rows, columns))
    for variant in grid:
        results = run_stage_two(variant.config, store)
        for result in results:
            assert result in ablation.cells[variant.row, result.classifier]


def test_a_second_ablation_does_nothing(ablated, monkeypatch):
    grid, store, ablation = ablated
    monkeypatch.setattr(classifying, "fit_classifier", lambda *a, **k: pytest.fail("fitted again"))
    again = run_ablation(grid, store)
    assert again.cells == ablation.cells


def test_mean_and_sample_deviation_are_those_of_the_seeds(ablated):
    _, store, ablation = ablated
    for cell in ablation_cells(store, ablation, ("instance_balanced", "joint")):
        results = ablation.cells[cell.row, cell.classifier]
        for key in ("balanced_accuracy", "few", "ece"):
            values = [r.metrics["test"][key] for r in results]
            if None in values:
                assert cell.metrics[key] == (None, None, 0)
                continue
            assert cell.metrics[key].mean == pytest.approx(np.mean(values))
            assert cell.metrics[key].std == pytest.approx(statistics.stdev(values))
            assert cell.metrics[key].n == 3
        assert [result.seed for result in cell.results] == [0, 1, 2]


def test_each_row_has_the_shot_groups_it_asks_for(tmp_path):
    many = "evaluation.many=60,20"
    grid = variants("digits_lt", [*SMALL[:2], "classifiers=[joint]", "evaluation.few=8"], vary=[many])
    ablation = run_ablation(grid, Store(tmp_path))
    cells = ablation_cells(Store(tmp_path), ablation, ("many=60", "joint"))
    accuracy = ablation.cells["many=60", "joint"][0].metrics["test"]["class_accuracy"]
    counts = ablation.cells["many=60", "joint"][0].class_counts
    for cell, limit in zip(cells, (60, 20), strict=True):
        expected = np.mean([a for a, n in zip(accuracy, counts, strict=True) if n > limit])
        assert cell.metrics["many"].mean == pytest.approx(expected)


def test_rows_on_other_test_samples_have_no_difference(tmp_path):
    sizes = "data.test_per_class=20,40"
    grid = variants("digits_lt", [*SMALL[:2], "classifiers=[joint]"], vary=[sizes])
    ablation = run_ablation(grid, Store(tmp_path))
    cells = ablation_cells(Store(tmp_path), ablation, ("test_per_class=20", "joint"))
    assert [cell.difference for cell in cells] == [None, None]


def test_difference_is_that_of_the_means_inside_its_interval(ablated):
    _, store, ablation = ablated
    cells = ablation_cells(store, ablation, ("instance_balanced", "joint"))
    base = cells[0].metrics["balanced_accuracy"].mean
    assert cells[0].difference is None
    for cell in cells[1:]:
        gap = cell.difference
        assert gap.mean == pytest.approx(cell.metrics["balanced_accuracy"].mean - base)
        assert gap.low <= gap.mean <= gap.high


def test_each_metric_asked_for_has_a_table(ablated):
    _, store, ablation = ablated
    cells = ablation_cells(store, ablation, ("instance_balanced", "joint"))
    both = ablation_text(cells, ["balanced_accuracy", "few"], "table")
    for metric in ("balanced_accuracy", "few"):
        alone = ablation_text(cells, [metric], "table")
        assert alone.split("\n\n")[0] in both
    assert both.count("mean ± sample deviation") == 2


def test_every_format_holds_the_same(ablated):
    _, store, ablation = ablated
    cells = ablation_cells(store, ablation, ("instance_balanced", "joint"))
    parsed = json.loads(ablation_text(cells, ["balanced_accuracy"], "json"))
    assert parsed == json.loads(json.dumps([cell.to_json() for cell in cells]))
    rows = list(csv.DictReader(io.StringIO(ablation_text(cells, ["balanced_accuracy"], "csv"))))
    assert [float(r["balanced_accuracy_mean"]) for r in rows] == [
        r.metrics["balanced_accuracy"].mean for r in cells
    ]
    for form in ("table", "markdown"):
        text = ablation_text(cells, ["balanced_accuracy"], form)
        for cell in cells:
            summary = cell.metrics["balanced_accuracy"]
            assert f"{100 * summary.mean:.1f} ± {100 * summary.std:.1f} (3)" in text
        assert "baseline" in text and "[" in text


def test_a_failed_run_is_reported_and_the_rest_goes_on(tmp_path):
    arguments = [
        "--root", str(tmp_path), "ablate", "digits_lt", *SMALL[:2], "classifiers=[joint]",
        "--vary", "representation.sampler=instance_balanced,uniform_batch,square_root",
    ]  # fmt: skip
    done = CliRunner().invoke(cli, arguments)
    assert "instance_balanced" in done.output and "square_root" in done.output
    assert "failed: uniform_batch, seed 0: representation.batch_size: must be" in str(done.exception)
    assert done.exit_code == 1


def test_a_run_without_test_samples_is_a_failed_one(tmp_path):
    settings = (*SMALL[:2], "data.test_per_class=0", "classifiers=[joint]")
    ablation = run_ablation(variants("digits_lt", settings), Store(tmp_path))
    assert ablation.cells == {}
    assert ablation.failed == [
        "as configured, seed 0: there are no test samples, on which an ablation compares classifiers"
    ]


def test_a_baseline_that_is_no_cell_is_refused_with_the_choices(ablated):
    grid, _, ablation = ablated
    planned = planned_cells(grid)
    assert planned == list(ablation.cells)
    assert find_baseline(planned, None) == ("instance_balanced", "joint")
    assert find_baseline(planned, "ncm") == ("instance_balanced", "ncm")
    assert find_baseline(planned, "square_root/crt") == ("square_root", "crt")
    with pytest.raises(ConfigError, match=r"must be one of instance_balanced/joint, .*; got 'nothing/crt'"):
        find_baseline(planned, "nothing/crt")


def test_a_wrong_baseline_is_refused_before_anything_is_trained(tmp_path):
    with pytest.raises(ConfigError, match="--baseline must be one of as configured/joint"):
        arguments = ["--root", str(tmp_path), "ablate", "digits_lt", *SMALL, "--baseline", "nothing/joint"]
        CliRunner().invoke(cli, arguments, catch_exceptions=False)
    assert not list(tmp_path.rglob("representations/*"))


def test_without_its_baseline_the_differences_are_to_the_first_cell_with_a_warning(tmp_path, caplog):
    arguments = [
        "--root", str(tmp_path), "ablate", "digits_lt", *SMALL[:2], "classifiers=[joint]",
        "--vary", "representation.sampler=uniform_batch,square_root",
    ]  # fmt: skip
    done = CliRunner().invoke(cli, arguments)
    assert "square_root" in done.output and done.exit_code == 1
    assert "uniform_batch/joint has no result; differences are to square_root/joint" in caplog.text


# -- the bootstrap ----------------------------------------------------------------------------------------


def test_equal_methods_differ_by_nothing():
    hits = np.random.default_rng(0).random(300) < 0.7
    labels = np.arange(300) % 3
    assert paired_difference([hits], [hits], [labels]) == (0, 0, 0)


def test_difference_is_of_balanced_accuracies():
    labels = np.array([0] * 90 + [1] * 10)
    one, other = np.ones(100, bool), np.array([True] * 90 + [False] * 10)
    assert paired_difference([one], [other], [labels]).mean == pytest.approx(0.5)


def test_runs_on_the_same_samples_must_have_the_same_labels():
    hits, labels = [[True, False]] * 2, [np.array([0, 1]), np.array([1, 0])]
    with pytest.raises(ValueError, match=r"same_samples: .* same labels"):
        paired_difference(hits, hits, labels)
    assert paired_difference(hits, hits, labels, same_samples=["one", "other"]).mean == 0


def test_interval_is_that_of_drawing_samples_one_by_one():
    rng = np.random.default_rng(1)
    labels = np.repeat([0, 1, 2], [40, 20, 60])
    one, other = rng.random(120) < 0.8, rng.random(120) < 0.6
    ablation = paired_difference([one], [other], [labels], draws=20_000)
    gaps = one.astype(int) - other.astype(int)
    naive = np.mean(
        [[rng.choice(gaps[labels == c], (labels == c).sum()).mean() for c in range(3)] for _ in range(4000)],
        axis=1,
    )
    np.testing.assert_allclose([ablation.low, ablation.high], np.percentile(naive, [2.5, 97.5]), atol=0.015)


def test_interval_covers_the_truth_about_as_often_as_it_says():
    rng, covered = np.random.default_rng(2), 0
    labels = np.arange(400) % 4
    for trial in range(200):
        draws = [(rng.random(400) < 0.75, rng.random(400) < 0.65) for _ in range(1)]
        ablation = paired_difference(*map(list, zip(*draws, strict=True)), [labels], draws=400, seed=trial)
        covered += ablation.low <= 0.1 <= ablation.high
    assert 180 <= covered <= 199


def test_more_runs_on_the_same_samples_do_not_narrow_the_interval_away():
    rng = np.random.default_rng(3)
    labels = np.arange(200) % 2
    one, other = rng.random(200) < 0.8, rng.random(200) < 0.7
    single = paired_difference([one], [other], [labels])
    repeated = paired_difference([one] * 5, [other] * 5, [labels] * 5)
    apart = paired_difference([one] * 5, [other] * 5, [labels] * 5, same_samples=range(5))
    assert repeated.high - repeated.low == pytest.approx(single.high - single.low, rel=0.15)
    assert apart.high - apart.low < 0.7 * (single.high - single.low)


def test_unpaired_runs_are_refused():
    with pytest.raises(ValueError, match="runs: must be paired, got 1, 2 and 1"):
        paired_difference([np.ones(3)], [np.ones(3)] * 2, [np.zeros(3)])
