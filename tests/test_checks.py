"""What is refused or warned of before a first step is made."""

from __future__ import annotations

import logging

import numpy as np
import pytest

from pipeline.checks import check_choices, chooses
from pipeline.components import check_spec, registry
from pipeline.errors import ConfigError, FitFailed
from pipeline.execute import run_stage_two
from pipeline.plan import plan
from stages.network import Head
from stages.selection import NEEDS_VALIDATION
from tests.test_cli import SMALL, failed, longtail, ok

NO_VALIDATION = "data.validation_per_class=0"


def specs():
    """Every classifier as it is, and those with a choice as well with one to make."""
    names = registry("classifiers").names()
    return [
        *({"name": name} for name in names),
        {"name": "tau_norm", "tau": 1},
        {"name": "logit_adjustment", "tau": "validation"},
        {"name": "resampled", "method": "random_over", "classifier": "tau_norm"},
        {"name": "resampled", "method": "random_over", "classifier": {"name": "tau_norm", "tau": 0.5}},
    ]


@pytest.mark.parametrize("spec", specs(), ids=str)
def test_a_classifier_chooses_exactly_when_it_cannot_be_fitted_without_validation(spec):
    rng = np.random.default_rng(0)
    y = np.arange(30) % 3
    X = (rng.normal(size=(30, 4)) + y[:, None]).astype(np.float32)
    params = {key: value for key, value in spec.items() if key != "name"}
    if spec["name"] == "resampled":
        params = {"method": "random_over", **params}
    estimator = registry("classifiers").create(spec["name"], **params)
    head = Head(rng.normal(size=(3, 4)), np.zeros(3))
    try:
        estimator.fit(X, y, head=head)
        needs = False
    except ValueError as error:
        assert str(error) == NEEDS_VALIDATION
        needs = True
    assert chooses(check_spec("classifiers", spec)) is needs


def test_choices_without_samples_are_refused_before_training_with_the_settings_to_change(digits, store):
    config = digits(NO_VALIDATION, "classifiers=[joint, tau_norm, {name: temperature, classifier: crt}]")
    for call in (run_stage_two, plan):
        with pytest.raises(ConfigError) as caught:
            call(config, store)
        one, two = str(caught.value).splitlines()
        assert one == (
            "classifiers.1: tau_norm chooses on validation samples and data.validation_per_class=0 leaves "
            "none; hold some out (data.validation_per_class=5, say) or give a fixed tau "
            "({name: tau_norm, tau: 1})"
        )
        assert two.startswith("classifiers.2: temperature chooses on") and two.endswith("or leave it out")
    assert not store.root.exists()


@pytest.mark.parametrize(
    "settings",
    [
        [NO_VALIDATION, "classifiers=[joint, ncm, {name: tau_norm, tau: 1}]"],
        [NO_VALIDATION, "evaluation.protocol=paper"],
        ["data.validation_per_class=1"],
    ],
)
def test_what_needs_no_validation_is_not_refused(digits, settings, caplog):
    check_choices(digits(*settings))
    assert not caplog.records


def test_a_share_of_nothing_is_warned_of_where_the_data_may_bring_a_part(digits, caplog):
    with caplog.at_level(logging.WARNING, "longtail"):
        check_choices(digits("data.validation_per_class=null", "data.validation_fraction=0"))
    (record,) = caplog.records
    assert "data.validation_fraction=0 leaves none" in record.getMessage()
    assert record.getMessage().endswith("(unless the data set brings a part of its own)")


def test_dry_run_refuses_and_show_warns(tmp_path):
    (line,) = failed(2, "--root", tmp_path / "r", "run", *SMALL, NO_VALIDATION, "--dry-run")
    assert line.startswith("error: classifiers.3: tau_norm chooses on validation samples")
    found = ok("--root", tmp_path / "r", "show", *SMALL, NO_VALIDATION)
    assert "classifiers.3: tau_norm chooses" in found.err and "class counts" in found.out


def test_other_classifiers_go_on_and_print_when_one_cannot_be_fitted(tmp_path):
    small = [*SMALL, "data.validation_per_class=null", "data.validation_fraction=0.001",
             "representation.epochs=1", "classifiers=[joint, tau_norm, ncm]"]  # fmt: skip
    found = longtail("--root", tmp_path, "run", *small)
    assert found.status == 1
    assert [line.split()[0] for line in found.out.splitlines()[3:-1]] == ["joint", "ncm"]
    warned, *_, last = [line for line in found.err.splitlines() if "tau_norm" in line]
    assert warned.startswith(
        "warning: tau_norm chooses on validation samples and there is none; hold some out"
    )
    assert last == f"error: failed: {warned.removeprefix('warning: ')}"
    assert found.err.index("warning: tau_norm") < found.err.index("epoch 1/1")
    assert found.err.count("warning: tau_norm") == 1
    again = longtail("--root", tmp_path, "classify", *small)
    assert (again.status, again.out) == (1, found.out)


def test_a_failure_is_raised_where_nobody_takes_it(digits, store):
    config = digits("representation.epochs=1", "data.validation_per_class=null",
                    "data.validation_fraction=0.001", "classifiers=[tau_norm]")  # fmt: skip
    with pytest.raises(FitFailed, match="tau_norm chooses on validation samples"):
        run_stage_two(config, store)
