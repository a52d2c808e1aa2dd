"""Frozen features on disk: opened when they are there and intact."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from longtail.pipeline.errors import Damaged
from longtail.pipeline.files.publish import digest_of
from longtail.pipeline.files.tensor_files import load_tensors
from longtail.pipeline.store.store import Store
from longtail.stages.data.files.regular_file import open_regular
from longtail.stages.features import Features

if TYPE_CHECKING:
    from longtail.stages.network import Head

log = logging.getLogger("longtail")

SPLITS = ("train", "val", "test")
HEAD_FILE = "head.safetensors"


@dataclass(frozen=True)
class FeatureSet:
    """Features of each split with what a classifier needs beside them.

    `head` is stage one's, if any; `views` are the training samples again, augmented, each (N, D).
    """

    train: Features
    val: Features
    test: Features
    class_counts: list[int]
    class_names: list[str]
    head: Head | None
    views: list[np.ndarray] = field(default_factory=list)


def is_cached(store: Store, key: str) -> bool:
    """True when a manifest for `key` exists (its files are verified by :func:`load_verified`)."""
    return store.manifest(key) is not None


def load_verified(store: Store, key: str) -> FeatureSet | None:
    """The features under `key`, memory-mapped, every file's SHA-256 checked.

    None if there are no such features, or, with a warning, if a file is missing or damaged.
    """
    from longtail.stages.network import Head

    folder = store.folder("features", key)
    manifest = store.manifest(key)
    if manifest is None:
        return None
    try:
        for name, facts in manifest["files"].items():
            with open_regular(folder / name) as file:
                digest = digest_of(file)
            if digest != facts["sha256"]:
                raise Damaged(f"{folder / name}: damaged (its SHA-256 is not the one recorded)")
        splits = {split: _open_split(folder, split) for split in SPLITS}
        views = [_open_rows(folder, view_name(number)) for number in range(manifest.get("views", 0))]
        head = None
        if manifest["head"] is not None:
            tensors, _, _ = load_tensors(folder / HEAD_FILE)
            head = Head(tensors["weight"], tensors.get("bias"), **manifest["head"])
    except (FileNotFoundError, Damaged, KeyError, ValueError) as error:
        log.warning("%s; features are extracted again", error)
        return None
    return FeatureSet(
        **splits,
        class_counts=manifest["class_counts"],
        class_names=manifest["class_names"],
        head=head,
        views=views,
    )


def rows_file(name: str) -> str:
    """The file with the features (N, D) of a split or view."""
    return f"{name}.X.npy"


def labels_file(split: str) -> str:
    """The file with the labels (N,) of a split."""
    return f"{split}.y.npy"


def view_name(number: int) -> str:
    """What the training split's augmented view of this number is called."""
    return f"train.view{number}"


def _open_split(folder: Path, split: str) -> Features:
    return Features(_open_rows(folder, split), np.load(folder / labels_file(split), allow_pickle=False))


def _open_rows(folder: Path, name: str) -> np.ndarray:
    return np.load(folder / rows_file(name), mmap_mode="r", allow_pickle=False)
