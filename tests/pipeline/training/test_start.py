"""What training starts from: given weights, an earlier run; what of it is frozen."""

from __future__ import annotations

import json
import pickle

import numpy as np
import pytest
import safetensors.torch
import torch
from torch import nn

from longtail.pipeline.config.loading import load_config
from longtail.pipeline.errors import ConfigError, LongtailError
from longtail.pipeline.files.tensor_files import load_tensors
from longtail.pipeline.store.identity import representation_id
from longtail.pipeline.store.store import Store
from longtail.pipeline.training.initial_weights import read_weights
from longtail.pipeline.work.execute import run_stage_one, run_stage_two
from longtail.stages.backbones import BACKBONES
from longtail.stages.network import LinearHead, Network
from longtail.stages.training.foreign_weights import flatten, load_backbone, match
from tests.training_runs import assert_same_weights, folder_of, weights

every_backbone = pytest.mark.parametrize("name", ["small_cnn", "lenet5", "resnet8", "resnet10"])


def backbone(name="small_cnn", seed=1, channels=1):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return BACKBONES.create(name, in_channels=channels)


# -- which tensors are whose ------------------------------------------------------------------------------


@every_backbone
@pytest.mark.parametrize("prefix", ["", "module.", "state_dict.module.encoder_q."])
def test_weights_are_found_under_any_prefix_beside_other_tensors(name, prefix):
    given = backbone(name, seed=2).state_dict()
    tensors = {prefix + key: tensor for key, tensor in given.items() if "num_batches" not in key}
    tensors |= {"fc.weight": torch.zeros(1000, 64), f"{prefix}fc.other": torch.zeros(3)}
    network = backbone(name)
    key_map = load_backbone(tensors, network)
    assert key_map.complete and key_map.prefix == prefix
    assert set(key_map.unused) == {"fc.weight", f"{prefix}fc.other"}
    for key, tensor in network.state_dict().items():
        if "num_batches" not in key:
            assert torch.equal(tensor, given[key]), key


def test_torchvisions_own_names_fit_its_backbone():
    from torchvision.models import resnet18

    with torch.random.fork_rng():
        torch.manual_seed(3)
        given = resnet18()
    network = BACKBONES.create("resnet18")
    key_map = load_backbone(given.state_dict(), network)
    assert key_map.unused == ["fc.bias", "fc.weight"]
    images = torch.randn(2, 3, 40, 40, generator=torch.Generator().manual_seed(0))
    given.fc = nn.Identity()
    with torch.inference_mode():
        torch.testing.assert_close(network.eval()(images), given.eval()(images))


def test_missing_and_misshapen_tensors_are_shown_and_refused():
    tensors = dict(backbone().state_dict())
    del tensors["layers.4.weight"]
    tensors["layers.0.weight"] = torch.zeros(16, 3, 3, 3)
    own = backbone()
    before = {k: v.clone() for k, v in own.state_dict().items()}
    with pytest.raises(ValueError) as caught:
        load_backbone(tensors, own)
    assert "missing: layers.4.weight" in str(caught.value)
    assert "layers.0.weight (backbone (16, 1, 3, 3), file (16, 3, 3, 3))" in str(caught.value)
    for key, tensor in own.state_dict().items():
        assert torch.equal(tensor, before[key])


def test_weights_that_are_not_finite_are_refused():
    tensors = {k: v.clone() for k, v in backbone().state_dict().items()}
    tensors["layers.3.weight"][0, 0, 0, 0] = torch.nan
    with pytest.raises(ValueError, match=r"NaN or infinity: layers.3.weight"):
        load_backbone(tensors, backbone())


def test_flatten_goes_into_nested_mappings_only():
    one = torch.zeros(1)
    flat = flatten({"state_dict": {"a.b": one}, "epoch": 3, "best": {"feat": {"w": one}}, "list": [one]})
    assert set(flat) == {"state_dict.a.b", "best.feat.w"}


def test_match_of_nothing_in_common_counts_no_tensor():
    assert "0 of the backbone's 15 tensors matched" in str(match({"x": torch.zeros(2)}, backbone()))


# -- freezing ---------------------------------------------------------------------------------------------


@every_backbone
@pytest.mark.parametrize("what", ["all", "last_block", "head"])
def test_frozen_modules_keep_weights_and_statistics(name, what):
    network = Network(backbone(name), LinearHead(backbone(name).num_features, 3))
    network.train_only(what)
    network.train()
    before = {k: v.clone() for k, v in network.state_dict().items()}
    optimizer = torch.optim.SGD([p for p in network.parameters() if p.requires_grad], lr=0.1)
    images = torch.randn(8, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    nn.functional.cross_entropy(network(images), torch.arange(8) % 3).backward()
    optimizer.step()
    moved = {k for k, v in network.state_dict().items() if not torch.equal(v, before[k])}
    learning = {
        "all": lambda key: True,
        "last_block": lambda key: key.startswith(
            ("head.", *(f"backbone.{block}." for block in network.backbone.last_block))
        ),
        "head": lambda key: key.startswith("head."),
    }[what]
    assert moved == {k for k in before if learning(k)}
    assert all(m.training for m in network.modules()) == (what == "all")
    assert not any(m.training for m in network.eval().modules())


@pytest.mark.parametrize("what", ["last_block", "head"])
def test_a_run_trains_only_the_trainable_part(digits, store, what):
    config = digits(f"representation.trainable={what}", "representation.epochs=3")
    run_stage_one(config, store)
    folder = folder_of(config, store)
    rows = [json.loads(line) for line in (folder / "history.jsonl").read_text().splitlines()]
    early, late = (load_tensors(folder / f"epoch-000{n}.safetensors")[0] for n in (2, 3))
    changed = {key for key in early if not np.array_equal(early[key], late[key])}
    learning = ("head.", "backbone.layers.6.", "backbone.layers.7.") if what == "last_block" else ("head.",)
    assert changed == {key for key in early if key.startswith(learning)}
    assert "head.weight" in changed and rows[-1]["loss"] < rows[0]["loss"]


# -- weights from a file ----------------------------------------------------------------------------------


def save_backbone(path, seed=5):
    state = backbone(seed=seed).state_dict()
    if path.suffix == ".safetensors":
        safetensors.torch.save_file({f"module.{k}": v for k, v in state.items()}, path)
    else:
        torch.save({"epoch": 90, "state_dict": {f"module.{k}": v for k, v in state.items()}}, path)
    return state


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_zero_epochs_extract_with_the_given_weights_and_a_plain_linear_head(digits, store, tmp_path, suffix):
    path = tmp_path / f"given{suffix}"
    state = save_backbone(path)
    config = digits(
        "representation.epochs=0", f"representation.weights={path}", "classifiers=[joint, ncm, crt]"
    )
    results = run_stage_two(config, store)
    saved = weights(config, store)
    for key, tensor in state.items():
        np.testing.assert_array_equal(saved[f"backbone.{key}"], tensor.numpy())
    from longtail.pipeline.tables.record_table import records_text
    from longtail.pipeline.tables.records import records

    rows = records(results)
    assert [row.label for row in rows] == ["joint (linear)", "ncm", "crt"]
    assert "joint (linear)" in records_text(rows, "table")
    assert results[0].metrics["test"]["balanced_accuracy"] > 0.25  # chance is .1


def test_identity_follows_the_content_of_the_weights_not_their_place(digits, store, tmp_path):
    save_backbone(tmp_path / "a.pth")
    (tmp_path / "b.pth").write_bytes((tmp_path / "a.pth").read_bytes())
    save_backbone(tmp_path / "c.pth", seed=6)
    ids = {
        name: representation_id(store, digits(f"representation.weights={tmp_path}/{name}.pth"))
        for name in "abc"
    }
    assert ids["a"] == ids["b"] != ids["c"]
    assert representation_id(store, digits()) not in ids.values()


def test_matched_weights_are_logged(digits, store, tmp_path, logged):
    save_backbone(tmp_path / "a.pth")
    run_stage_one(digits(f"representation.weights={tmp_path}/a.pth"), store)
    assert "15 of the backbone's 15 tensors matched, prefix 'state_dict.module.'" in logged.text


@pytest.mark.parametrize("backbone_name", ["resnet8", "lenet5"])
def test_weights_of_another_backbone_are_refused_and_leave_no_run(digits, store, tmp_path, backbone_name):
    save_backbone(tmp_path / "a.pth")
    config = digits(f"representation.weights={tmp_path}/a.pth", f"representation.backbone={backbone_name}")
    with pytest.raises(LongtailError, match=r"representation.weights: .*do not fit the backbone: 0 of"):
        run_stage_one(config, store)
    assert not list(folder_of(config, store).glob("*"))


class Hostile:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


@pytest.mark.parametrize("writer", ["torch", "pickle", "garbage", "empty"])
@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_a_file_that_is_no_weights_is_refused_and_nothing_runs(tmp_path, writer, suffix):
    canary, path = tmp_path / "canary", tmp_path / f"x{suffix}"
    if writer == "torch":
        torch.save({"state_dict": Hostile(canary)}, path)
    elif writer == "pickle":
        path.write_bytes(pickle.dumps(Hostile(canary)))
    else:
        path.write_bytes(b"" if writer == "empty" else bytes(range(256)) * 4)
    with pytest.raises(LongtailError) as caught:
        read_weights(path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)
    assert not canary.exists()


def test_missing_weights_are_named(digits, store):
    with pytest.raises(LongtailError, match=r"representation.weights: no such file, got 'none.pth'"):
        run_stage_one(digits("representation.weights=none.pth"), store)


def test_torchvisions_weights_are_fetched_only_when_asked(digits, store, monkeypatch, tmp_path):
    from torchvision.models import ResNet18_Weights, resnet18

    asked = []

    def fetched(self, *args, **kwargs):
        asked.append(self)
        return resnet18().state_dict()

    monkeypatch.setattr(ResNet18_Weights, "get_state_dict", fetched)
    tiny = ["data.max_count=5", "data.imbalance_factor=1", "representation.epochs=0"]
    config = digits("representation.backbone=resnet18", "representation.weights=torchvision", *tiny)
    with pytest.raises(
        LongtailError, match=r"conv1.weight \(backbone \(64, 1, 7, 7\), file \(64, 3, 7, 7\)\)"
    ):
        run_stage_one(config, store)  # digits are gray
    assert asked == [ResNet18_Weights.IMAGENET1K_V1]
    for backbone_name, weights_name in (("resnet18", "torchvision:V9"),):
        config = digits(
            f"representation.backbone={backbone_name}", f"representation.weights={weights_name}", *tiny
        )
        with pytest.raises(LongtailError, match="torchvision has no weights"):
            run_stage_one(config, store)


# -- an earlier run ---------------------------------------------------------------------------------------


CONSTANT = ["representation.schedule=constant", "representation.augment={pad: 1, flip: true}"]


@pytest.mark.parametrize(
    "extra", [[], ["representation.ema=0.9"], ["representation.no_weight_decay=[bias, norm]"]]
)
def test_so_many_epochs_and_then_more_are_bitwise_all_at_once(digits, tmp_path, extra):
    whole, parts = Store(tmp_path / "whole"), Store(tmp_path / "parts")
    run_stage_one(digits("representation.epochs=4", *CONSTANT, *extra), whole)
    first = digits("representation.epochs=2", *CONSTANT, *extra)
    one = run_stage_one(first, parts)
    more = digits("representation.epochs=4", f"representation.init={one.id[:8]}", *CONSTANT, *extra)
    run_stage_one(more, parts)
    assert_same_weights(
        weights(digits("representation.epochs=4", *CONSTANT, *extra), whole), weights(more, parts)
    )
    rows = [
        [json.loads(line) for line in (folder_of(c, s) / "history.jsonl").read_text().splitlines()]
        for c, s in ((digits("representation.epochs=4", *CONSTANT, *extra), whole), (more, parts))
    ]
    assert [row["loss"] for row in rows[0]] == [row["loss"] for row in rows[1]]
    assert [row["epoch"] for row in rows[1]] == [1, 2, 3, 4]


def test_a_run_that_continues_has_an_id_of_its_own_by_what_it_continues(digits, store, tmp_path):
    first = digits("representation.epochs=1", *CONSTANT)
    one = run_stage_one(first, store)
    by_id, by_folder = (
        digits("representation.epochs=2", f"representation.init={reference}", *CONSTANT)
        for reference in (one.id[:6], str(folder_of(first, store)))
    )
    assert representation_id(store, by_id) == representation_id(store, by_folder)
    assert representation_id(store, digits("representation.epochs=2", *CONSTANT)) != representation_id(
        store, by_id
    )


def test_a_run_may_continue_a_config(store, tmp_path):
    base = ["representation.epochs=1", "system.threads=1", "representation.schedule=constant"]
    run_stage_one(load_config("digits_lt", base), store)
    path = tmp_path / "one.yaml"
    path.write_text(
        "data: {name: digits, profile: exponential, imbalance_factor: 20, max_count: 110, "
        "validation_per_class: 20, test_per_class: 40}\nrepresentation: {epochs: 1, schedule: constant}\n"
    )
    earlier = load_config(str(path), ["system.threads=1"])
    run_stage_one(earlier, store)
    config = load_config(
        str(path), ["representation.epochs=2", f"representation.init={path}", "system.threads=1"]
    )
    run_stage_one(config, store)
    assert (folder_of(config, store) / "epoch-0002.safetensors").exists()


@pytest.mark.parametrize(
    ("overrides", "error", "message"),
    [
        (
            ["representation.init=nothing"],
            LongtailError,
            "representation.init: 'nothing' is not a finished run",
        ),
        (["representation.epochs=1"], ConfigError, "representation.epochs: must exceed the 1 that .* got 1"),
        (["representation.backbone=resnet8"], LongtailError, "has backbone small_cnn, this run resnet8"),
        (
            ["representation.no_weight_decay=[bias]"],
            LongtailError,
            r"no_weight_decay \[\], this run \['bias'\]",
        ),
        (["representation.loss=sigmoid"], LongtailError, r"undecayed \[\], this run \['head_bias'\]"),
        (
            ["representation.loss={name: focal, form: sigmoid}"],
            LongtailError,
            r"undecayed \[\], this run \['head_bias'\]",
        ),
    ],
)
def test_what_cannot_be_continued_is_refused(digits, store, overrides, error, message):
    one = run_stage_one(digits("representation.epochs=1", *CONSTANT), store)
    config = digits("representation.epochs=2", f"representation.init={one.id}", *CONSTANT, *overrides)
    with pytest.raises(error, match=message):
        run_stage_one(config, store)


def test_a_run_without_its_optimiser_state_points_to_its_weights(digits, store):
    first = digits("representation.epochs=1", *CONSTANT)
    one = run_stage_one(first, store)
    for path in folder_of(first, store).glob("*.state"):
        path.unlink()
    config = digits("representation.epochs=2", f"representation.init={one.id}", *CONSTANT)
    with pytest.raises(
        LongtailError, match=r"lacks the optimiser state .*representation.weights=.*safetensors"
    ):
        run_stage_one(config, store)


def test_a_config_that_continues_itself_is_refused(store, tmp_path):
    path = tmp_path / "loop.yaml"
    path.write_text(f"data: digits\nrepresentation: {{epochs: 2, init: {path}}}\n")
    with pytest.raises(LongtailError, match="leads back to itself"):
        run_stage_one(load_config(str(path)), store)


def test_a_run_on_other_data_is_not_continued(digits, store):
    one = run_stage_one(digits("representation.epochs=1", *CONSTANT), store)
    for change in ("data.seed=1", "data.imbalance_factor=10"):
        config = digits("representation.epochs=2", f"representation.init={one.id}", change, *CONSTANT)
        with pytest.raises(
            LongtailError, match=r"trained on other data or another split, .*weights=.*starts anew"
        ):
            run_stage_one(config, store)


def test_a_file_that_holds_the_backbone_twice_is_refused():
    tensors = {
        f"module.encoder_{which}.{key}": value
        for which in "qk"
        for key, value in backbone(seed=ord(which)).state_dict().items()
    }
    with pytest.raises(ValueError, match=r"several times, under .*encoder_k\..*encoder_q\."):
        load_backbone(tensors, backbone())


def test_damaged_weights_of_a_run_without_epochs_are_made_again(digits, store, tmp_path):
    path = tmp_path / "given.pth"
    save_backbone(path)
    config = digits("representation.epochs=0", f"representation.weights={path}", "classifiers=[ncm]")
    run_stage_one(config, store)
    folder = folder_of(config, store)
    whole = (folder / "best.safetensors").read_bytes()
    for name in ("best.safetensors", "epoch-0000.safetensors"):
        (folder / name).write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    results = run_stage_two(config.model_copy(update={"classifiers": config.classifiers}), store)
    assert results[0].metrics["test"]["accuracy"] > 0.1
    assert (folder / "best.safetensors").read_bytes() == whole


def test_an_id_of_digits_alone_is_no_number():
    config = load_config("digits_lt", ["representation.init=60519223"])
    assert config.representation.init == "60519223"
    assert load_config("digits_lt", ["representation.init=null"]).representation.init is None
