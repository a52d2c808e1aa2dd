"""Class weights."""

import re
import warnings

import numpy as np
import pytest

from longtail.pipeline.config.loading import load_config
from longtail.pipeline.errors import ConfigError
from longtail.stages.losses.weightings import WEIGHTINGS, build_weights
from tests.stages.losses.cases import COUNTS, PRESENT, make_loss
from tests.stages.signatures import described_as_signed

every_weighting = pytest.mark.parametrize("name", WEIGHTINGS.names())


@every_weighting
def test_weighting_parameters_in_the_source_are_those_of_the_signature(name):
    described_as_signed(WEIGHTINGS, name, positional=["class_counts"])


@pytest.mark.parametrize("name", ["inverse_frequency", "inverse_sqrt", "effective_number"])
def test_weights_sum_to_the_classes_present_and_grow_with_rarity(name):
    class_weights = WEIGHTINGS.create(name, COUNTS)
    assert class_weights.sum() == pytest.approx(4) and class_weights[2] == 0
    assert (np.diff(class_weights[PRESENT]) > 0).all()
    raw = WEIGHTINGS.create(name, COUNTS, normalise="none")
    np.testing.assert_allclose(class_weights, raw * 4 / raw.sum())


def test_inverse_weights_are_powers_of_the_counts():
    assert WEIGHTINGS.create("inverse_frequency", [8, 2], normalise="none").tolist() == [1 / 8, 1 / 2]
    class_weights = WEIGHTINGS.create("inverse_sqrt", [16, 4], normalise="none")
    np.testing.assert_allclose(class_weights, [1 / 4, 1 / 2])


def test_effective_number_goes_from_none_to_inverse_frequency():
    def created(beta):
        return WEIGHTINGS.create("effective_number", COUNTS, beta=beta)

    np.testing.assert_allclose(created(0.0), WEIGHTINGS.create("none", COUNTS))
    np.testing.assert_allclose(created(1 - 1e-12), WEIGHTINGS.create("inverse_frequency", COUNTS), rtol=1e-9)
    n = np.array(COUNTS)[PRESENT]
    by_hand = (1 - 0.9) / (1 - 0.9**n)
    np.testing.assert_allclose(created(0.9)[PRESENT], by_hand * 4 / by_hand.sum())


def test_clipped_weights_are_those_of_the_paper():
    """Park, Piao, Kim on CIFAR-10 with imbalance factor 500."""
    counts = [int(5000 * (1 / 500) ** (c / 9)) for c in range(10)]
    class_weights = WEIGHTINGS.create("clipped_inverse_frequency", counts)
    np.testing.assert_allclose(class_weights, [1, 1, 1, 1.592, *[1.778] * 6], atol=5e-4)


def test_clipping_of_nothing_is_refused():
    with pytest.raises(ValueError, match=re.escape("weighting: low: must be ≤ high (1.5), got 2")):
        build_weights({"name": "clipped_inverse_frequency", "low": 2.0, "high": 1.5}, COUNTS)


def test_weights_nearly_alike_warn_and_others_do_not():
    with pytest.warns(UserWarning, match=r"effective_number: the largest class weight is only 1\.0"):
        build_weights({"name": "effective_number", "beta": 0.01}, COUNTS)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        build_weights("none", COUNTS)
        build_weights("inverse_frequency", COUNTS)
        build_weights("inverse_frequency", [7, 0])  # one class cannot differ


@pytest.mark.parametrize(
    ("weighting", "message"),
    [
        ("inverse", "weighting: unknown weighting 'inverse'"),
        ({"name": "effective_number", "beta": 1.0}, "weighting.beta: must be a number ≥ 0 and < 1, got 1.0"),
        ({"beta": 0.9}, "weighting: a component must be a name"),
    ],
)
def test_bad_weighting_is_refused_under_its_name(weighting, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        make_loss("cross_entropy", weighting=weighting)


def test_bad_weighting_in_a_config_is_refused_with_its_path():
    loss = "representation.loss={name: focal, weighting: {name: effective_number, beta: 2}}"
    with pytest.raises(ConfigError, match=r"representation\.loss\.weighting\.beta: must be .* got 2"):
        load_config("digits_lt", [loss])
