"""Learned sample weights: the rules by other means of computing them, and what training makes of them."""

from __future__ import annotations

import copy
import json

import numpy as np
import pytest
import torch
from torch import nn
from torch.func import functional_call
from torch.nn import functional as F

from longtail.pipeline.config.loading import load_config
from longtail.pipeline.errors import ConfigError, LongtailError
from longtail.pipeline.files.tensor_files import load_tensors
from longtail.pipeline.store.identity import representation_id
from longtail.pipeline.store.store import Store
from longtail.pipeline.training.checkpoint import Checkpoints
from longtail.pipeline.training.splits import load_splits
from longtail.pipeline.work.execute import run_stage_one
from longtail.stages.data.pictures.batches import Batch
from longtail.stages.data.pictures.in_memory import ImageArrays
from longtail.stages.heads import build_head
from longtail.stages.losses import LOSSES
from longtail.stages.meta_weights import REWEIGHTINGS
from longtail.stages.meta_weights.learned import LearnedWeights, balanced_rows
from longtail.stages.meta_weights.virtual import normalized, running_statistics_kept
from longtail.stages.network import Network
from longtail.stages.randomness import torch_seed
from tests.training_runs import Stop, assert_same_weights, folder_of, weights

RULES = REWEIGHTINGS.names()
NOT_NORMALISED = "meta_weight_net_label_noise"
RATE = 0.3


# -- a problem small enough to work out ---------------------------------------------------------------------


def linear_problem(dtype=torch.float64):
    """(losses_at, meta_loss_at, params) of softmax regression: 4 samples to weigh, 3 clean ones."""
    rng = np.random.default_rng(3)
    x, clean = (torch.tensor(rng.normal(size=(n, 2)), dtype=dtype) for n in (4, 3))
    y, right = torch.tensor([0, 1, 2, 0]), torch.tensor([0, 1, 2])
    params = {"weight": torch.tensor(rng.normal(size=(3, 2)), dtype=dtype)}

    def losses_at(params):
        return F.cross_entropy(x @ params["weight"].T, y, reduction="none")

    def meta_loss_at(params):
        return F.cross_entropy(clean @ params["weight"].T, right)

    return losses_at, meta_loss_at, params


def after_virtual_step(problem, epsilon):
    """L_meta(θ − rate·∇Σ ε_i ℓ_i(θ)) by plain autograd."""
    losses_at, meta_loss_at, params = problem
    theta = params["weight"].clone().requires_grad_()
    (slope,) = torch.autograd.grad((epsilon * losses_at({"weight": theta})).sum(), theta, create_graph=True)
    return meta_loss_at({"weight": theta - RATE * slope})


def test_l2rw_is_what_finite_differences_say():
    problem = linear_problem()
    step, effect = 1e-6, []
    for i in range(4):
        epsilon = torch.zeros(4, dtype=torch.float64)
        epsilon[i] = step
        effect.append((after_virtual_step(problem, -epsilon) - after_virtual_step(problem, epsilon)).item())
    raw = np.maximum(effect, 0)
    assert 0 < (raw > 0).sum() < 4  # some samples help, some do not
    shares = REWEIGHTINGS.create("l2rw").weigh(*problem, RATE)
    np.testing.assert_allclose(shares, raw / raw.sum(), rtol=1e-6)


def test_l2rw_gives_no_weight_where_no_sample_helps():
    _, meta_loss_at, params = linear_problem()

    def opposed(params):
        return -meta_loss_at(params).expand(4)

    assert REWEIGHTINGS.create("l2rw").weigh(opposed, meta_loss_at, params, RATE).tolist() == [0] * 4


def test_meta_weight_net_moves_as_differentiating_twice_says():
    losses_at, meta_loss_at, params = problem = linear_problem(torch.float32)
    torch.manual_seed(0)
    rule = REWEIGHTINGS.create("meta_weight_net", lr=0.5, momentum=0.9, weight_decay=5e-4)
    mlp = copy.deepcopy(rule.mlp)
    optimizer = torch.optim.SGD(mlp.parameters(), lr=0.5, momentum=0.9, nesterov=True, weight_decay=5e-4)

    def naive():
        v = mlp(losses_at(params)[:, None]).squeeze(1)
        return v / v.sum()

    for _ in range(3):
        before = naive().detach()
        shares = rule.weigh(losses_at, meta_loss_at, params, RATE)
        optimizer.zero_grad()
        after_virtual_step(problem, naive()).backward()
        optimizer.step()
        torch.testing.assert_close(shares, naive().detach(), rtol=1e-5, atol=1e-6)
        assert not torch.equal(shares, before)
        assert shares.sum().item() == pytest.approx(1)


def released_imbalance(mlp, losses):
    """(loss of the virtual step, weights of the real one) in the code for class imbalance."""
    v = mlp(losses[:, None]).squeeze(1)
    return (losses * v / v.sum()).sum(), v / v.sum()


def released_label_noise(mlp, losses):
    """The same in the code for label noise."""
    v = mlp(losses.detach()[:, None]).squeeze(1)
    return (losses * v).sum() / len(losses), v / len(losses)


@pytest.mark.parametrize(
    ("rule", "released", "make_optimizer"),
    [
        (
            "meta_weight_net_imbalance",
            released_imbalance,
            lambda p: torch.optim.SGD(p, 1e-5, momentum=0.9, nesterov=True, weight_decay=5e-4),
        ),
        (
            "meta_weight_net_imbalance",
            released_imbalance,
            lambda p: torch.optim.SGD(p, 1.0, momentum=0.9, nesterov=True, weight_decay=5e-4),
        ),
        (
            "meta_weight_net_label_noise",
            released_label_noise,
            lambda p: torch.optim.Adam(p, 1e-3, weight_decay=1e-4),
        ),
    ],
)
def test_meta_weight_net_of_a_release_moves_as_its_code_does(rule, released, make_optimizer):
    losses_at, meta_loss_at, params = problem = linear_problem(torch.float32)
    torch.manual_seed(0)
    mlp = copy.deepcopy(REWEIGHTINGS.create(rule).mlp)
    optimizer = make_optimizer(mlp.parameters())
    lr = optimizer.defaults["lr"]
    torch.manual_seed(0)
    rule = REWEIGHTINGS.create(rule, **({} if lr < 1 else {"lr": lr}))
    for _ in range(5):
        theta = params["weight"].clone().requires_grad_()
        virtual, _ = released(mlp, losses_at({"weight": theta}))
        (slope,) = torch.autograd.grad(virtual, theta, create_graph=True)
        optimizer.zero_grad()
        meta_loss_at({"weight": theta - RATE * slope}).backward()
        optimizer.step()
        with torch.no_grad():
            _, expected = released(mlp, losses_at(params))
        weights = rule.weigh(*problem, RATE)
        torch.testing.assert_close(weights, expected, rtol=1e-4, atol=1e-6)
        for own, other in zip(rule.mlp.parameters(), mlp.parameters(), strict=True):
            torch.testing.assert_close(own, other, rtol=1e-4, atol=1e-6)


def test_meta_weight_nets_differ_where_their_releases_do():
    torch.manual_seed(0)
    losses, forms = torch.tensor([0.1, 0.5, 2.0]), {}
    for name in ("meta_weight_net", "meta_weight_net_imbalance", "meta_weight_net_label_noise"):
        torch.manual_seed(0)
        forms[name] = REWEIGHTINGS.create(name)
    plain, imbalance, noise = forms.values()
    torch.testing.assert_close(plain.weights(losses), imbalance.weights(losses))
    torch.testing.assert_close(plain.influence(losses), plain.weights(losses))
    assert not torch.allclose(imbalance.influence(losses), imbalance.weights(losses), atol=1e-3)
    assert noise.weights(losses).sum() < 0.9
    torch.testing.assert_close(noise.weights(losses) * 3, noise.values(losses))


def test_meta_weight_net_learns_to_ignore_what_harms():
    """Samples 0 and 1 pull away from the clean ones and have the larger losses: the MLP can tell them."""
    target = torch.tensor([1.0, 0.0])

    def losses_at(params):
        wrong, right = (params["w"] + target) ** 2, (params["w"] - target) ** 2
        return torch.stack([wrong.sum() + 1, wrong.sum() + 2, right.sum(), right.sum()])

    params = {"w": torch.tensor([0.2, 0.0])}
    torch.manual_seed(0)
    rule = REWEIGHTINGS.create("meta_weight_net", lr=1.0, weight_decay=0.0)
    for _ in range(50):
        shares = rule.weigh(losses_at, lambda p: ((p["w"] - target) ** 2).sum(), params, 0.1)
    assert shares[:2].max() < 0.05 < 0.4 < shares[2:].min()


def test_weights_add_up_to_one_or_are_all_zero():
    assert normalized(torch.tensor([1.0, 3.0])).tolist() == [0.25, 0.75]
    assert normalized(torch.zeros(3)).tolist() == [0, 0, 0]


# -- in the training loop -----------------------------------------------------------------------------------


def small_network(loss=None, classes=3):
    torch.manual_seed(0)
    backbone = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten())
    loss = loss or LOSSES.create("cross_entropy", [5] * classes)
    return Network(backbone, build_head(loss, 4 * 36, classes)).train()


def clean_part(labels=(0, 0, 1, 1, 2, 2)):
    images = np.random.default_rng(1).integers(0, 256, (len(labels), 6, 6, 1), np.uint8)
    return ImageArrays(images, np.array(labels))


def batch_of(count=8, classes=3):
    rng = np.random.default_rng(2)
    inputs = torch.tensor(rng.normal(size=(count, 1, 6, 6)), dtype=torch.float32)
    return Batch(inputs, torch.arange(count) % classes, indices=np.arange(count))


def learned(rule="l2rw", flipped=None, **params):
    torch.manual_seed(0)
    given = {"per_class": 2, **params}
    return LearnedWeights(
        REWEIGHTINGS.create(rule, **given), clean_part(), seed=0, num_classes=3, flipped=flipped
    )


@pytest.mark.parametrize("rule", RULES)
def test_virtual_passes_leave_the_network_as_it_is(rule):
    network = small_network()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    loss = LOSSES.create("cross_entropy", [5, 5, 5])
    shares = learned(rule).weigh(network, loss, batch_of(), epoch=0, step=0, rate=0.1)
    for name, tensor in network.state_dict().items():
        assert torch.equal(tensor, before[name]), name
    assert all(p.grad is None for p in network.parameters()) and not shares.requires_grad
    network(batch_of().inputs)  # a real pass moves the statistics, as ever
    assert not torch.equal(network.backbone[1].running_mean, before["backbone.1.running_mean"])


def test_running_statistics_are_those_of_the_batch_inside_the_block_and_followed_again_after():
    norm = nn.BatchNorm2d(2).train()
    with pytest.raises(Stop), running_statistics_kept(norm):
        x = torch.randn(8, 2, 3, 3) + 5
        assert norm(x).mean().abs() < 1e-5  # normalised by the batch
        assert norm.running_mean.tolist() == [0, 0] and norm.num_batches_tracked == 0
        raise Stop
    norm(x)
    assert norm.num_batches_tracked == 1
    frozen = nn.BatchNorm2d(2).eval()
    with running_statistics_kept(frozen):
        torch.testing.assert_close(frozen(x), x, rtol=1e-4, atol=1e-4)  # still by its own statistics


def test_weights_of_a_network_are_those_of_single_gradients():
    network, loss, batch = small_network(), LOSSES.create("cross_entropy", [5, 5, 5]), batch_of()
    weigher = learned("l2rw", batch_size=6)  # all clean samples
    shares = weigher.weigh(network, loss, batch, epoch=0, step=0, rate=0.1)
    parameters = list(network.parameters())
    part = clean_part()
    mean = F.cross_entropy(network(part.batch(range(6))), torch.tensor(part.labels))
    clean = torch.autograd.grad(mean, parameters)
    losses = F.cross_entropy(network(batch.inputs), batch.labels, reduction="none")
    agreement = []
    for value in losses:
        slopes = torch.autograd.grad(value, parameters, retain_graph=True)
        agreement.append(sum((a * b).sum() for a, b in zip(slopes, clean, strict=True)))
    raw = torch.stack(agreement).clamp(min=0)
    torch.testing.assert_close(shares, raw / raw.sum(), rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("name", LOSSES.names())
def test_every_loss_can_be_weighed(name, rule):
    loss = LOSSES.create(name, [9, 5, 2])
    network = small_network(loss)
    shares = learned(rule).weigh(network, loss, batch_of(), epoch=0, step=0, rate=0.1)
    assert shares.shape == (8,) and (shares >= 0).all() and shares.isfinite().all()
    if rule == NOT_NORMALISED:
        assert 0 < shares.sum().item() < 1
    else:
        assert shares.sum().item() == pytest.approx(1, abs=1e-5)


def test_random_draws_are_those_of_the_real_pass_in_each_pass_over_the_batch():
    loss, batch = LOSSES.create("equalization", [9, 5, 2], threshold=0.9, gamma=0.5), batch_of()
    network, seen = small_network(loss), []
    network.backbone.append(nn.Dropout(0.5))

    class Twice:
        per_class, batch_size = 2, 6

        def weigh(self, losses_at, meta_loss_at, params, rate):
            seen.extend(losses_at(params) for _ in range(2))
            return torch.full((8,), 1 / 8)

        def to(self, device):
            return self

    learner = LearnedWeights(Twice(), clean_part(), seed=3, num_classes=3)
    learner.weigh(network, loss, batch, epoch=1, step=4, rate=0.1)
    loss.set_draws(3, 1, 4)
    with torch_seed(3, "network", 1, 4):  # as training seeds this step
        expected = loss.per_sample(network(batch.inputs), batch.labels)
    assert torch.equal(seen[0], seen[1]) and torch.equal(seen[0], expected)


def test_frozen_parameters_take_no_part_in_the_virtual_step():
    network, loss = small_network(), LOSSES.create("cross_entropy", [5, 5, 5])
    network.backbone.last_block = ()
    network.train_only("head")
    network.train()
    shares = learned().weigh(network, loss, batch_of(), epoch=0, step=0, rate=0.1)
    with torch.no_grad():
        features = network.backbone(batch_of().inputs)
    part = clean_part()

    def losses_at(params):
        logits = functional_call(network.head, params, (features,))
        return F.cross_entropy(logits, batch_of().labels, reduction="none")

    def meta_loss_at(params):
        logits = functional_call(network.head, params, (network.backbone(part.batch(range(6))).detach(),))
        return F.cross_entropy(logits, torch.tensor(part.labels))

    params = {name: p.detach() for name, p in network.head.named_parameters()}
    expected = REWEIGHTINGS.create("l2rw").weigh(losses_at, meta_loss_at, params, 0.1)
    torch.testing.assert_close(shares, expected, rtol=1e-3, atol=1e-5)


# -- clean batches and what is recorded ---------------------------------------------------------------------


def test_a_clean_batch_is_balanced_and_repeats_small_classes_only():
    labels = np.array([0] * 10 + [1] * 10 + [3] * 2)
    rows = balanced_rows(labels, 15, np.random.default_rng(0))
    assert np.bincount(labels[rows]).tolist() == [5, 5, 0, 5]
    for c in (0, 1):
        assert len(set(rows[labels[rows] == c])) == 5
    assert set(rows[labels[rows] == 3]) == {20, 21}
    assert sorted(np.bincount(labels[balanced_rows(labels, 16, np.random.default_rng(0))])) == [0, 5, 5, 6]


def test_mean_weights_are_by_class_and_by_whether_the_label_is_right():
    class Fixed:
        per_class, batch_size = 2, 6

        def weigh(self, losses_at, meta_loss_at, params, rate):
            return torch.tensor([0.5, 0.25, 0.25, 0.0])

        def to(self, device):
            return self

    learner = LearnedWeights(
        Fixed(), clean_part(), seed=0, num_classes=3, flipped=np.array([False, True, False, True])
    )
    batch = Batch(torch.zeros(4, 1, 6, 6), torch.tensor([0, 1, 1, 1]), indices=np.arange(4))
    loss = LOSSES.create("cross_entropy", [5, 5, 5])
    for step in range(2):
        learner.weigh(small_network(), loss, batch, epoch=0, step=step, rate=0.1)
    row = learner.finish_epoch()
    assert row["class_weights"] == [2.0, pytest.approx(2 / 3), None]
    assert (row["clean"], row["flipped"]) == (1.5, 0.5)
    assert learner.finish_epoch()["class_weights"] == [None] * 3


# -- whole runs ---------------------------------------------------------------------------------------------


def rows_of(config, store) -> list[dict]:
    return [
        json.loads(line) for line in (folder_of(config, store) / "history.jsonl").read_text().splitlines()
    ]


@pytest.mark.parametrize(
    "rule",
    ["l2rw", "{name: meta_weight_net, lr: 0.1}", "meta_weight_net_imbalance", "meta_weight_net_label_noise"],
)
def test_resume_inside_an_epoch_is_bitwise_equal(digits, tmp_path, monkeypatch, rule):
    overrides = [f"representation.reweighting={rule}", "data.label_noise=0.4"]
    whole, broken = Store(tmp_path / "whole"), Store(tmp_path / "broken")
    run_stage_one(digits(*overrides), whole)
    eager = digits(*overrides, "system.checkpoint_minutes=1e-9")  # a checkpoint after every step
    save, calls = Checkpoints.save, []

    def save_then_die(self, network, optimizer, memory, **options):
        path = save(self, network, optimizer, memory, **options)
        calls.append(memory.position)
        if len(calls) in (3, 8):
            raise Stop
        return path

    monkeypatch.setattr(Checkpoints, "save", save_then_die)
    for _ in range(2):
        with pytest.raises(Stop):
            run_stage_one(eager, broken)
    assert calls[2].epoch == 0 and calls[2].batch == 3 and calls[-1].epoch == 1 and calls[-1].batch > 0
    run_stage_one(eager, broken)
    assert_same_weights(weights(digits(*overrides), whole), weights(eager, broken))
    for row, other in zip(rows_of(digits(*overrides), whole), rows_of(eager, broken), strict=True):
        assert row["learned_weights"] == other["learned_weights"] and row["loss"] == other["loss"]
    states = [
        load_tensors(folder_of(c, s) / "epoch-0002.state")[0]
        for c, s in ((digits(*overrides), whole), (eager, broken))
    ]
    assert_same_weights(*states)
    kept = {"l2rw": (), "meta_weight_net_label_noise": ("exp_avg", "exp_avg_sq", "step")}
    of_rule = [name for name in states[0] if name.startswith("reweighting.")]
    for key in ("momentum", "exp_avg", "exp_avg_sq", "step"):
        expected = 4 if key in kept.get(rule, ("momentum",)) else 0
        assert sum(name.endswith(f".{key}") for name in of_rule) == expected


@pytest.mark.parametrize("rule", RULES)
def test_training_is_deterministic_differs_from_plain_and_records_weights(digits, tmp_path, rule):
    config = digits(f"representation.reweighting={rule}")
    trained = []
    for name in "ab":
        store = Store(tmp_path / name)
        run_stage_one(config, store)
        trained.append(weights(config, store))
    assert_same_weights(*trained)
    row = rows_of(config, store)[-1]
    assert set(row["learned_weights"]) == {"class_weights", "clean", "flipped"}
    assert row["learned_weights"]["clean"] is row["learned_weights"]["flipped"] is None
    counts = load_splits(config).class_counts
    mean = np.average(row["learned_weights"]["class_weights"], weights=counts)  # each sample once an epoch
    assert 0 < mean < 1 if rule == NOT_NORMALISED else mean == pytest.approx(1)
    assert 0 < row["weighing_seconds"] < row["seconds"]
    assert representation_id(store, config) != representation_id(store, digits())


def test_bfloat16_training_has_its_weights_from_float32_passes(digits, tmp_path, monkeypatch):
    first, weigh = [], LearnedWeights.weigh

    def weigh_then_stop(self, *args, **options):
        first.append(weigh(self, *args, **options))
        raise Stop

    for precision in ("float32", "bfloat16"):
        config = digits("representation.reweighting=l2rw", f"system.precision={precision}")
        monkeypatch.setattr(LearnedWeights, "weigh", weigh_then_stop)
        with pytest.raises(Stop):
            run_stage_one(config, Store(tmp_path / precision))
    assert torch.equal(*first)
    monkeypatch.undo()
    run_stage_one(config, Store(tmp_path / "bfloat16"))
    row = rows_of(config, Store(tmp_path / "bfloat16"))[-1]
    assert row["loss"] > 0 and max(row["learned_weights"]["class_weights"]) > 1


def test_meta_samples_leave_the_training_split_and_are_recorded(digits, store):
    config = digits("representation.reweighting={name: l2rw, per_class: 4}", "data.label_noise=0.4")
    run_stage_one(config, store)
    splits, plain = load_splits(config), load_splits(digits("data.label_noise=0.4"))
    provenance = json.loads((folder_of(config, store) / "provenance.json").read_text())["data"]
    assert provenance["class_counts"] == splits.class_counts.tolist()
    assert provenance["flipped"] == splits.flipped.sum() > 0
    assert provenance["meta_counts"] == np.bincount(splits.meta.labels).tolist() == [4] * 8 + [3, 2]
    assert len(splits.train) + len(splits.meta) == len(plain.train)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["representation.accumulation=2"], r"representation\.accumulation: must be 1 with reweighting l2rw"),
        (["representation.augment.mixup=0.2"], r"augment\.mixup: must be 0 .* two labels, got 0\.2"),
        (["system.compile=on"], r"system\.compile: must be auto or off .* got 'on'"),
        (
            ["representation.loss={name: cross_entropy, normalizer: weights}"],
            r"loss\.normalizer: must be batch",
        ),
        (["representation.epochs=0", "representation.weights=torchvision"], r"epochs: must be ≥ 1 with rewe"),
        (["representation.reweighting.per_class=0"], r"reweighting\.per_class: must be an integer ≥ 1"),
        (["representation.reweighting=l2wr"], "did you mean 'l2rw'"),
    ],
)
def test_what_does_not_go_with_learned_weights_is_refused(overrides, message):
    with pytest.raises(ConfigError, match=message):
        load_config("digits_lt", ["representation.reweighting=l2rw", *overrides])


def test_compile_auto_means_eager(digits, store, monkeypatch):
    monkeypatch.setattr("longtail.pipeline.training.train.worth_compiling", lambda *_: pytest.fail("asked"))
    run_stage_one(digits("representation.reweighting=l2rw", "representation.epochs=1"), store)


def test_init_goes_on_with_the_same_rule_and_refuses_another(digits, tmp_path):
    whole, parts = Store(tmp_path / "whole"), Store(tmp_path / "parts")
    given = [
        "representation.reweighting={name: meta_weight_net, lr: 0.1}",
        "representation.schedule=constant",
    ]
    run_stage_one(digits(*given), whole)
    first = digits(*given, "representation.epochs=1")
    run_stage_one(first, parts)
    goes_on = [f"representation.init={representation_id(parts, first)}"]
    run_stage_one(digits(*given, *goes_on), parts)
    assert_same_weights(weights(digits(*given), whole), weights(digits(*given, *goes_on), parts))
    with pytest.raises(LongtailError, match=r"has reweighting .*meta_weight_net.*, this run None"):
        run_stage_one(digits(given[1], *goes_on), parts)
