"""Losses, samplers and classifiers that both correct for class counts."""

import numpy as np
import pytest
import torch

from longtail.pipeline.work.execute import run_stage_one, run_stage_two
from longtail.stages.classifiers import CLASSIFIERS
from longtail.stages.heads import build_head
from longtail.stages.losses.corrections import corrected_twice, corrects
from longtail.stages.network import Head
from longtail.stages.samplers import SAMPLERS
from tests.stages.losses.cases import make_loss
from tests.stages.random_images import images


@pytest.mark.parametrize(
    ("loss", "sampler", "twice"),
    [
        ("balanced_softmax", "class_balanced", True),
        ("logit_adjusted", "square_root", True),
        ("cdt", "effective_number", True),
        ({"name": "cross_entropy", "weighting": "inverse_frequency"}, "class_balanced", True),
        ({"name": "ldam", "weighting": "effective_number", "start_epoch": 1}, "class_balanced", True),
        ("balanced_softmax", "instance_balanced", False),
        ({"name": "logit_adjusted", "tau": 0.0}, "class_balanced", False),
        ("cross_entropy", "class_balanced", False),
        ("ldam", "class_balanced", False),
        ("cdb", "class_balanced", False),
        ({"name": "cross_entropy", "weighting": "clipped_inverse_frequency"}, "uniform_batch", False),
    ],
)
def test_two_corrections_for_class_counts_give_a_warning(loss, sampler, twice):
    name, params = (loss, {}) if isinstance(loss, str) else (loss["name"], {**loss})
    params.pop("name", None)
    drawn = SAMPLERS.create(sampler, np.repeat(range(3), [50, 20, 5]), 3, seed=0)
    warning = corrected_twice(make_loss(name, [50, 20, 5], **params), name, drawn, sampler, epoch=9)
    assert (warning is not None) == twice
    if twice:
        assert name in warning and sampler in warning


def test_weights_that_never_apply_are_no_correction():
    drawn = SAMPLERS.create("class_balanced", np.repeat(range(3), [50, 20, 5]), 3, seed=0)
    loss = make_loss("cross_entropy", [50, 20, 5], weighting="inverse_frequency", start_epoch=5)
    assert corrected_twice(loss, "cross_entropy", drawn, "class_balanced", epoch=4) is None
    assert corrected_twice(loss, "cross_entropy", drawn, "class_balanced", epoch=5)


def test_asking_for_corrections_leaves_the_loss_as_it_is():
    drawn = SAMPLERS.create("class_balanced", np.repeat(range(3), [50, 20, 5]), 3, seed=0)
    loss = make_loss("cross_entropy", [50, 20, 5], weighting="inverse_frequency", start_epoch=5)
    logits, labels = torch.linspace(-1, 1, 9).reshape(3, 3).sin(), torch.tensor([0, 1, 2])
    loss.set_epoch(2)
    before = loss(logits, labels)
    assert corrects(loss, drawn, epoch=9) and corrected_twice(loss, "", drawn, "", epoch=9)
    assert loss(logits, labels) == before and not loss.weighs
    assert loss.corrects_prior_at(9) and not loss.corrects_prior_at(2)


def test_progressive_sampling_corrects_at_its_end_only():
    drawn = SAMPLERS.create("progressively_balanced", np.repeat(range(3), [50, 20, 5]), 3, seed=0, epochs=4)
    loss = make_loss("balanced_softmax", [50, 20, 5])
    assert corrected_twice(loss, "balanced_softmax", drawn, "progressively_balanced", epoch=0) is None
    assert corrected_twice(loss, "balanced_softmax", drawn, "progressively_balanced", epoch=3)


def test_training_and_crt_warn_of_two_corrections(digits, store, caplog, blobs):
    config = digits("representation.loss=balanced_softmax", "representation.sampler=class_balanced")
    with caplog.at_level("WARNING", "longtail"):
        run_stage_one(config, store)
    assert any("favoured twice" in record.message for record in caplog.records)
    with pytest.warns(UserWarning, match="favoured twice"):
        CLASSIFIERS.create("crt", solver="sgd", loss="balanced_softmax", random_state=0).fit(*blobs)


@pytest.mark.parametrize(
    ("classifier", "override", "twice"),
    [
        ("logit_adjustment", "representation.sampler=class_balanced", True),
        ("pc_softmax", "representation.loss=balanced_softmax", True),
        ("{name: logit_adjustment, tau: validation}", "representation.loss=balanced_softmax", False),
        ("logit_adjustment", "representation.loss=ldam", False),
        ("tau_norm", "representation.loss=balanced_softmax", False),
    ],
)
def test_post_hoc_correction_of_a_balanced_head_warns(digits, store, caplog, classifier, override, twice):
    with caplog.at_level("WARNING", "longtail"):
        run_stage_two(digits("representation.epochs=1", override, f"classifiers=[{classifier}]"), store)
    assert any("favoured twice" in record.message for record in caplog.records) == twice


def test_two_phase_training_is_a_configuration(digits, store):
    """Buda 2018: a balanced first phase, then the output layer on the data as they are."""
    config = digits(
        "representation.sampler=class_balanced", "classifiers=[{name: crt, sampler: instance_balanced}]"
    )
    result = run_stage_two(config, store)[0]
    assert result.metrics["test"]["accuracy"] > 0.3


def test_cosines_keep_their_precision_under_half_precision():
    head = build_head(make_loss("ldam"), 64, 3)
    near = (head.weight.detach()[:1] + 0.01 * images(256, 64)).requires_grad_()
    with torch.autocast("cpu", torch.bfloat16):
        cosines = head(near.bfloat16())
    assert cosines.dtype == torch.float32 and len(cosines[:, 0].unique()) > 128


def test_head_of_a_scaled_cosine_is_what_the_network_says():
    torch.manual_seed(0)
    features = images(4, 6)
    head = build_head(make_loss("cross_entropy"), 6, 3, "cosine", scale=8.0)
    frozen = head.frozen()
    assert isinstance(frozen, Head)
    np.testing.assert_allclose(frozen.logits(features), head(features).detach(), rtol=1e-5, atol=1e-6)
