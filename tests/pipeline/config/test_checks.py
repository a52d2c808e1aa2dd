"""What is refused or warned of before a first step is made."""

from __future__ import annotations

import logging
import re
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from longtail.pipeline.config.choices import check_choices, chooses, has_cosine_head
from longtail.pipeline.config.components import check_spec, registry
from longtail.pipeline.config.loading import load_config
from longtail.pipeline.config.rules import backbones_with_published_weights
from longtail.pipeline.errors import ConfigError, FitFailed
from longtail.pipeline.training.continuation import warn_of_start
from longtail.pipeline.training.splits import warn_of_splits
from longtail.pipeline.work.execute import run_stage_two
from longtail.pipeline.work.plan import planned_steps
from longtail.stages.network import Head
from longtail.stages.selection import NEEDS_VALIDATION
from tests.command_line import SMALL, failed, longtail, ok

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


@pytest.mark.parametrize("cosine", [False, True])
@pytest.mark.parametrize("spec", specs(), ids=str)
def test_a_classifier_chooses_exactly_when_it_cannot_be_fitted_without_validation(spec, cosine):
    rng = np.random.default_rng(0)
    y = np.arange(30) % 3
    X = (rng.normal(size=(30, 4)) + y[:, None]).astype(np.float32)
    params = {key: value for key, value in spec.items() if key != "name"}
    if spec["name"] == "resampled":
        params = {"method": "random_over", **params}
    estimator = registry("classifiers").create(spec["name"], **params)
    head = Head(rng.normal(size=(3, 4)), None if cosine else np.zeros(3), cosine=cosine)
    try:
        estimator.fit(X, y, head=head)
        needs = False
    except ValueError as error:
        assert str(error) == NEEDS_VALIDATION
        needs = True
    assert chooses(check_spec("classifiers", spec), cosine=cosine) is needs


def test_losses_with_a_cosine_head_are_those_that_say_so(digits):
    counts = np.array([9, 5, 2])
    kinds = {name: registry("losses").create(name, counts).head_kind for name in registry("losses").names()}
    for name, kind in kinds.items():
        assert has_cosine_head(digits(f"representation.loss={name}")) is (kind == "cosine")
    assert set(kinds.values()) == {"linear", "cosine"}
    for setting in ("loss=ldam", "head=cosine"):
        check_choices(digits(NO_VALIDATION, f"representation.{setting}", "classifiers=[tau_norm]"))
    with pytest.raises(ConfigError):
        check_choices(digits(NO_VALIDATION, "representation.loss=focal", "classifiers=[tau_norm]"))


def test_choices_without_samples_are_refused_before_training_with_the_settings_to_change(digits, store):
    config = digits(NO_VALIDATION, "classifiers=[joint, tau_norm, {name: temperature, classifier: crt}]")
    for call in (run_stage_two, planned_steps):
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
    outcome = ok("--root", tmp_path / "r", "show", *SMALL, NO_VALIDATION)
    assert "classifiers.3: tau_norm chooses" in outcome.err and "class counts" in outcome.out


def test_other_classifiers_go_on_and_print_when_one_cannot_be_fitted(tmp_path):
    small = [*SMALL, "data.validation_per_class=null", "data.validation_fraction=0.001",
             "representation.epochs=1", "classifiers=[joint, tau_norm, ncm]"]  # fmt: skip
    outcome = longtail("--root", tmp_path, "run", *small)
    assert outcome.status == 1
    assert [line.split()[0] for line in outcome.out.splitlines()[3:-1]] == ["joint", "ncm"]
    warned, *_, last = [line for line in outcome.err.splitlines() if "tau_norm" in line]
    assert warned.startswith(
        "warning: tau_norm chooses on validation samples and there is none; hold some out"
    )
    assert last == f"error: failed: {warned.removeprefix('warning: ')}"
    assert outcome.err.index("warning: tau_norm") < outcome.err.index("epoch 1/1")
    assert outcome.err.count("warning: tau_norm") == 1
    again = longtail("--root", tmp_path, "classify", *small)
    assert (again.status, again.out) == (1, outcome.out)


def test_a_failure_is_raised_where_nobody_takes_it(digits, store):
    config = digits("representation.epochs=1", "data.validation_per_class=null",
                    "data.validation_fraction=0.001", "classifiers=[tau_norm]")  # fmt: skip
    with pytest.raises(FitFailed, match="tau_norm chooses on validation samples"):
        run_stage_two(config, store)


# -- settings that do not go together ---------------------------------------------------------------------


def problems(*overrides: str, recipe: str = "digits_lt") -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load_config(recipe, overrides)
    return [line.removeprefix(f"{recipe}: ") for line in str(caught.value).splitlines()]


@pytest.mark.parametrize("name", ["digits", "fashion_mnist", "cifar10"])
@pytest.mark.parametrize("option", ["jitter", "resized_crop"])
def test_what_needs_pictures_in_files_is_refused_for_those_in_memory(name, option):
    (line,) = problems(f"data={{name: {name}, seed: 1}}", f"representation.augment={{{option}: 0.3, pad: 0}}")
    assert line == (
        f"representation.augment.{option}: is for pictures decoded from files, {name} keeps them in memory, "
        "got 0.3; use pad, flip and mixup"
    )


def test_a_folder_in_memory_gets_a_hint_how_to_stream():
    crop = ["representation.augment={pad: 0, resized_crop: 0.3}"]
    (line,) = problems(*crop, recipe="image_folder")
    assert line.endswith("got 0.3; set data.in_memory=false")
    assert load_config("image_folder", [*crop, "data.in_memory=false"]).representation.augment.resized_crop


def test_published_weights_are_known_by_backbone():
    import torchvision

    known = set(torchvision.models.list_models(module=torchvision.models))
    facts = {name: registry("backbones").describe(name).facts for name in registry("backbones").names()}
    models = {name: fact.get("torchvision") for name, fact in facts.items()}
    aliases = {"resnext50": "resnext50_32x4d"}  # same network, another name
    assert models == {name: m if (m := aliases.get(name, name)) in known else None for name in facts}
    assert backbones_with_published_weights() == [name for name in models if models[name]]


def test_published_weights_that_cannot_fit_are_refused_with_all_reasons():
    (line,) = problems("representation.weights=torchvision")
    assert line.startswith("representation.weights: torchvision has weights for resnet18, ")
    assert line.endswith("got representation.backbone=small_cnn")
    messages = problems("representation.weights=torchvision:DEFAULT", "representation.backbone=resnet10",
                     "data.mode=gray", recipe="image_folder")  # fmt: skip
    assert len(messages) == 3 and messages[0].endswith("DEFAULT changes with torchvision")
    assert "data.mode=gray; data.mode=rgb shows grey as colour" in messages[2]


def test_settings_that_an_override_mapping_adds_to_are_attributed_to_the_file():
    files, mapping = "data.in_memory=false", "representation.augment={resized_crop: 0.3}"
    rule = "representation.augment.pad: must be 0 with resized_crop, which crops already, got "
    (line,) = problems(mapping, files, recipe="image_folder")
    assert line == (
        f"{rule}4; image_folder sets it, an override adds to the file's mapping and "
        "representation.augment.pad=null takes it out"
    )
    fixed = load_config("image_folder", [mapping, files, "representation.augment.pad=null"])
    assert fixed.representation.augment.pad == 0 and fixed.representation.augment.resized_crop == 0.3
    for own in ([mapping.replace("}", ", pad: 2}")], [mapping, "representation.augment.pad=2"]):
        assert problems(*own, files, recipe="image_folder") == [f"{rule}2"]


# -- what training starts from ----------------------------------------------------------------------------


def test_a_backbone_frozen_at_random_is_warned_of_wherever_it_is_seen(tmp_path):
    command = ["--root", tmp_path, "run", *SMALL, "representation.trainable=head", "classifiers=[joint]"]
    warned = "warning: representation.trainable=head freezes a backbone of random weights"
    for outcome in (ok(*command, "--dry-run"), ok(*command[:2], "show", *command[3:]), ok(*command)):
        assert outcome.err.count(warned) == 1
    assert warned not in ok(*command).err  # done


@pytest.mark.parametrize(("side", "warned"), [(3, True), (4, False)])
def test_pictures_of_few_pixels_are_warned_of(side, warned, caplog):
    with caplog.at_level(logging.WARNING, "longtail"):
        warn_of_start(load_config("image_folder", [f"data.image_size={side}"]))
    warning = f"data.image_size={side} leaves little to see; most pictures need 32 or more"
    assert [record.getMessage() for record in caplog.records] == [warning] * warned


def test_classes_without_samples_are_listed_with_how_many_more(digits, caplog):
    def part(*labels):
        return SimpleNamespace(labels=np.array(labels, np.int64))

    names = [f"c{n}" for n in range(12)]
    splits = SimpleNamespace(train=part(0, 1, 2), val=[0], test=part(*range(11)), class_names=names)
    with caplog.at_level(logging.WARNING, "longtail"):
        warn_of_splits(digits(), splits)
        warn_of_splits(
            digits(), SimpleNamespace(**{**vars(splits), "train": part(*range(12)), "test": part()})
        )
    assert [record.getMessage() for record in caplog.records] == [
        "no training sample in 9 classes (c3, c4, c5, c6, c7 and 4 more): never predicted",
        "no test sample in 1 class (c11): in no mean, and accuracy undefined",
    ]


def test_another_backbone_than_inits_is_refused_by_dry_run_show_and_run_alike(tmp_path):
    small = [*SMALL, "representation.epochs=1"]
    earlier = Path(ok("--root", tmp_path, "represent", *small).out.strip())
    other = [*SMALL, f"representation.init={earlier.name}", "representation.backbone=lenet5"]
    for command in (["run", *other, "--dry-run"], ["run", *other], ["show", *other]):
        (line,) = failed(1, "--root", tmp_path, *command)
        assert re.search(r"representation.init: .* has backbone small_cnn, this run lenet5", line)
    assert list((tmp_path / "representations").iterdir()) == [earlier]


@pytest.mark.parametrize(
    "settings",
    [
        ["system.device=cuda:77"],
        ["data.validation_per_class=0", "representation.early_stopping=2"],
        ["representation.sampler=uniform_batch"],
        ["representation.optimizer.lr=1e30"],  # the first step's loss is infinite
    ],
)
def test_a_run_refused_before_its_first_step_leaves_nothing(tmp_path, settings):
    lines = failed(1, "--root", tmp_path, "represent", *SMALL, *settings)
    if "lr" not in settings[0]:
        assert not [line for line in lines if line.startswith("representation ")]  # not yet training
        assert not list(tmp_path.glob("representations/*"))


def test_weights_taken_as_given_are_not_called_training(tmp_path):
    import safetensors.torch

    backbone = registry("backbones").create("small_cnn", in_channels=1)
    safetensors.torch.save_file(backbone.state_dict(), tmp_path / "w.safetensors")
    small = [*SMALL[:1], "representation.epochs=0", f"representation.weights={tmp_path}/w.safetensors"]
    outcome = ok("--root", tmp_path / "r", "represent", *small)
    assert "the weights as given" in outcome.err and "training" not in outcome.err


@pytest.mark.parametrize(("content", "reason"), [(b"\x80\x02}q\x00K\x01h\x65s.", "damaged"), (b"no", "")])
def test_a_file_that_is_no_weights_gets_a_reason_in_words(tmp_path, content, reason):
    (tmp_path / "w.pth").write_bytes(content)
    small = [*SMALL, f"representation.weights={tmp_path}/w.pth"]
    lines = failed(1, "--root", tmp_path / "r", "represent", *small)
    assert len(lines) == 1 and reason in lines[0] and len(lines[0]) < 300
    assert not re.search(r"\(\d+\)", lines[0]) and "pickle protocol" not in lines[0]
    assert not (tmp_path / "r" / "representations").exists()


def test_colour_weights_for_a_grey_network_get_a_hint_and_a_short_line(tmp_path):
    import safetensors.torch

    backbone = registry("backbones").create("resnet32", in_channels=3)
    safetensors.torch.save_file(
        {f"module.{k}{'x' * (n > 1)}": v for n, (k, v) in enumerate(backbone.state_dict().items())},
        tmp_path / "w.safetensors",
    )
    small = [*SMALL, "representation.backbone=resnet32", f"representation.weights={tmp_path}/w.safetensors"]
    (line,) = failed(1, "--root", tmp_path / "r", "represent", *small)
    assert "grey pictures, most weights take colour: data.mode=rgb" in line
    assert " more; " in line and len(line) < 600
