"""Two classes of a larger set, wrong labels on purpose, samples set apart, and averages over splits."""

from __future__ import annotations

import json

import numpy as np
import pytest
from click.testing import CliRunner

from longtail.pipeline.cli import cli
from longtail.pipeline.compare.variants import variants
from longtail.pipeline.config.loading import load_config
from longtail.pipeline.store.identity import feature_key, representation_id
from longtail.pipeline.store.store import Store
from longtail.pipeline.training.splits import load_splits
from longtail.stages.data.longtail import make_splits
from longtail.stages.data.noise import flip_labels
from tests.stages.data.numbered_pictures import by_class, collection, numbers

BINARY = ["data.profile=binary", "data.classes=[4, 9]", "data.imbalance_factor=null", "data.max_count=null",
          "data.total=80", "data.majority_ratio=0.9"]  # fmt: skip
HELD = {"validation_per_class": 10, "test_per_class": 10}


# -- two classes --------------------------------------------------------------------------------------------


def test_two_digits_of_ten_from_a_configuration():
    splits = load_splits(load_config("digits_lt", BINARY))
    assert splits.class_names == ["4", "9"] and splits.num_classes == 2
    assert splits.class_counts.tolist() == [8, 72]
    for part, size in ((splits.val, 20), (splits.test, 40)):
        assert np.bincount(part.labels).tolist() == [size, size]


def test_the_order_of_classes_says_which_is_the_minority():
    splits = load_splits(load_config("digits_lt", [*BINARY, "data.classes=[9, 4]"]))
    assert splits.class_names == ["9", "4"] and splits.class_counts.tolist() == [8, 72]


@pytest.mark.parametrize(
    ("recipe", "classes"), [("papers/mnist_binary", [4, 9]), ("papers/fashion_binary", [2, 4])]
)
def test_recipe_has_the_counts_of_the_paper(recipe, classes):
    rng = np.random.default_rng(0)
    sizes = [0] * 10
    for c in classes:
        sizes[c] = 5842
    test = [n and int(rng.integers(900, 1000)) for n in sizes]
    config = load_config(recipe)
    params = {k: v for k, v in config.data.params.items() if k != "root"}
    splits = make_splits(collection(sizes, test=test), **params)
    assert splits.class_counts.tolist() == [500, 4500]
    assert np.bincount(splits.val.labels).tolist() == [500, 500]
    assert np.bincount(splits.test.labels).tolist() == [800, 800]
    rows = dict.fromkeys(v.row for v in variants(recipe, []))
    assert len(rows) == 8
    for ratio, minority in ((0.95, 250), (0.98, 100), (0.99, 50), (0.995, 25)):
        splits = make_splits(collection(sizes, test=test), **{**params, "majority_ratio": ratio})
        assert splits.class_counts.tolist() == [minority, 5000 - minority]


# -- wrong labels -------------------------------------------------------------------------------------------


def test_labels_flip_to_each_other_class_equally_often():
    labels = np.repeat([0, 1, 2, 3], 5000)
    noisy, flipped = flip_labels(labels, np.arange(20_000), 20_000, 4, share=0.4, seed=1)
    assert (noisy != labels).tolist() == flipped.tolist()  # a flip is never back to the label itself
    assert flipped.mean() == pytest.approx(0.4, abs=0.015)
    became = np.zeros((4, 4))
    np.add.at(became, (labels[flipped], noisy[flipped]), 1)
    shares = became / became.sum(1, keepdims=True)
    np.testing.assert_allclose(shares, (1 - np.eye(4)) / 3, atol=0.04)


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_no_and_every_label_can_be_wrong(share):
    noisy, flipped = flip_labels(np.arange(10) % 2, np.arange(10), 10, 2, share=share, seed=0)
    assert flipped.all() == (share == 1) and (noisy == np.arange(10) % 2).any() == (share == 0)


def test_one_class_has_no_wrong_label_to_take():
    with pytest.raises(ValueError, match=r"^label_noise: needs at least two classes, got 1"):
        flip_labels(np.zeros(3, int), np.arange(3), 3, 1, share=0.1, seed=0)


def test_only_training_labels_are_wrong_and_counts_are_of_what_is_trained_on():
    data = collection([60, 60, 60])
    plain = make_splits(data, **HELD)
    noisy = make_splits(data, label_noise=0.4, meta_per_class=5, **HELD)
    truth = {n: c for c, members in by_class(data.train).items() for n in members}
    for part in (noisy.val, noisy.test, noisy.meta):
        assert [truth[n] for n in numbers(part)] == part.labels.tolist()
    assert by_class(noisy.val) == by_class(plain.val) and by_class(noisy.test) == by_class(plain.test)
    wrong = np.array([truth[n] for n in numbers(noisy.train)]) != noisy.train.labels
    assert wrong.tolist() == noisy.flipped.tolist() and 0.2 < wrong.mean() < 0.6
    assert noisy.class_counts.tolist() == np.bincount(noisy.train.labels).tolist()
    assert plain.flipped is None and plain.meta is None


def test_a_sample_is_wrong_whatever_else_is_in_the_subset_and_with_another_seed_others_are():
    data = collection([60, 60, 60])

    def wrong(**params):
        splits = make_splits(data, label_noise=0.4, **HELD, **params)
        return dict(zip(numbers(splits.train), splits.train.labels.tolist(), strict=True))

    whole = wrong()
    for part in (wrong(max_count=20), wrong(meta_per_class=5)):
        assert len(part) < len(whole) and all(whole[n] == label for n, label in part.items())
    assert wrong(seed=1) != whole and wrong() == whole


def test_label_noise_is_part_of_identity_shown_and_out_of_the_way_when_null(tmp_path):
    store = Store(tmp_path)
    names = {
        representation_id(store, load_config("digits_lt", given))
        for given in ([], ["data.label_noise=0.4"], ["data.label_noise=0"], ["data.label_noise=0.2"])
    }
    assert len(names) == 3
    result = CliRunner().invoke(
        cli, ["show", "digits_lt", "data.label_noise=0.4", "representation.reweighting=l2rw"]
    )
    splits = load_splits(
        load_config("digits_lt", ["data.label_noise=0.4", "representation.reweighting=l2rw"])
    )
    assert f"label noise: {splits.flipped.sum()} of {len(splits.train)} training labels" in result.output
    assert f"sample weights on: {len(splits.meta)} samples" in result.output


# -- samples set apart --------------------------------------------------------------------------------------


def test_meta_samples_are_of_the_training_split_alone_and_half_of_a_small_class_at_most():
    data = collection([60, 40, 25])
    plain = make_splits(data, **HELD)
    apart = make_splits(data, meta_per_class=5, **HELD)
    assert np.bincount(apart.meta.labels).tolist() == [5, 5, 2]
    assert apart.class_counts.tolist() == [35, 15, 3]
    for c, members in by_class(plain.train).items():
        assert by_class(apart.train)[c] | by_class(apart.meta)[c] == members
        assert not by_class(apart.train)[c] & by_class(apart.meta)[c]
    assert apart.meta.constants == apart.train.constants
    again, other = (make_splits(data, meta_per_class=5, seed=s, **HELD) for s in (0, 1))
    assert numbers(again.meta) == numbers(apart.meta) != numbers(other.meta)
    assert sorted(apart.parts()) == ["test", "train", "val"]  # stage two never sees them


def test_a_class_of_one_sample_cannot_give_any_and_an_empty_one_need_not():
    with pytest.raises(ValueError, match=r"^meta_per_class: class 'class 1' has a single training"):
        make_splits(collection([60, 21]), meta_per_class=5, **HELD)
    splits = make_splits(collection([5, 0]), meta_per_class=2, validation_per_class=0, test_per_class=0)
    assert splits.class_counts.tolist() == [3, 0] and splits.meta.labels.tolist() == [0, 0]


def test_features_of_other_training_samples_have_another_key(tmp_path, digits):
    store = Store(tmp_path)
    keys = {
        feature_key(store, digits(*given), "ab")
        for given in ([], ["representation.reweighting=l2rw"], ["representation.reweighting=meta_weight_net"],
                      ["representation.reweighting={name: l2rw, per_class: 5}"])
    }  # fmt: skip
    assert len(keys) == 3  # by how many samples are gone


# -- averages over splits -----------------------------------------------------------------------------------


def test_data_seeds_are_replicates_of_a_row(tmp_path):
    grid = variants("digits_lt", ["seed=3", "data.seed=5"], vary=["seed=1,2"], data_seeds=2)
    assert [v.row for v in grid] == ["seed=1"] * 2 + ["seed=2"] * 2
    grid = variants("digits_lt", ["seed=3", "data.seed=5"], seeds=2, data_seeds=3)
    assert {v.row for v in grid} == {"as configured"}
    drawn = [(v.config.data.full()["seed"], v.config.seed) for v in grid]
    assert drawn == [(5, 3), (5, 4), (6, 3), (6, 4), (7, 3), (7, 4)]
    path = tmp_path / "a.yaml"
    path.write_text("data: digits\nablation: {data_seeds: 2}\n")
    assert [v.config.data.full()["seed"] for v in variants(str(path), [])] == [0, 1]
    assert len(variants(str(path), [], data_seeds=1)) == 1
    assert str(variants(str(path), [])[1]) == "as configured, seed 0, data seed 1"


def test_error_over_splits_is_one_less_accuracy_with_its_deviation(tmp_path):
    arguments = ["--root", str(tmp_path), "ablate", "digits_lt", *BINARY, "representation.epochs=1",
                 "system.threads=1", "classifiers=[joint]", "--data-seeds", "3",
                 "--metric", "error"]  # fmt: skip
    done = CliRunner().invoke(cli, arguments)
    assert done.exit_code == 0, done.exception
    [record] = json.loads(CliRunner().invoke(cli, [*arguments, "--format", "json"]).stdout)
    assert record["data_seeds"] == [0, 1, 2] and record["seeds"] == [0, 0, 0]
    results = [Store(tmp_path).result(run) for run in record["runs"]]
    errors = [1 - result.metrics["test"]["accuracy"] for result in results]
    assert [result.data_seed for result in results] == [0, 1, 2]
    mean, std = np.mean(errors), np.std(errors, ddof=1)
    assert record["metrics"]["error"] == {"mean": pytest.approx(mean), "std": pytest.approx(std), "n": 3}
    assert f"{100 * mean:.2f} ± {100 * std:.2f} (3)" in done.stdout
    assert "test error in %, mean ± sample deviation over seeds and splits" in done.stdout
