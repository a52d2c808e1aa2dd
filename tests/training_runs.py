"""What tests of training share: a run's folder, its weights, and how it is stopped."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from longtail.pipeline.files.tensor_files import load_tensors
from longtail.pipeline.store.identity import representation_id
from longtail.pipeline.store.store import Store


def folder_of(config, store: Store) -> Path:
    return store.folder("representations", representation_id(store, config))


def weights(config, store: Store) -> dict[str, np.ndarray]:
    return load_tensors(folder_of(config, store) / f"epoch-{config.representation.epochs:04d}.safetensors")[0]


def assert_same_weights(one: dict, other: dict) -> None:
    assert one.keys() == other.keys()
    for name in one:
        np.testing.assert_array_equal(one[name], other[name], err_msg=name)


class Stop(Exception):
    """Raised in a step, as a crash would be."""
