"""Recipes for published data sets start: true file formats, a step of the true network at its true size.

Those of the papers' tables are what they say: methods, epochs, weights and figures.
"""

from __future__ import annotations

import json
import re
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from longtail.pipeline.compare.variants import variants
from longtail.pipeline.config.components import registry
from longtail.pipeline.config.loading import load_config
from longtail.pipeline.config.recipes import shipped, shipped_folder
from longtail.pipeline.training.splits import load_splits
from longtail.pipeline.training.trainee_building import build, build_loss, build_sampler, learning_rate
from longtail.stages.backbones import BACKBONES
from longtail.stages.data.profiles import class_counts
from longtail.stages.losses import LOSSES
from longtail.stages.losses.corrections import corrected_twice, resamples
from longtail.stages.representation import train_representation
from tests.stages.data.cifar_files import batches, write_binary

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
    params = load_config(recipe).data.params
    classes = 10 if recipe == "cifar10_lt" else 100
    assert (
        class_counts("exponential", classes, params["max_count"], params["imbalance_factor"]).sum() == total
    )


# -- rows of the papers' tables -----------------------------------------------------------------------------

PAPERS = [name for name in shipped() if name.startswith("papers/")]
COUNTS = class_counts("exponential", 10, 500, 100)


def text_of(name: str) -> str:
    return (shipped_folder() / f"{name}.yaml").read_text(encoding="utf-8")


def header_of(name: str) -> str:
    return " ".join(line[1:].strip() for line in text_of(name).splitlines() if line.startswith("#"))


def loss_and_sampler(config, counts=COUNTS):
    """Stage one's loss and sampler over classes of `counts` samples, as a run makes them."""
    labels = np.repeat(np.arange(len(counts)), counts)
    loss = build_loss(config, SimpleNamespace(class_counts=counts, val=range(1)))
    return loss, build_sampler(config, labels, len(counts))


def test_paper_recipes_are_a_few_lines_over_a_base():
    based = {
        name: re.findall(r"^base: (?:.*/)?(\w+)[.]yaml$", text_of(name), re.MULTILINE) for name in PAPERS
    }
    bases = {f"papers/{base[0]}" for base in based.values() if base}
    assert {name for name, base in based.items() if not base} <= bases
    lines = [[line for line in text_of(name).splitlines() if not line.startswith("#")] for name in PAPERS]
    assert max(map(len, lines)) <= 25


@pytest.mark.parametrize("name", PAPERS)
def test_overrides_a_paper_recipe_names_are_settings(name):
    overrides = re.findall(r"\b((?:data|representation)[.][\w.]+=[^\s,;:]*[^\s,;:.])", header_of(name))
    assert overrides
    for override in overrides:
        load_config(name, [override])


def test_figures_in_the_table_of_paper_recipes_stand_in_their_headers():
    def figures(text):
        return {float(number) for number in re.findall(r"\d*\.\d+", text)}

    table = (shipped_folder() / "README.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(papers/\S+)` \| (.*)\|$", table, re.MULTILINE)
    assert len(rows) == len(PAPERS)
    strange = {name: figures(row) - figures(header_of(name)) for name, row in rows}
    assert not {name: figures_missing for name, figures_missing in strange.items() if figures_missing}


def test_only_accuracy_uniformity_favours_rare_classes_in_loss_and_sampler():
    twice = set()
    for name in PAPERS:
        config = load_config(name)
        settings, last = config.representation, config.representation.epochs - 1
        loss, sampler = loss_and_sampler(config)
        weights = getattr(loss, "class_weights", torch.ones(1))
        if resamples(sampler, last) and (loss.corrects_prior_at(last) or len(set(weights.tolist())) > 1):
            twice.add(name)
        warning = corrected_twice(loss, settings.loss.name, sampler, settings.sampler.name, epoch=last)
        assert warning is None, name
    assert twice == {"papers/park_cifar10_accuracy_uniformity"}


def test_accuracy_uniformity_has_the_published_clipped_weights():
    config = load_config("papers/park_cifar10_accuracy_uniformity")
    counts = class_counts("exponential", 10, 5000, config.data.params["imbalance_factor"])
    loss, sampler = loss_and_sampler(config, counts)
    assert [round(w, 3) for w in loss.class_weights.tolist()] == [1, 1, 1, 1.592, *6 * [1.778]]
    batch = sampler.labels[sampler.indices()[: config.representation.batch_size]]
    assert np.bincount(batch).tolist() == 10 * [13]


@pytest.mark.parametrize("name", [name for name in PAPERS if name.endswith("_drw")])
def test_deferred_weights_begin_with_the_first_decay(name):
    config = load_config(name)
    loss, _ = loss_and_sampler(config)
    logits, labels = torch.linspace(-1, 1, 40).reshape(4, 10).sin(), torch.tensor([0, 3, 9, 9])

    def other(**changed):
        params = {**config.representation.loss.params, **changed}
        return LOSSES.create(config.representation.loss.name, COUNTS, **params)(logits, labels)

    decay = config.representation.schedule.params["milestones"][0]
    assert decay == 160
    loss.set_epoch(decay - 1)
    assert loss(logits, labels) == other(weighting="none")
    loss.set_epoch(decay)
    assert loss(logits, labels) == other(start_epoch=0) != other(weighting="none")


@pytest.mark.parametrize("name", [name for name in PAPERS if name.endswith("_drs")])
def test_deferred_sampling_begins_with_the_first_decay(name):
    _, sampler = loss_and_sampler(load_config(name))
    assert not resamples(sampler, 159)
    np.testing.assert_allclose(sampler.class_probabilities(160), 0.1)


@pytest.mark.parametrize("year", [17, 18])
def test_class_balanced_loss_on_inaturalist_scales_its_rate_with_the_batch(year):
    rates = [
        learning_rate(load_config(f"papers/cui_inaturalist{year}_{loss}").representation)
        for loss in ("softmax", "cb_focal")
    ]
    assert rates == pytest.approx([0.4, 1.6])  # 0.1 and 0.4 per 256 pictures, in batches of 1,024


STEPPED_BY_EPOCH = re.compile(r"papers/(cao_|kang_imagenet|kang_inaturalist|sinha_imagenet|zhong_)")


@pytest.mark.parametrize("name", PAPERS)
def test_rate_changes_once_an_epoch_where_the_papers_code_has_it_so(name):
    settings = load_config(name).representation
    factor = registry("schedules").create(settings.schedule.name, **settings.schedule.params)
    rates = [{factor(epoch * 7 + step, 7, settings.epochs) for step in range(7)} for epoch in range(5)]
    by_epoch = all(len(of_epoch) == 1 for of_epoch in rates)
    changes = len(set.union(*rates)) > 1
    assert by_epoch == (bool(STEPPED_BY_EPOCH.match(name)) or not changes)


@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("sinha_cifar100_cdb", 1),
        ("sinha_cifar100_cdb_tau", 1),
        ("sinha_imagenet_lt_cdb", 1),
        ("mnist_binary", 2),
    ],
)
def test_cdb_of_its_paper_is_not_smoothed(name, count):
    grid = variants(f"papers/{name}", [])
    losses = [variant.config.representation.loss.full() for variant in grid]
    assert [loss["smoothing"] for loss in losses if loss["name"] == "cdb"] == [0] * count


REPRESENTATIVE = {  # one for each kind of head, weights, sampler and need
    "cao_cifar10_ldam_drw": [],
    "cao_cifar10_ldam_hg_drs": [],
    "cui_cifar10_cb_sigmoid": [],
    "park_cifar10_accuracy_uniformity": [
        "representation.sampler.per_class=1",
        "representation.batch_size=10",
    ],
    "sinha_cifar100_cdb": ["data.validation_per_class=1"],
    "zhong_cifar100_label_aware_smoothing": [],
}


@pytest.mark.parametrize("name", REPRESENTATIVE)
def test_paper_recipe_takes_a_step_on_binary_files(name, tmp_path):
    data = name.split("_")[1]
    write_binary(tmp_path, data, batches(data, per_class=4))
    small = ["data.max_count=4", "data.imbalance_factor=4", "representation.batch_size=8"]
    if data == "cifar100":
        small[:2] = ["data.max_count=2", "data.imbalance_factor=2"]
    config = load_config(f"papers/{name}", [f"data.root={tmp_path}", *small, *REPRESENTATIVE[name]])
    _, trainee = one_step(config)
    assert (trainee.loss.head_kind == "cosine") == name.startswith("cao")
