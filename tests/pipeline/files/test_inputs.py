"""Every reader of what a user names, and everything that may be there instead of a file: named, no hang."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from longtail.pipeline.config.loading import load_config
from longtail.pipeline.config.weights_reference import weights_file
from longtail.pipeline.errors import LongtailError
from longtail.pipeline.serve.predict import _rows
from longtail.stages.data import DATASETS, cifar
from longtail.stages.data.idx_images import read_idx
from longtail.stages.data.pictures.read_picture import open_picture

X, Y = np.ones((4, 2), np.float32), np.arange(4) % 2


def write_features(path: Path) -> None:
    for name, array in (("train.X", X), ("train.y", Y)):
        if path.name != f"{name}.npy":
            np.save(path.with_name(f"{name}.npy"), array)


def features(path: Path) -> None:
    write_features(path)
    DATASETS.create("feature_arrays", root=str(path.parent))


def sources_of_features(path: Path) -> None:
    """What is hashed before anything is read."""
    write_features(path)
    DATASETS.sources("feature_arrays", {"root": str(path.parent)})


def base(path: Path) -> None:
    derived = path.with_name("derived.yaml")
    derived.write_text(f"base: {path.name}\ndata: digits\n")
    load_config(str(derived))


READERS: dict[str, tuple[str, Callable[[Path], object]]] = {
    "configuration": ("config.yaml", lambda path: load_config(str(path))),
    "base": ("base.yaml", base),
    "weights": ("model.pth", lambda path: weights_file(str(path))),
    "safetensors": ("model.safetensors", lambda path: weights_file(str(path))),
    "features": ("train.X.npy", features),
    "labels": ("train.y.npy", features),
    "sources of features": ("train.X.npy", sources_of_features),
    "names of classes": ("class_names.json", features),
    "archive of features": ("a.npz", lambda path: DATASETS.create("feature_arrays", root=str(path))),
    "features to predict": ("x.npy", _rows),
    "idx": ("train-images-idx3-ubyte", lambda path: read_idx(path, 3)),
    "idx, packed": ("train-images-idx3-ubyte.gz", lambda path: read_idx(path, 3)),
    "CIFAR, binary": ("train.bin", lambda path: cifar.read_binary(path, "CIFAR100")),
    "CIFAR, pickled": ("train", lambda path: cifar.read_python(path, "CIFAR100")),
    "CIFAR, names": ("fine_label_names.txt", lambda path: cifar.read_names(path, "CIFAR100")),
    "picture": ("a.png", lambda path: open_picture(path, "rgb")),
}
WHOLE = ("configuration", "base", "names of classes", "CIFAR, binary", "CIFAR, pickled", "CIFAR, names")


def sparse(path: Path) -> None:
    with open(path, "wb") as file:
        file.truncate(2**40)  # it takes no room


KINDS = {
    "FIFO": (os.mkfifo, "a FIFO"),
    "zeros without end": (lambda path: path.symlink_to("/dev/zero"), "a device"),
    "folder": (os.mkdir, "a folder"),
    "link to nothing": (lambda path: path.symlink_to("gone"), "link to"),
    "too large": (sparse, "is longer than"),
}


@pytest.mark.timeout(30)
@pytest.mark.parametrize(
    ("reader", "kind"),
    [(reader, kind) for reader in READERS for kind in KINDS if kind != "too large" or reader in WHOLE],
)
def test_what_is_no_file_is_named_at_once(tmp_path, reader, kind):
    (make, words), (name, read) = KINDS[kind], READERS[reader]
    make(tmp_path / name)
    if reader == "archive of features" and kind == "folder":
        words = "must hold train.X and train.y"  # in which arrays may lie
    with pytest.raises((LongtailError, ValueError)) as caught:
        read(tmp_path / name)
    said = str(caught.value)
    assert name in said and words in said and len(said) < 500


def test_an_idx_file_is_read_as_far_as_its_header_says(tmp_path):
    import gzip
    import struct

    vast = tmp_path / "vast"
    vast.write_bytes(struct.pack(">BBBB3I", 0, 0, 8, 3, 2**31, 2**31, 2**31))
    with pytest.raises(ValueError, match=r"vast: its header announces 2147483648×.* bytes, more than 4 GiB"):
        read_idx(vast, 3)
    bomb = tmp_path / "bomb.gz"
    bomb.write_bytes(gzip.compress(struct.pack(">BBBB3I", 0, 0, 8, 3, 1, 2, 3) + bytes(10**7)))
    with pytest.raises(ValueError, match=r"bomb\.gz: must hold 22 bytes, says its header, got 23 or more"):
        read_idx(bomb, 3)


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("image_folder", {}),
        ("feature_arrays", {}),
        ("mnist", {}),
        ("cifar10", {}),
    ],
)
def test_a_home_that_nobody_has_is_named_by_every_data_set(name, settings):
    with pytest.raises(ValueError, match=r"~nosuchuser/x"):
        DATASETS.create(name, root="~nosuchuser/x", **settings)


def test_a_home_that_nobody_has_is_named_for_weights():
    with pytest.raises(LongtailError, match=r"^representation\.weights: ~nosuchuser/w\.pth: ~nosuchuser is"):
        weights_file("~nosuchuser/w.pth")
