"""Backbones, heads, frozen features, learning-rate schedules and optimisers."""

import math
import re
import warnings

import numpy as np
import pytest
import torch
from torch import nn
from torch.optim import lr_scheduler

from longtail.stages.backbones import BACKBONES
from longtail.stages.features import BATCH, Features, extract_features, forward_rows
from longtail.stages.network import CosineHead, Head, LinearHead, Network
from longtail.stages.training.optimizers import OPTIMIZERS
from longtail.stages.training.schedules import SCHEDULES
from tests.stages.random_images import images
from tests.stages.signatures import described_as_signed

NAMES = [name for name in BACKBONES.names() if name != "timm"]  # test_timm.py
every_backbone = pytest.mark.parametrize("name", NAMES)
LONGER = (
    "resnet101",
    "resnet152",
    "resnext101",
    "resnext152",
)  # more blocks than resnet50, resnext50
every_kind_of_backbone = pytest.mark.parametrize("name", [name for name in NAMES if name not in LONGER])
RESNETS = [name for name in NAMES if "6·blocks" in BACKBONES.describe(name).summary]
SIDES = {"lenet5": (8, 28, 32)}


# -- backbones --------------------------------------------------------------------------------------------


@every_kind_of_backbone
@pytest.mark.parametrize("channels", [1, 3])
def test_backbone_maps_images_to_its_number_of_features(name, channels):
    backbone = BACKBONES.create(name, in_channels=channels).eval()
    for side in SIDES.get(name, (8, 28, 32)):
        with torch.inference_mode():
            features = backbone(images(2, channels, side, side))
        assert features.shape == (2, backbone.num_features)
        assert features.dtype == torch.float32
        assert features.isfinite().all()


@every_backbone
def test_backbone_has_three_channels_by_default(name):
    assert BACKBONES.create(name).eval()(images(1, 3, 8, 8)).shape[0] == 1


@every_backbone
def test_backbone_parameters_in_the_source_are_those_of_the_signature(name):
    described_as_signed(BACKBONES, name, positional=["in_channels"])


@every_kind_of_backbone
def test_gradient_reaches_every_parameter(name):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        backbone = BACKBONES.create(name, in_channels=1)
    backbone(images(8, 1, 28, 28)).square().sum().backward()
    for key, parameter in backbone.named_parameters():
        assert parameter.grad is not None, key
        assert parameter.grad.any(), key
        assert parameter.grad.isfinite().all(), key


@every_kind_of_backbone
def test_features_of_an_image_do_not_depend_on_its_batch(name):
    backbone = BACKBONES.create(name, in_channels=1).double().eval()
    batch = images(5, 1, 28, 28).double()
    with torch.inference_mode():
        torch.testing.assert_close(backbone(batch)[3:4], backbone(batch[3:4]), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", RESNETS)
def test_resnet_is_as_deep_as_its_name_says(name):
    convolutions = [m for m in BACKBONES.create(name).modules() if isinstance(m, nn.Conv2d)]
    depth = int(name.removeprefix("resnet"))
    assert len(convolutions) + 1 == depth  # and the linear head
    assert (len(convolutions) - 1) % 6 == 0
    assert {c.kernel_size for c in convolutions} == {(3, 3)}


def test_resnet32_with_ten_classes_has_the_papers_number_of_parameters():
    network = Network(BACKBONES.create("resnet32"), LinearHead(64, 10))
    assert sum(p.numel() for p in network.parameters()) == 464_154  # 0.46 M in He 2016, table 6


def test_option_a_shortcut_strides_and_pads_with_zero_channels():
    network = BACKBONES.create("resnet8").eval()
    block = network.blocks[1]
    for conv in (block.conv1, block.conv2):
        nn.init.zeros_(conv.weight)  # only the shortcut is left
    x = images(2, 16, 6, 6).abs()
    with torch.inference_mode():
        out = block(x)
    assert out.shape == (2, 32, 3, 3)
    torch.testing.assert_close(out[:, 8:24], x[:, :, ::2, ::2])
    assert not out[:, :8].any()
    assert not out[:, 24:].any()


def test_lenet5_has_the_papers_layers():
    network = BACKBONES.create("lenet5", in_channels=1)
    shapes = {key: tuple(p.shape) for key, p in network.named_parameters() if key.endswith("weight")}
    assert shapes == {
        "conv1.weight": (6, 1, 5, 5),
        "conv2.weight": (16, 6, 5, 5),
        "fc1.weight": (120, 400),
        "fc2.weight": (84, 120),
    }


def test_lenet5_pads_small_images_with_zeros_in_the_middle():
    network = BACKBONES.create("lenet5", in_channels=1).eval()
    small = images(2, 1, 28, 28)
    padded = torch.zeros(2, 1, 32, 32)
    padded[:, :, 2:30, 2:30] = small
    with torch.inference_mode():
        torch.testing.assert_close(network(small), network(padded), rtol=0, atol=0)


@pytest.mark.parametrize("shape", [(33, 32), (32, 40)])
def test_lenet5_refuses_larger_images(shape):
    with pytest.raises(ValueError, match=rf"at most 32×32, got {shape[0]}×{shape[1]}"):
        BACKBONES.create("lenet5", in_channels=1)(images(1, 1, *shape))


# -- heads ------------------------------------------------------------------------------------------------


def test_head_logits_are_scale_times_affine():
    head = Head([[1.0, 2.0], [0.0, -1.0]], [0.5, 1.0], scale=2.0)
    np.testing.assert_array_equal(head.logits([[1, 1], [0, 3]]), [[7, 0], [13, -4]])
    assert (head.num_classes, head.num_features) == (2, 2)
    assert Head([[1.0, 2.0]], None).logits([[3, 4]]).tolist() == [[11]]


@pytest.mark.parametrize("weight_type", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("X_type", [np.float16, np.float32, np.float64, np.int64])
def test_head_works_in_float32_unless_a_side_is_float64(weight_type, X_type):
    head = Head(np.ones((2, 3), weight_type), np.ones(2, weight_type))
    assert head.weight.dtype == (np.float64 if weight_type == np.float64 else np.float32)
    wide = np.float64 in (weight_type, X_type)
    assert head.logits(np.ones((4, 3), X_type)).dtype == (np.float64 if wide else np.float32)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32, torch.float64])
def test_head_takes_tensors_and_keeps_their_precision(dtype):
    weight = torch.nn.Parameter(images(3, 4).to(dtype))
    head = Head(weight, weight[:, 0])
    assert head.weight.dtype == (np.float64 if dtype == torch.float64 else np.float32)
    np.testing.assert_array_equal(head.weight, weight.detach().double().numpy())


def test_frozen_head_does_not_follow_further_training():
    linear, cosine = LinearHead(4, 3), CosineHead(4, 3)
    frozen = [linear.frozen(), cosine.frozen(2.0)]
    before = [head.weight.copy() for head in frozen]
    with torch.no_grad():
        for module in (linear, cosine):
            module.weight.add_(1)
    for head, weight in zip(frozen, before, strict=True):
        np.testing.assert_array_equal(head.weight, weight)


@pytest.mark.parametrize(
    ("weight", "bias", "message"),
    [(np.ones(3), None, r"\(3,\) and None"), (np.ones((2, 3)), np.ones(3), r"\(2, 3\) and \(3,\)")],
)
def test_head_of_mismatched_shapes_is_refused(weight, bias, message):
    with pytest.raises(ValueError, match=message):
        Head(weight, bias)


def test_cosine_head_frozen_is_the_module_times_its_scale():
    module = CosineHead(6, 4)
    features = images(9, 6)
    features[0] = 0  # a zero feature has cosine 0 with everything
    frozen = module.frozen(16.0)
    cosines = module(features).detach().numpy()
    np.testing.assert_allclose(frozen.logits(features), 16 * cosines, rtol=1e-5, atol=1e-5)
    weight = module.weight.detach().numpy().astype(float)
    x = features[3].numpy().astype(float)
    expected = weight @ x / np.linalg.norm(weight, axis=1) / np.linalg.norm(x)
    np.testing.assert_allclose(cosines[3], expected, atol=1e-6)
    assert not cosines[0].any()
    assert np.abs(cosines).max() <= 1 + 1e-6


# -- features ---------------------------------------------------------------------------------------------


class Images:
    """The part of a split's interface that extraction uses."""

    def __init__(self, count=20, seed=0):
        self.inputs = images(count, 1, 8, 8, seed=seed)
        self.labels = np.arange(count) % 3

    def __len__(self):
        return len(self.labels)

    def to(self, device):
        return self

    def batch(self, indices):
        return self.inputs[torch.tensor(np.array(indices))]


@pytest.mark.parametrize("make_head", [LinearHead, CosineHead])
def test_frozen_head_on_features_is_the_network(make_head):
    network, part = Network(BACKBONES.create("small_cnn", in_channels=1), make_head(64, 3)), Images()
    network(part.inputs)  # running statistics move away from their start
    features = extract_features(network.backbone, part)
    network.eval()
    with torch.inference_mode():
        expected = network(part.inputs).numpy()
    np.testing.assert_allclose(network.head.frozen().logits(features.X), expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(features.y, part.labels)


def test_extraction_moves_no_statistic_and_restores_every_mode():
    backbone = BACKBONES.create("small_cnn", in_channels=1)
    backbone.layers[1].eval()  # one module apart from the rest
    modes = [m.training for m in backbone.modules()]
    state = {key: value.clone() for key, value in backbone.state_dict().items()}
    extract_features(backbone, Images())
    assert [m.training for m in backbone.modules()] == modes
    assert len(set(modes)) == 2
    for key, value in backbone.state_dict().items():
        assert torch.equal(value, state[key]), key
    assert all(p.grad is None and p.requires_grad for p in backbone.parameters())


def test_extraction_restores_modes_after_a_failure():
    class Fails(nn.Module):
        def forward(self, inputs):
            raise RuntimeError("out of order")

    module = nn.Sequential(nn.BatchNorm2d(1), Fails())
    with pytest.raises(RuntimeError, match="out of order"):
        extract_features(module, Images())
    assert all(m.training for m in module.modules())


def test_extraction_is_by_index_in_any_order():
    backbone, part = BACKBONES.create("small_cnn", in_channels=1), Images()
    whole = extract_features(backbone, part)
    order = [7, 0, 19, 7, 3]
    some = extract_features(backbone, part, order)
    np.testing.assert_allclose(some.X, whole.X[order], rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(some.y, part.labels[order])
    assert len(some) == 5


def test_extraction_of_more_than_one_batch_misses_no_row():
    part = Images(BATCH + 3)
    flat = nn.Flatten()
    np.testing.assert_array_equal(extract_features(flat, part).X, part.inputs.flatten(1).numpy())
    backwards = np.arange(len(part))[::-1]
    np.testing.assert_array_equal(
        forward_rows(flat, part, backwards), part.inputs.flatten(1).numpy()[backwards]
    )


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_extraction_writes_the_type_asked_for(dtype):
    features = extract_features(nn.Flatten(), Images(), dtype=dtype)
    assert features.X.dtype == np.dtype(dtype)
    assert features.y.dtype == np.int64


def test_extraction_names_the_rows_that_are_not_finite():
    part = Images()
    part.inputs[4, 0, 0, 0], part.inputs[11, 0, 5, 5] = torch.nan, -torch.inf
    with pytest.raises(ValueError, match=r"2 of 20 rows hold NaN or infinity \(rows 4, 11\)"):
        extract_features(nn.Flatten(), part)
    with pytest.raises(ValueError, match=r"1 of 3 rows .*\(rows 11\)"):  # numbers of samples, not places
        extract_features(nn.Flatten(), part, [2, 11, 0])
    part.inputs[:] = torch.nan
    with pytest.raises(ValueError, match=r"\(rows 0, 1, 2, 3, 4 and \d+ more\)"):
        extract_features(nn.Flatten(), part)


@pytest.mark.filterwarnings("ignore:overflow encountered")
def test_extraction_to_float16_refuses_what_overflows():
    part = Images()
    part.inputs[6] = 7e4
    extract_features(nn.Flatten(), part)
    with pytest.raises(ValueError, match=r"\(rows 6\)"):
        extract_features(nn.Flatten(), part, dtype="float16")


@pytest.mark.parametrize(("X", "y"), [(np.ones((3, 2)), np.ones(2)), (np.ones(3), np.ones(3))])
def test_features_of_mismatched_shapes_are_refused(X, y):
    with pytest.raises(ValueError, match=re.escape(f"{X.shape} and {y.shape}")):
        Features(X, y)


# -- learning-rate schedules ------------------------------------------------------------------------------


def factors(name, steps_per_epoch, epochs, **params):
    factor = SCHEDULES.create(name, **params)
    return [factor(step, steps_per_epoch, epochs) for step in range(steps_per_epoch * epochs)]


@pytest.mark.parametrize("name", SCHEDULES.names())
def test_schedule_parameters_in_the_source_are_those_of_the_signature(name):
    described_as_signed(SCHEDULES, name, positional=[])


def test_constant_stays_and_warms_up_step_by_step():
    assert factors("constant", 3, 2) == [1.0] * 6
    assert factors("constant", 4, 2, warmup_epochs=1) == [0.25, 0.5, 0.75, 1, 1, 1, 1, 1]
    assert factors("constant", 4, 2, warmup_epochs=0.5) == [0.5, 1, 1, 1, 1, 1, 1, 1]


def test_multi_step_decays_from_the_named_epochs_on():
    rates = factors("multi_step", 2, 5, milestones=[2, 4])
    assert rates == pytest.approx([1, 1, 1, 1, 0.1, 0.1, 0.1, 0.1, 0.01, 0.01])
    halved = factors("multi_step", 2, 4, milestones=[3], gamma=0.5, warmup_epochs=1)
    assert halved == pytest.approx([0.5, 1, 1, 1, 1, 1, 0.5, 0.5])  # milestones count from the start


def test_multi_step_milestones_hold_where_epochs_are_no_binary_fractions():
    rates = factors("multi_step", 7, 30, milestones=[3, 10, 29])
    changes = [step for step in range(1, 210) if rates[step] != rates[step - 1]]
    assert changes == [21, 70, 203]


def test_cosine_follows_half_a_wave():
    rates = factors("cosine", 4, 2)
    assert rates == pytest.approx([(1 + math.cos(math.pi * step / 8)) / 2 for step in range(8)])
    assert (rates[0], rates[4]) == (1.0, pytest.approx(0.5))
    warmed = factors("cosine", 4, 3, warmup_epochs=1)
    assert warmed == pytest.approx([0.25, 0.5, 0.75, 1.0, *rates])


@pytest.mark.parametrize(("steps_per_epoch", "epochs"), [(1, 10), (7, 6), (13, 30), (5, 1)])
def test_one_cycle_is_torchs(steps_per_epoch, epochs):
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
    scheduler = torch.optim.lr_scheduler.OneCycleLR(
        optimizer,
        max_lr=1.0,
        total_steps=steps_per_epoch * epochs,
        pct_start=0.3,
        div_factor=25,
        final_div_factor=1e4,
        cycle_momentum=False,
    )
    expected = []
    for step in range(steps_per_epoch * epochs):
        expected.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        if step + 1 < steps_per_epoch * epochs:
            scheduler.step()
    np.testing.assert_allclose(factors("one_cycle", steps_per_epoch, epochs), expected, rtol=1e-6)


def once_an_epoch(make, epochs):
    """The rates that a scheduler of torch gives to a base rate of 1 when it is stepped after every epoch."""
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
    scheduler, rates = make(optimizer), []
    for epoch in range(epochs):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        if epoch + 1 < epochs:
            scheduler.step()
    return rates


def after_torchs_warmup(optimizer, epochs, then):
    rise = lr_scheduler.LinearLR(optimizer, start_factor=1 / epochs, total_iters=epochs - 1)
    return lr_scheduler.SequentialLR(optimizer, [rise, then], milestones=[epochs])


@pytest.mark.parametrize(
    ("name", "params", "make"),
    [
        ("cosine", {}, lambda optimizer: lr_scheduler.CosineAnnealingLR(optimizer, T_max=12)),
        (
            "cosine",
            {"warmup_epochs": 5},
            lambda optimizer: after_torchs_warmup(
                optimizer, 5, lr_scheduler.CosineAnnealingLR(optimizer, T_max=7)
            ),
        ),
        (
            "multi_step",
            {"milestones": [7, 10], "gamma": 0.01},
            lambda optimizer: lr_scheduler.MultiStepLR(optimizer, [7, 10], gamma=0.01),
        ),
        (
            "multi_step",
            {"milestones": [7, 10], "warmup_epochs": 5},
            lambda optimizer: after_torchs_warmup(
                optimizer, 5, lr_scheduler.MultiStepLR(optimizer, [7 - 5, 10 - 5])
            ),
        ),
        ("constant", {"warmup_epochs": 4}, lambda o: lr_scheduler.LinearLR(o, 1 / 4, total_iters=3)),
        (
            "one_cycle",
            {},
            lambda o: lr_scheduler.OneCycleLR(o, 1.0, total_steps=12, cycle_momentum=False),
        ),
    ],
)
def test_schedule_per_epoch_is_torchs_stepped_once_an_epoch(name, params, make):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # SequentialLR itself passes an epoch to step()
        expected = np.repeat(once_an_epoch(make, 12), 3)
    np.testing.assert_allclose(factors(name, 3, 12, per="epoch", **params), expected, rtol=1e-6)


def test_warmup_per_epoch_rises_by_whole_epochs():
    """.02 .04 .06 .08 .1 of LDAM-DRW's released code, whose rate is .1."""
    rates = factors("multi_step", 2, 7, milestones=[6], warmup_epochs=5, per="epoch")
    assert rates == pytest.approx([0.2, 0.2, 0.4, 0.4, 0.6, 0.6, 0.8, 0.8, 1, 1, 1, 1, 0.1, 0.1])


def test_one_cycle_peaks_at_the_end_of_its_warmup():
    rates = factors("one_cycle", 5, 4, warmup_epochs=1, start=0.2, end=0.1)
    assert rates[0] == pytest.approx(0.2)
    assert rates[2] == pytest.approx(0.6)  # half-way up
    assert rates[4] == 1.0
    assert rates[-1] == pytest.approx(0.1)
    assert rates == sorted(rates[:5]) + sorted(rates[5:], reverse=True)
    assert factors("one_cycle", 5, 4, warmup_epochs=0)[0] == 1.0


@pytest.mark.parametrize("name", SCHEDULES.names())
def test_schedule_of_a_single_step_is_a_factor(name):
    params = {"milestones": [1]} if name == "multi_step" else {}
    (only,) = factors(name, 1, 1, **params)
    assert 0 < only <= 1


# -- optimisers -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", OPTIMIZERS.names())
def test_optimizer_parameters_in_the_source_are_those_of_the_signature(name):
    described_as_signed(OPTIMIZERS, name, positional=["parameters"])


def stepped(name, gradients, **params):
    """A weight of 1 after one step for each of `gradients`."""
    weight = nn.Parameter(torch.ones(1, dtype=torch.float64))
    optimizer = OPTIMIZERS.create(name, [weight], **params)
    for gradient in gradients:
        weight.grad = torch.full_like(weight, gradient)
        optimizer.step()
    return weight.item()


def test_sgd_steps_are_those_computed_by_hand():
    plain = {"lr": 0.1, "momentum": 0.0, "weight_decay": 0.0}
    assert stepped("sgd", [2.0], **plain) == pytest.approx(0.8)
    assert stepped("sgd", [2.0], **{**plain, "weight_decay": 0.5}) == pytest.approx(1 - 0.1 * 2.5)
    heavy = {**plain, "momentum": 0.5}
    assert stepped("sgd", [2.0, 2.0], **heavy) == pytest.approx(1 - 0.2 - 0.1 * (0.5 * 2 + 2))
    ahead = 1 - 0.1 * (2 + 0.5 * 2) - 0.1 * (2 + 0.5 * 3)  # gradient + momentum × velocity
    assert stepped("sgd", [2.0, 2.0], nesterov=True, **heavy) == pytest.approx(ahead)


def test_adamw_first_step_is_the_rate_and_the_decay():
    weight = stepped("adamw", [7.0], lr=0.01, weight_decay=0.1)
    assert weight == pytest.approx(1 - 0.01 * 0.1 - 0.01)
    slow = stepped("adamw", [7.0, -7.0], lr=0.01, beta1=0.9, beta2=0.99, weight_decay=0.0)
    first_moment = (0.9 * 0.1 * 7 - 0.1 * 7) / (1 - 0.81)
    assert slow == pytest.approx(1 - 0.01 - 0.01 * first_moment / 7)


@pytest.mark.parametrize(
    ("name", "params"), [("sgd", {"lr": 0}), ("sgd", {"momentum": 1.5}), ("adamw", {"beta1": -1})]
)
def test_optimizer_refuses_bad_parameters(name, params):
    (key,) = params
    with pytest.raises(ValueError, match=rf"optimizer {name}\.{key}: must be"):
        stepped(name, [], **params)
