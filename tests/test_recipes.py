"""Recipes for published data sets start: true file formats, a step of the true network at its true size."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from PIL import Image

from pipeline.config import load_config
from pipeline.training import build, load_splits
from stages.backbones import BACKBONES
from stages.representation import train_representation
from tests.test_cifar import batches, write_binary

LISTED = ("imagenet_lt_resnet10", "imagenet_lt_resnext50", "places_lt_resnet152", "inaturalist18_resnet50")


def write_pictures(folder, count):
    """`count` pictures of an odd size, as large sets have them; their paths relative to `folder`."""
    (folder / "pictures").mkdir(parents=True)
    rng = np.random.default_rng(0)
    for n in range(count):
        Image.fromarray(rng.integers(0, 256, (240, 300, 3), np.uint8)).save(folder / f"pictures/{n}.jpg")
    return [f"pictures/{n}.jpg" for n in range(count)]


def listed(folder, recipe) -> list[str]:
    """Overrides that put small lists of pictures in the place of the published ones."""
    paths = write_pictures(folder, 8)
    parts = {"train": paths[:4], "val": paths[4:6], "test": paths[6:]}
    overrides = [f"data.root={folder}"]
    for part in ("train", "test") if recipe.startswith("inaturalist") else parts:
        if recipe.startswith("inaturalist"):
            images = [{"id": n, "file_name": path} for n, path in enumerate(parts[part])]
            labels = [{"image_id": n, "category_id": n % 2} for n in range(len(images))]
            text, suffix = json.dumps({"images": images, "annotations": labels}), "json"
        else:
            text = "".join(f"{path} {n % 2}\n" for n, path in enumerate(parts[part]))
            suffix = "txt"
        (folder / f"{part}.{suffix}").write_text(text)
        overrides.append(f"data.{part}={folder}/{part}.{suffix}")
    return overrides


def one_step(config):
    splits = load_splits(config)
    trainee = build(config, splits, "cpu", "float32", True)
    steps = []

    class Enough(Exception):
        pass

    def after_step(position):
        steps.append(position)
        raise Enough

    before = trainee.network.head.weight.detach().clone()
    with pytest.raises(Enough):
        list(
            train_representation(
                trainee.network, trainee.batches, trainee.loss, trainee.optimizer,
                schedule=lambda *_: 1.0, epochs=1, after_step=after_step,
            )
        )  # fmt: skip
    assert np.isfinite(steps[0].totals.loss)
    assert not torch.equal(trainee.network.head.weight, before)
    return splits, trainee


@pytest.mark.parametrize("recipe", LISTED)
def test_large_recipe_takes_a_step_of_its_network_on_listed_pictures(recipe, tmp_path):
    overrides = [*listed(tmp_path, recipe), "representation.batch_size=2", "system.workers=1"]
    if recipe.startswith("places"):
        path = tmp_path / "resnet152.pth"
        torch.save({f"module.{k}": v for k, v in BACKBONES.create("resnet152").state_dict().items()}, path)
        overrides.append(f"representation.weights={path}")
    splits, trainee = one_step(load_config(recipe, overrides))
    assert splits.input_shape == (3, 224, 224)
    assert splits.train.resize == 256
    frozen = [name for name, p in trainee.network.named_parameters() if not p.requires_grad]
    assert all(not name.startswith(("head", "backbone.layer4")) for name in frozen)
    assert bool(frozen) == recipe.startswith("places")


@pytest.mark.parametrize(
    ("recipe", "data", "classes"),
    [("cifar10_lt", "cifar10", 10), ("cifar100_lt", "cifar100", 100), ("cifar100_lt_cdb", "cifar100", 100)],
)
def test_cifar_recipe_takes_a_step_of_its_network_on_binary_files(recipe, data, classes, tmp_path):
    write_binary(tmp_path, data, batches(data, per_class=4))
    small = ["data.max_count=2", "data.imbalance_factor=2", "representation.batch_size=8"]
    if recipe.endswith("cdb"):
        small.append("data.validation_per_class=1")
    splits, trainee = one_step(load_config(recipe, [f"data.root={tmp_path}", *small]))
    assert splits.num_classes == classes and splits.class_counts.max() == 2
    assert trainee.network.backbone.num_features == 64


@pytest.mark.parametrize(
    ("recipe", "total"), [("cifar10_lt", 12406), ("cifar100_lt", 10847), ("cifar100_lt_cdb", 9754)]
)
def test_cifar_recipe_has_the_published_number_of_images(recipe, total):
    from stages.data.longtail import class_counts

    params = load_config(recipe).data.params
    classes = 10 if recipe == "cifar10_lt" else 100
    assert (
        class_counts("exponential", classes, params["max_count"], params["imbalance_factor"]).sum() == total
    )
