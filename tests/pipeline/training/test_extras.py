"""What training can do beside the plain step: averages, accumulation, early stopping, decay, rates, views."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from longtail.pipeline.errors import LongtailError
from longtail.pipeline.store.identity import feature_key
from longtail.pipeline.store.store import Store
from longtail.pipeline.training.checkpoint import Checkpoints
from longtail.pipeline.training.trainee_building import learning_rate
from longtail.pipeline.work.execute import run_extraction, run_stage_one, run_stage_two
from longtail.pipeline.work.feature_cache import load_verified
from longtail.stages.backbones import BACKBONES
from longtail.stages.classifiers import CLASSIFIERS
from longtail.stages.data.pictures.batches import Batch
from longtail.stages.network import LinearHead, Network
from longtail.stages.training.optimizers import OPTIMIZERS, parameter_groups
from tests.training_runs import Stop, assert_same_weights, folder_of, weights


def history(config, store):
    return [json.loads(row) for row in (folder_of(config, store) / "history.jsonl").read_text().splitlines()]


# -- weight decay -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("exempt", "expected"),
    [
        ([], set()),
        (["head_bias"], {"head.bias"}),
        (
            ["bias"],
            {"head.bias", "backbone.layers.1.bias", "backbone.layers.4.bias", "backbone.layers.7.bias"},
        ),
        (["norm"], {f"backbone.layers.{n}.{kind}" for n in (1, 4, 7) for kind in ("weight", "bias")}),
    ],
)
def test_exempt_parameters_are_not_decayed_and_all_are_there_once(exempt, expected):
    network = Network(BACKBONES.create("small_cnn"), LinearHead(64, 3))
    groups = parameter_groups(network, exempt)
    names = {id(p): name for name, p in network.named_parameters()}
    plain = {names[id(p)] for g in groups if g.get("weight_decay") == 0.0 for p in g["params"]}
    assert plain == expected
    assert sorted(names[id(p)] for g in groups for p in g["params"]) == sorted(names.values())
    optimizer = OPTIMIZERS.create("sgd", groups, lr=1.0, momentum=0.0, weight_decay=0.5)
    before = {name: p.detach().clone() for name, p in network.named_parameters()}
    for parameter in network.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    for name, parameter in network.named_parameters():
        torch.testing.assert_close(parameter.detach(), before[name] * (1.0 if name in expected else 0.5))


# -- learning rate ----------------------------------------------------------------------------------------


def test_learning_rate_is_scaled_with_the_batch_and_logged(digits, logged):
    config = digits("representation.batch_size=192", "representation.lr_batch_size=64")
    assert learning_rate(config.representation) == pytest.approx(0.3)
    assert "learning rate 0.1 for batches of 64: 0.3 for 192" in logged.text
    assert learning_rate(digits().representation) == 0.1


def test_scaled_rate_is_the_one_that_trains(digits, tmp_path):
    scaled, plain = Store(tmp_path / "scaled"), Store(tmp_path / "plain")
    one = digits("representation.lr_batch_size=32")
    other = digits("representation.optimizer.lr=0.2")
    run_stage_one(one, scaled)
    run_stage_one(other, plain)
    assert_same_weights(weights(one, scaled), weights(other, plain))


# -- gradient accumulation --------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [1, 2, 3, 7, 50])
def test_pieces_are_the_batch(count):
    batch = Batch(torch.arange(14.0).view(7, 2), torch.arange(7), torch.arange(7).flip(0), 0.3)
    pieces = list(batch.pieces(count))
    assert len(pieces) == min(count, 7)
    for field in ("inputs", "labels", "partners"):
        assert torch.equal(torch.cat([getattr(p, field) for p in pieces]), getattr(batch, field))
    assert {piece.share for piece in pieces} == {0.3}


def test_accumulated_training_is_plain_training_without_batch_norm(digits, tmp_path):
    overrides = ["representation.backbone=lenet5", "representation.augment={pad: 1, mixup: 0.3}"]
    runs = []
    for pieces in (1, 3):
        config = digits(*overrides, f"representation.accumulation={pieces}")
        store = Store(tmp_path / str(pieces))
        run_stage_one(config, store)
        runs.append((weights(config, store), history(config, store)))
    for name, array in runs[0][0].items():
        np.testing.assert_allclose(runs[1][0][name], array, rtol=2e-3, atol=2e-5)
    assert runs[0][1][-1]["loss"] == pytest.approx(runs[1][1][-1]["loss"], rel=1e-4)
    assert any(not np.array_equal(runs[0][0][k], runs[1][0][k]) for k in runs[0][0])


# -- moving average of weights ----------------------------------------------------------------------------


def test_average_is_the_one_computed_by_hand(digits, store, monkeypatch):
    config = digits("representation.ema=0.8", "system.checkpoint_minutes=1e-9", "representation.epochs=1")
    steps, save = [], Checkpoints.save

    def remember(self, network, optimizer, memory, **options):
        steps.append({k: v.detach().clone() for k, v in network.named_parameters()})
        return save(self, network, optimizer, memory, **options)

    monkeypatch.setattr(Checkpoints, "save", remember)
    run_stage_one(config, store)
    steps = steps[:-1]  # the epoch's own checkpoint repeats the last step
    expected = steps[0]
    for step in steps[1:]:
        expected = {k: 0.8 * expected[k] + 0.2 * step[k] for k in step}
    saved = weights(config, store)
    for name, tensor in expected.items():
        np.testing.assert_allclose(saved[name], tensor.numpy(), rtol=1e-5, atol=1e-6)
    assert any(not np.allclose(saved[k], steps[-1][k].numpy()) for k in expected)


def test_averaged_training_resumes_bitwise(digits, tmp_path, monkeypatch):
    extras = ["representation.ema=0.9", "representation.augment={pad: 1, flip: true}"]
    whole, broken = Store(tmp_path / "whole"), Store(tmp_path / "broken")
    run_stage_one(digits(*extras), whole)
    eager = digits(*extras, "system.checkpoint_minutes=1e-9")
    save, calls = Checkpoints.save, []

    def save_then_die(self, network, optimizer, memory, **options):
        saved = save(self, network, optimizer, memory, **options)
        calls.append(memory.position)
        if len(calls) in (1, 4, 8):
            raise Stop
        return saved

    monkeypatch.setattr(Checkpoints, "save", save_then_die)
    for _ in range(3):
        with pytest.raises(Stop):
            run_stage_one(eager, broken)
    run_stage_one(eager, broken)
    assert_same_weights(weights(eager, broken), weights(digits(*extras), whole))


# -- early stopping ---------------------------------------------------------------------------------------


def test_training_ends_when_no_epoch_gets_better(digits, store):
    config = digits("representation.epochs=60", "representation.early_stopping=3")
    one = run_stage_one(config, store)
    rows = history(config, store)
    reached = [row["validation"]["balanced_accuracy"] for row in rows]
    best = reached.index(max(reached))
    assert len(rows) == best + 1 + 3 < 60
    done = store.done("representations", one.id)
    assert done["epochs"] == len(rows) and done["best"]["epoch"] == best + 1
    assert run_stage_one(config, store) == one
    results = run_stage_two(config.model_copy(update={"classifiers": config.classifiers[:1]}), store)
    assert results[0].representation == one.id


def test_a_stalled_run_killed_before_it_was_declared_done_is_finished_as_it_is(digits, store):
    config = digits("representation.epochs=60", "representation.early_stopping=3")
    one = run_stage_one(config, store)
    before = store.done("representations", one.id)
    (folder_of(config, store) / "DONE").unlink()
    run_stage_one(config, store)
    assert store.done("representations", one.id) == before


def test_early_stopping_without_validation_is_refused(digits, store):
    config = digits("data.validation_per_class=0", "representation.early_stopping=2")
    with pytest.raises(LongtailError, match="early_stopping: needs validation samples"):
        run_stage_one(config, store)


# -- views ------------------------------------------------------------------------------------------------


def test_views_are_augmented_copies_of_the_training_features_each_its_own(digits, store):
    config = digits("features.views=3")
    features = load_verified(store, run_extraction(config, store))
    assert len(features.views) == 3 and all(view.shape == features.train.X.shape for view in features.views)
    matrices = [features.train.X, *features.views]
    for row, one in enumerate(matrices):
        for other in matrices[:row]:
            assert not np.array_equal(one, other)
    plain = load_verified(store, run_extraction(digits(), store))
    np.testing.assert_array_equal(plain.train.X, features.train.X)
    assert plain.views == []


def test_a_view_is_what_the_network_says_of_the_augmented_pictures(digits, store):
    from longtail.pipeline.training.finished_run import trained_network
    from longtail.pipeline.training.splits import load_splits
    from longtail.stages.data.pictures.augment import Augment
    from longtail.stages.randomness import generator

    config = digits("features.views=2")
    one = run_stage_one(config, store)
    features = load_verified(store, run_extraction(config, store))
    splits = load_splits(config)
    backbone = trained_network(config, store, one.id, splits, "last").backbone.eval()
    rng = generator(config.seed, "view", 1, 0)
    images, _ = splits.train.augmented(np.arange(len(splits.train)), Augment(pad=1), rng)
    with torch.inference_mode():
        np.testing.assert_allclose(features.views[1], backbone(images).numpy(), rtol=1e-5, atol=1e-5)


def test_damaged_views_are_extracted_again(digits, store):
    config = digits("features.views=1")
    key = run_extraction(config, store)
    path = store.folder("features", key) / "train.view0.X.npy"
    whole = path.read_bytes()
    path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    assert load_verified(store, key) is None
    run_stage_two(config, store)
    assert path.read_bytes() == whole


def test_classifiers_that_use_views_differ_and_the_others_do_not(digits, store):
    classifiers = "classifiers=[joint, crt, {name: crt, solver: sgd}, ncm, tau_norm, lws]"
    plain, viewed = (
        {(r.classifier, str(r.params)): r.metrics["val"] for r in run_stage_two(config, store)}
        for config in (digits(classifiers), digits(classifiers, "features.views=2"))
    )
    same = {key for key in plain if plain[key] == viewed[key]}
    assert {name for name, _ in same} == {"joint", "ncm", "tau_norm"}


def test_changing_augmentation_or_seed_changes_the_key_of_views_only(digits, store):
    keys = {
        (views, extra): feature_key(store, digits(f"features.views={views}", *extra), "0" * 64)
        for views in (0, 2)
        for extra in ((), ("representation.augment.pad=2",), ("seed=1",))
    }
    assert len({key for (views, _), key in keys.items() if views == 0}) == 1
    assert len({key for (views, _), key in keys.items() if views == 2}) == 3


def problem(n=60, d=5, classes=3, seed=0):
    rng = np.random.default_rng(seed)
    y = np.arange(n) % classes
    return rng.normal(size=(n, d)) + y[:, None], y, [rng.normal(size=(n, d)) + y[:, None] for _ in range(2)]


def test_crt_by_lbfgs_minimises_the_mean_over_views():
    X, y, views = problem()
    fitted = CLASSIFIERS.create("crt", weight_decay=0.01).fit(X, y, views=views)
    stacked = LogisticRegression(
        C=1 / (120 * 0.01), class_weight="balanced", fit_intercept=False, tol=1e-10, max_iter=10_000
    )  # the bias is a column of ones, since cRT shrinks it as well
    stacked.fit(np.hstack([np.vstack(views), np.ones((120, 1))]), np.tile(y, 2))
    np.testing.assert_allclose(fitted.head_.weight, stacked.coef_[:, :-1], atol=1e-4)
    np.testing.assert_allclose(fitted.head_.bias, stacked.coef_[:, -1], atol=1e-4)


@pytest.mark.parametrize(("name", "params"), [("crt", {}), ("crt", {"solver": "sgd"}), ("lws", {})])
def test_views_that_repeat_the_samples_change_nothing(name, params):
    X, y, _ = problem()
    seed = {"random_state": 0} if name == "crt" else {}
    one, other = (CLASSIFIERS.create(name, **params, **seed) for _ in range(2))
    plain = one.fit(X, y).scores(X)
    np.testing.assert_allclose(other.fit(X, y, views=[X, X]).scores(X), plain, rtol=1e-5, atol=1e-6)


def test_sgd_uses_a_view_an_epoch_in_turn():
    X, y, views = problem()
    alternate = CLASSIFIERS.create("crt", solver="sgd", epochs=1, random_state=0).fit(X, y, views=views)
    first = CLASSIFIERS.create("crt", solver="sgd", epochs=1, random_state=0).fit(views[0], y)
    np.testing.assert_array_equal(alternate.head_.weight, first.head_.weight)
    two = CLASSIFIERS.create("crt", solver="sgd", epochs=2, random_state=0).fit(X, y, views=views)
    same = CLASSIFIERS.create("crt", solver="sgd", epochs=2, random_state=0).fit(views[0], y)
    assert not np.array_equal(two.head_.weight, same.head_.weight)


@pytest.mark.parametrize(
    ("name", "views", "message"),
    [
        ("ncm", [np.zeros((60, 5))], "NCM does not train on views"),
        (
            "crt",
            [np.zeros((59, 5))],
            r"views: must each be \(60, 5\), like X, at least one, got \[\(59, 5\)\]",
        ),
        ("lws", [], r"at least one, got \[\]"),
        ("crt", [np.full((60, 5), np.nan)], "60 of 60 rows hold NaN"),
    ],
)
def test_views_that_cannot_be_are_refused(name, views, message):
    X, y, _ = problem()
    with pytest.raises(ValueError, match=message):
        CLASSIFIERS.create(name).fit(X, y, views=views)
