"""Sweeps: grids of classifiers, choices on validation alone, each trial done once."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from longtail.pipeline.compare.sweep import DEFAULT, best_trials, run_sweep, trials_of
from longtail.pipeline.config.loading import load_config
from longtail.pipeline.config.sweep_grid import axis, expand
from longtail.pipeline.errors import ConfigError, LongtailError
from longtail.pipeline.store.classifier_files import load_predictions
from longtail.pipeline.store.store import Store
from longtail.pipeline.work import classifying
from longtail.pipeline.work.execute import run_extraction, run_stage_two
from longtail.pipeline.work.workbench import Workbench
from longtail.stages.classifiers import CLASSIFIERS
from longtail.stages.parameters import Problems
from tests.pipeline.store.results import finished_result

SWEEP = (
    "sweep=[joint, {name: crt, weight_decay: [1e-4, 1e-2]}, {name: ncm, feature: [none, l2]}, tau_norm, lws]"
)


def params(specs):
    return [dict(spec.params) for spec in specs]


# -- grids ------------------------------------------------------------------------------------------------


def test_lists_make_a_grid_whose_last_parameter_varies_fastest():
    specs = expand({"name": "ncm", "feature": ["none", "l2"], "distance": ["euclidean", "cosine"]})
    assert params(specs) == [
        {"feature": "none", "distance": "euclidean"},
        {"feature": "none", "distance": "cosine"},
        {"feature": "l2", "distance": "euclidean"},
        {"feature": "l2", "distance": "cosine"},
    ]


def test_ranges_are_linear_or_logarithmic_and_end_where_they_say():
    assert axis({"from": 0, "to": 1, "steps": 5}) == [0.0, 0.25, 0.5, 0.75, 1.0]
    assert axis({"from": 1e-4, "to": 1, "steps": 5, "scale": "log"}) == pytest.approx(
        [1e-4, 1e-3, 1e-2, 0.1, 1]
    )
    assert axis({"from": 1e-4, "to": 1, "steps": 5, "scale": "log"})[2] == 0.01


def test_a_component_is_one_value_and_a_list_of_components_several():
    power = {"name": "power", "q": 0.3}
    specs = expand({"name": "crt", "solver": "sgd", "sampler": [power, "square_root"]})
    assert [spec.params["sampler"] for spec in specs] == [power, "square_root"]
    assert len(expand({"name": "crt", "solver": "sgd", "sampler": power})) == 1


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"name": "crt", "weight_decay": []}, "weight_decay: must be at least one value"),
        (
            {"name": "crt", "weight_decay": {"from": 0, "to": 1, "steps": 3, "scale": "log"}},
            "log needs from and to > 0",
        ),
        ({"name": "crt", "weight_decay": {"from": 0, "to": 1, "step": 3}}, "did you mean 'steps'"),
        ({"name": "crt", "weight_decay": {"values": []}}, "values: "),
        ({"name": "crt", "weight_decay": [1, -1]}, "weight_decay: must be a number ≥ 0, got -1"),
        ({"name": "crtt", "weight_decay": [1]}, "did you mean 'crt'"),
        ({"name": "ncm", "k": [1]}, "unknown parameter of classifier ncm"),
    ],
)
def test_bad_entries_are_refused(entry, message):
    with pytest.raises(Problems, match=message):
        expand(entry)


def test_a_configurations_sweep_reports_every_problem_with_its_path():
    with pytest.raises(ConfigError) as caught:
        load_config("digits_lt", ["sweep=[{name: crt, weight_decay: [1, -1]}, {name: ncm, feature: [l3]}]"])
    assert {p.path for p in caught.value.problems} == {"sweep.0.weight_decay", "sweep.1.feature"}


def test_the_default_sweep_has_at_least_twenty_trials_each_once(digits):
    specs = trials_of(digits())
    assert len(specs) >= 20
    assert len({str(spec.minimal()) for spec in specs}) == len(specs)
    assert {spec.name for spec in specs} == {e if isinstance(e, str) else e["name"] for e in DEFAULT}


# -- running ----------------------------------------------------------------------------------------------


def test_every_trial_is_on_validation_and_only_winners_are_on_test(digits, store):
    config = digits(SWEEP)
    sweep = run_sweep(config, store)
    assert [t.classifier for t in sweep.trials] == ["joint", "crt", "crt", "ncm", "ncm", "tau_norm", "lws"]
    assert [w.classifier for w in sweep.winners] == ["joint", "crt", "ncm", "tau_norm", "lws"]
    winners = {w.run for w in sweep.winners}
    for trial in sweep.trials:
        on_disk = json.loads((store.folder("classifiers", trial.run) / "result.json").read_text())
        assert set(on_disk["metrics"]) == ({"val", "test"} if trial.run in winners else {"val"})
        kept = {"", ".y"} if trial.classifier == "ncm" else {"", ".y", ".confidence"}
        assert set(load_predictions(store, trial.run)) == {
            split + what for split in on_disk["metrics"] for what in kept
        }


def test_winner_is_the_first_of_highest_validation_balanced_accuracy():
    def trial(name, reached):
        return finished_result(classifier=name, metrics={"val": {"balanced_accuracy": reached}})

    trials = [trial("a", 0.5), trial("b", 0.9), trial("a", 0.7), trial("a", 0.7), trial("b", 0.1)]
    assert best_trials(trials, "val") == [2, 1]


def test_a_second_sweep_does_nothing(digits, store, monkeypatch):
    first = run_sweep(digits(SWEEP), store)
    monkeypatch.setattr(classifying, "fit_classifier", lambda *a, **k: pytest.fail("fitted again"))
    monkeypatch.setattr(classifying, "judge", lambda *a, **k: pytest.fail("judged again"))
    assert run_sweep(digits(SWEEP), store) == first


def test_a_run_after_a_sweep_judges_what_is_there_and_fits_nothing(digits, store, monkeypatch):
    run_sweep(digits(SWEEP), store)
    monkeypatch.setattr(classifying, "fit_classifier", lambda *a, **k: pytest.fail("fitted again"))
    results = run_stage_two(
        digits("classifiers=[{name: crt, weight_decay: 1e-4}, {name: crt, weight_decay: 1e-2}]"), store
    )
    assert all(set(r.metrics) == {"val", "test"} for r in results)


def test_completed_results_equal_those_judged_at_once(digits, store, tmp_path):
    config = digits("classifiers=[crt, ncm, tau_norm]")
    plain = run_stage_two(config, Store(tmp_path / "plain"))
    bench = Workbench(config, store)
    for spec, expected in zip(config.classifiers, plain, strict=True):
        bench.result(spec, ("val",))
        result = bench.result(spec)
        assert result.metrics == expected.metrics and result.run == expected.run


def test_processes_find_what_one_finds(digits, store, tmp_path):
    def timeless(trials):
        return [replace(trial, seconds=0.0) for trial in trials]

    one = run_sweep(digits(SWEEP), Store(tmp_path / "one"))
    two = run_sweep(digits(SWEEP), store, jobs=2)
    assert timeless(one.trials) == timeless(two.trials)
    assert timeless(one.winners) == timeless(two.winners)


def test_a_sweep_without_validation_is_refused(digits, store):
    with pytest.raises(LongtailError, match="no validation samples to choose on"):
        run_sweep(digits("data.validation_per_class=0", "sweep=[ncm, crt]"), store)


# -- what choices may see ---------------------------------------------------------------------------------


class Tripwire:
    """A test split that may be counted, and nothing else."""

    def __init__(self, part):
        object.__setattr__(self, "count", len(part))

    def __len__(self):
        return self.count

    def __getattribute__(self, name):
        if name in ("X", "y"):
            raise AssertionError("the test split was read")
        return object.__getattribute__(self, name)


@pytest.fixture(scope="session")
def with_views(shared, digits) -> Path:
    """A root with the features of two epochs on digits and of an augmented view, and no classifier."""

    def fill(folder: Path) -> None:
        run_extraction(digits("features.views=1"), Store(folder / "root"))

    return shared.make("features_with_a_view", fill) / "root"


@pytest.mark.parametrize("name", CLASSIFIERS.names())
def test_no_choice_reads_the_test_split(digits, with_views, copy_of, name):
    bench = Workbench(digits("features.views=1"), Store(copy_of(with_views)))
    features = bench.features
    bench._features = replace(features, test=Tripwire(features.test))
    spec = expand(name)[0]
    result = bench.result(spec, ("val",))
    assert set(result.metrics) == {"val"}
    with pytest.raises(AssertionError, match="the test split was read"):
        bench.result(spec)


def test_a_sweep_reads_the_test_split_only_after_its_last_choice(digits, store, monkeypatch):
    import longtail.pipeline.compare.sweep

    config, chosen = digits(SWEEP), []
    choose = longtail.pipeline.compare.sweep.best_trials
    monkeypatch.setattr(
        longtail.pipeline.compare.sweep, "best_trials", lambda *a: (chosen.append(1), choose(*a))[1]
    )
    judge = classifying.judge
    seen = []

    def watched(estimator, part, *args, **options):
        seen.append((len(part.y), bool(chosen)))
        return judge(estimator, part, *args, **options)

    monkeypatch.setattr(classifying, "judge", watched)
    run_sweep(config, store)
    sizes = {split: len(part) for split, part in replace(Workbench(config, store).features).__dict__.items()
             if split in ("val", "test")}  # fmt: skip
    assert {after for size, after in seen if size == sizes["test"]} == {True}
    assert {after for size, after in seen if size == sizes["val"]} == {False}


def test_protocol_paper_chooses_on_test_and_marks_the_results(digits, store):
    from longtail.pipeline.tables.record_table import records_text
    from longtail.pipeline.tables.records import records

    paper, honest = digits("evaluation.protocol=paper", SWEEP), digits(SWEEP)
    sweep = run_sweep(paper, store)
    assert all(t.protocol == "paper" for t in sweep.trials)
    assert not {t.run for t in sweep.trials} & {t.run for t in run_sweep(honest, store).trials}
    tau = next(t for t in sweep.winners if t.classifier == "tau_norm")
    features = Workbench(paper, store).features
    path_best = CLASSIFIERS.create("tau_norm").fit(
        features.train.X, features.train.y, head=features.head, validation=features.test
    )
    assert tau.fitted["tau_"] == path_best.tau_
    for form in ("table", "markdown"):
        text = records_text(records(sweep.winners), form)
        assert "chosen on test (protocol paper)" in text and text.count("†") == len(sweep.winners)
    for row in json.loads(records_text(records(sweep.winners), "json")):
        assert row["protocol"] == "paper"
    assert "paper" in records_text(records(sweep.winners), "csv")
    assert "†" not in records_text(records(run_sweep(honest, store).winners), "table")
