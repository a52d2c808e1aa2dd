"""Weights as others publish them: their layouts, their wrappings, and files that are no weights at all."""

from __future__ import annotations

import argparse
import gzip
import io
import json
import logging
import pickle
import tarfile
import zipfile

import numpy as np
import pytest
import safetensors.torch
import torch
from torch import nn

from longtail.pipeline.config.loading import load_config
from longtail.pipeline.errors import ConfigError, LongtailError
from longtail.pipeline.store.identity import representation_id
from longtail.pipeline.training import initial_weights
from longtail.pipeline.training.initial_weights import _hub_once, read_weights
from longtail.pipeline.work.execute import run_stage_one
from longtail.stages.backbones import BACKBONES
from longtail.stages.training.foreign_weights import load_backbone


def backbone(name="small_cnn", seed=1, channels=3):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return BACKBONES.create(name, in_channels=channels)


# -- layouts ----------------------------------------------------------------------------------------------


class PublicBlock(nn.Module):
    """A block of the CIFAR ResNets that LDAM-DRW and CDB-loss publish: the same layers under their names."""

    def __init__(self, inputs: int, outputs: int, names):
        super().__init__()
        for row, (conv, norm) in enumerate(names):
            self.add_module(conv, nn.Conv2d(inputs if row == 0 else outputs, outputs, 3, bias=False))
            self.add_module(norm, nn.BatchNorm2d(outputs))


def public_resnet32(stem=("conv1", "bn1"), stage="layer{}", names=(("conv1", "bn1"), ("conv2", "bn2"))):
    """The tensors of a published ResNet-32 by their names, with a head of 100 classes, drawn from seed 7."""
    network = nn.Module()
    network.add_module(stem[0], nn.Conv2d(3, 16, 3, bias=False))
    network.add_module(stem[1], nn.BatchNorm2d(16))
    for number, (inputs, outputs) in enumerate([(16, 16), (16, 32), (32, 64)], 1):
        blocks = [PublicBlock(inputs if row == 0 else outputs, outputs, names) for row in range(5)]
        network.add_module(stage.format(number), nn.Sequential(*blocks))
    draws = torch.Generator().manual_seed(7)
    state = network.state_dict()
    return {key: torch.randn(value.shape, generator=draws) for key, value in state.items()}


def head(layout):
    """LDAM's normalised linear layer keeps its weight transposed."""
    return {"linear.weight": torch.zeros((64, 100) if layout == "ldam" else (100, 64))}


LETTERED = {
    "stem": ("conv_1_3x3", "bn_1"),
    "stage": "stage_{}",
    "names": (("conv_a", "bn_a"), ("conv_b", "bn_b")),
}


@pytest.mark.parametrize("wrapped", ["", "module.", "state_dict.module.", "net.", "model.backbone."])
@pytest.mark.parametrize("layout", ["ldam", "plain", "lettered"])
def test_public_cifar_resnets_fit_tensor_by_tensor(layout, wrapped):
    given = public_resnet32(**(LETTERED if layout == "lettered" else {}))
    network = backbone("resnet32")
    tensors = {wrapped + key: value for key, value in {**given, **head(layout)}.items()}
    key_map = load_backbone(tensors, network)
    assert key_map.complete and key_map.unused == [f"{wrapped}linear.weight"]
    # In the order of the layers, which is the order of the file, every tensor is where it belongs.
    own = {k: v for k, v in network.state_dict().items() if "num_batches" not in k}
    theirs = [value for key, value in given.items() if "num_batches" not in key]
    for (key, value), expected in zip(own.items(), theirs, strict=True):
        assert torch.equal(value, expected), key


def test_layers_that_the_backbone_does_not_have_make_it_another_network():
    tensors = {**public_resnet32(), "layer2.0.downsample.0.weight": torch.zeros(32, 16, 1, 1)}
    named = r"layers that the backbone does not have: layer2\.0\.downsample\.0\.weight"
    with pytest.raises(ValueError, match=named):
        load_backbone(tensors, backbone("resnet32"))
    with pytest.raises(ValueError, match=r"missing: blocks\."):
        load_backbone(public_resnet32(), backbone("resnet44"))
    with pytest.raises(ValueError, match=r"does not have: layer1\.3\.bn1\.bias, .* and \d+ more"):
        load_backbone(public_resnet32(), backbone("resnet20"))


# -- the backbone twice -----------------------------------------------------------------------------------


def twice():
    return {
        f"{prefix}{key}": value
        for prefix, seed in (("model.", 2), ("model_ema.module.", 3))
        for key, value in backbone(seed=seed).state_dict().items()
    }


@pytest.mark.parametrize(("prefix", "seed"), [("model.", 2), ("model_ema.", 3), ("model_ema.module.", 3)])
def test_a_prefix_says_which_of_two_is_meant(prefix, seed):
    network = backbone()
    load_backbone(twice(), network, weights_prefix=prefix)
    for key, value in backbone(seed=seed).state_dict().items():
        assert torch.equal(value, network.state_dict()[key])


def test_a_prefix_that_is_not_there_fits_nothing():
    with pytest.raises(ValueError, match=r"do not fit the backbone: 0 of .* prefix 'teacher\.'"):
        load_backbone(twice(), backbone(), weights_prefix="teacher.")


def test_a_run_proposes_the_prefixes_and_takes_one(digits, store, tmp_path):
    path = tmp_path / "twice.safetensors"
    gray = {
        f"{prefix}{key}": value
        for prefix, seed in (("model.", 2), ("model_ema.", 3))
        for key, value in backbone(seed=seed, channels=1).state_dict().items()
    }
    safetensors.torch.save_file(gray, path)
    given = [f"representation.weights={path}", "representation.epochs=0"]
    with pytest.raises(LongtailError) as caught:
        run_stage_one(digits(*given), store)
    assert (
        "under the prefixes 'model.', 'model_ema.'; choose one: representation.weights_prefix=model_ema."
        in (str(caught.value))
    )
    ids = {
        prefix: representation_id(store, digits(*given, *prefix))
        for prefix in [
            (),
            ("representation.weights_prefix=model_ema.",),
            ("representation.weights_prefix=model.",),
        ]
    }
    assert len(set(ids.values())) == 3
    assert ids[()] == representation_id(store, digits(*given, "representation.weights_prefix=null"))
    run_stage_one(digits(*given, "representation.weights_prefix=model_ema."), store)


@pytest.mark.parametrize("weights", [[], ["representation.weights=torchvision"]])
def test_a_prefix_without_a_file_is_refused(weights):
    with pytest.raises(ConfigError, match=r"weights_prefix: must be left out unless representation\.weights"):
        load_config("digits_lt", [*weights, "representation.weights_prefix=model."])


# -- files that are no weights ----------------------------------------------------------------------------


def zipped(**files: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in files.items():
            archive.writestr(name.replace("__", "/").replace("_dot_", "."), content)
    return buffer.getvalue()


def tarred() -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("weights.pth"), io.BytesIO())
    return buffer.getvalue()


def saved(value) -> bytes:
    buffer = io.BytesIO()
    torch.save(value, buffer)
    return buffer.getvalue()


def arrays() -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, w=np.zeros(3))
    return buffer.getvalue()


TENSORS = safetensors.torch.save({"w": torch.zeros(100)})
NO_WEIGHTS = {
    "empty": (b"", r"is empty; it cannot be read"),
    "lfs": (
        b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n",
        r"is a Git LFS pointer, not the file it stands for; `git lfs pull` fetches that",
    ),
    "html": (b"\n<!DOCTYPE html>\n<html>", r"is a web page"),
    "xml": (b'<?xml version="1.0"?><Error/>', r"is a web page"),
    "json": (json.dumps({"error": "not found"}).encode(), r"is text \(JSON\)"),
    "gzip": (gzip.compress(b"x"), r"is compressed \(gzip\); unpack it first"),
    "tar": (tarred(), r"is a tar archive"),
    "zip": (zipped(readme_dot_txt=b"x"), r"is a zip archive that torch\.save did not write"),
    "npz": (arrays(), r"is numpy arrays \(\.npz\)"),
    "script": (
        zipped(a__data_dot_pkl=b"", a__constants_dot_pkl=b""),
        r"is a TorchScript model; save its state",
    ),
    "torch cut short": (saved({"w": torch.zeros(100)})[:-200], r"is cut short or damaged"),
    "safetensors cut short": (TENSORS[:-10], r"is cut short: \d+ of \d+ bytes"),
    "safetensors header cut short": (TENSORS[:40], r"is cut short: 40 bytes, and its header alone has"),
    "hdf5": (b"\x89HDF\r\n\x1a\n" + bytes(100), r"is an HDF5 file"),
    "npy": (b"\x93NUMPY" + bytes(100), r"is a numpy array"),
    "onnx": (b"\x08\x08\x12\x07pytorch" + bytes(100), r"is an ONNX model"),
    "objects": (saved({"args": argparse.Namespace(lr=1)}), r"more than plain weights \(Python objects: argp"),
    "pickle": (pickle.dumps(argparse.Namespace(lr=1)), r"holds more than plain weights"),
    "noise": (b"\x00\x01\x02\x03" * 64, r"is nothing that torch\.save or safetensors writes"),
}


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize("kind", NO_WEIGHTS)
def test_a_file_that_is_no_weights_is_called_what_it_is(tmp_path, kind, suffix):
    content, message = NO_WEIGHTS[kind]
    path = tmp_path / f"x{suffix}"
    path.write_bytes(content)
    with pytest.raises(LongtailError, match=message) as caught:
        read_weights(path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("suffix", [".pth", ".safetensors", ".bin"])
def test_content_decides_how_a_file_is_read_not_its_name(tmp_path, suffix):
    for content in (TENSORS, saved({"w": torch.zeros(100)})):
        path = tmp_path / f"x{suffix}"
        path.write_bytes(content)
        assert torch.equal(read_weights(path)["w"], torch.zeros(100))


# -- downloads --------------------------------------------------------------------------------------------


def test_without_network_the_hub_is_not_asked_and_one_line_says_what_to_fetch(digits, store, monkeypatch):
    pytest.importorskip("timm")
    from huggingface_hub import constants

    import longtail.stages.backbones.timm_models as module

    asked = []

    def create_model(*_, pretrained, **__):
        if pretrained:
            asked.append(constants.HF_HUB_OFFLINE)
            logging.getLogger("timm").warning("noise")
            raise OSError("offline mode is enabled\nand much more")
        import timm

        return timm.create_model("test_resnet", num_classes=0, in_chans=1)

    def no_network(*_, **__):
        raise OSError("unreachable")

    monkeypatch.setattr(module, "create_model", create_model)
    monkeypatch.setattr(initial_weights.socket, "create_connection", no_network)
    monkeypatch.setattr("urllib.request.getproxies", dict)
    config = digits("representation.backbone=timm/test_resnet.r160_in1k", "representation.weights=timm")
    with pytest.raises(LongtailError) as caught:
        run_stage_one(config, store)
    assert asked == [True] and not constants.HF_HUB_OFFLINE
    assert str(caught.value) == (
        "representation.weights: timm's test_resnet.r160_in1k could not be fetched (huggingface.co does not "
        "answer); fetch https://huggingface.co/timm/test_resnet.r160_in1k/resolve/main/model.safetensors "
        "elsewhere and name the file: representation.weights=path/to/model.safetensors"
    )


def test_the_hubs_libraries_are_quiet_only_while_they_fetch():
    pytest.importorskip("huggingface_hub")
    logger = logging.getLogger("huggingface_hub")
    before = logger.level
    with pytest.raises(OSError), _hub_once(offline=False):
        assert not logger.isEnabledFor(logging.WARNING)
        raise OSError
    assert logger.level == before
