"""What holds for every loss: gradients, order, absent classes, huge logits, weights."""

import math

import pytest
import torch

from longtail.stages.losses import LOSSES
from longtail.stages.losses.weightings import build_weights
from tests.stages.losses.cases import COUNTS, LABELS, every_loss, make_loss
from tests.stages.random_images import images
from tests.stages.signatures import described_as_signed

WEIGHTED = [name for name in LOSSES.names() if "weighting" in LOSSES.describe(name).parameters]


@every_loss
def test_loss_parameters_in_the_source_are_those_of_the_signature(name):
    described_as_signed(LOSSES, name, positional=["class_counts"])


@every_loss
def test_loss_is_one_number_with_a_gradient(name):
    logits = images(7, 5).requires_grad_()
    value = make_loss(name)(logits, LABELS)
    assert value.shape == ()
    value.backward()
    assert logits.grad.isfinite().all()
    assert logits.grad[:, [0, 1, 3, 4]].any()


@every_loss
def test_loss_gradient_is_right(name):
    loss = make_loss(name)
    logits = images(7, 5).double().requires_grad_()
    assert torch.autograd.gradcheck(lambda z: loss(z, LABELS), logits)


@every_loss
def test_loss_does_not_depend_on_the_order_of_the_batch(name):
    loss, logits = make_loss(name), images(7, 5).double()
    order = torch.tensor([3, 6, 0, 1, 5, 2, 4])
    torch.testing.assert_close(loss(logits[order], LABELS[order]), loss(logits, LABELS))


@every_loss
def test_loss_does_not_depend_on_the_order_of_the_classes(name):
    logits = images(7, 5).double()
    order = torch.tensor([4, 2, 0, 1, 3])  # new class c is old class order[c]
    renamed = torch.argsort(order)[LABELS]
    permuted = make_loss(name, [COUNTS[c] for c in order])(logits[:, order], renamed)
    torch.testing.assert_close(permuted, make_loss(name)(logits, LABELS))


@every_loss
def test_absent_class_takes_no_part_in_the_loss(name):
    loss, logits = make_loss(name), images(7, 5).double().requires_grad_()
    value = loss(logits, LABELS)
    value.backward()
    assert not logits.grad[:, 2].any()
    changed = logits.detach().clone()
    changed[:, 2] = 1e3
    torch.testing.assert_close(loss(changed, LABELS), value.detach(), rtol=0, atol=0)
    present = [0, 1, 3, 4]
    without = make_loss(name, [COUNTS[c] for c in present])
    squeezed = torch.tensor([0, 1, 9, 2, 3])[LABELS]
    torch.testing.assert_close(without(logits.detach()[:, present], squeezed), value.detach())


@every_loss
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_loss_of_huge_logits_is_finite(name, dtype):
    logits = (1e4 * torch.sign(images(7, 5))).to(dtype).requires_grad_()
    value = make_loss(name)(logits, LABELS)
    value.backward()
    assert value.isfinite()
    assert value > 0
    assert logits.grad.isfinite().all()


@every_loss
def test_loss_takes_news_of_the_training(name):
    loss = make_loss(name)
    loss.set_epoch(0)
    loss.set_class_accuracy([0.9, 0.5, None, 0.2, 0.0])
    assert loss(images(7, 5), LABELS).isfinite()
    assert not loss.state_dict()  # counts come from the data, not from a checkpoint


@every_loss
@pytest.mark.parametrize("counts", [[0, 0], [3, -1], [[1, 2]], []])
def test_counts_that_count_nothing_are_refused(name, counts):
    with pytest.raises(ValueError, match="class_counts"):
        make_loss(name, counts)


def test_cross_entropy_is_the_one_computed_by_hand():
    loss = make_loss("cross_entropy", [5, 5])
    logits = torch.tensor([[0.0, math.log(3)], [0.0, 0.0]])
    assert loss(logits, torch.tensor([1, 0])).item() == pytest.approx((math.log(4 / 3) + math.log(2)) / 2)


@every_loss
def test_loss_is_the_sum_of_its_samples_over_their_mass(name):
    loss, logits = make_loss(name), images(7, 5)
    each = loss.per_sample(logits, LABELS)
    assert each.shape == (7,) and each.dtype == torch.float32
    torch.testing.assert_close(loss(logits, LABELS), each.sum() / loss.mass(LABELS))


@every_loss
def test_loss_of_a_single_sample_of_a_single_class_is_finite(name):
    logits = images(1, 3).requires_grad_()
    loss = make_loss(name, [0, 4, 0])
    value = loss(logits, torch.tensor([1]))
    value.backward()
    assert value.isfinite() and logits.grad.isfinite().all()


@pytest.mark.parametrize("name", WEIGHTED)
@pytest.mark.parametrize("normalizer", ["batch", "weights"])
def test_loss_weighs_each_sample_by_its_class(name, normalizer):
    plain, logits = make_loss(name), images(7, 5).double()
    weighting = {"name": "effective_number", "beta": 0.9}
    loss = make_loss(name, weighting=weighting, normalizer=normalizer)
    w = build_weights(weighting, COUNTS)[LABELS.numpy()]
    each = plain.per_sample(logits, LABELS).numpy() * w
    expected = each.sum() / (w.sum() if normalizer == "weights" else 7)
    assert loss(logits, LABELS).item() == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("name", WEIGHTED)
def test_deferred_weighting_is_plain_before_its_epoch_and_weighted_from_it_on(name):
    logits = images(7, 5)
    plain, weighted = make_loss(name), make_loss(name, weighting="inverse_frequency", normalizer="weights")
    deferred = make_loss(name, weighting="inverse_frequency", normalizer="weights", start_epoch=3)
    for epoch, expected in ((0, plain), (2, plain), (3, weighted), (9, weighted), (1, plain)):
        deferred.set_epoch(epoch)
        assert deferred(logits, LABELS) == expected(logits, LABELS), epoch
