"""Data sets that tests write to files."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path

import numpy as np
from PIL import Image

IDX = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)


def idx_bytes(array: np.ndarray) -> bytes:
    return struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.tobytes()


def write_idx_set(folder: Path, *, compressed=False, train=40, test=20) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    arrays = {}
    for images, labels, n in ((IDX[0], IDX[1], train), (IDX[2], IDX[3], test)):
        arrays[images] = rng.integers(0, 256, (n, 28, 28), dtype=np.uint8)
        arrays[labels] = (np.arange(n) % 10).astype(np.uint8)
    folder.mkdir(parents=True, exist_ok=True)
    for name, array in arrays.items():
        data = idx_bytes(array)
        path = folder / (name + ".gz" if compressed else name)
        path.write_bytes(gzip.compress(data) if compressed else data)
    return arrays


def picture(seed=0, size=(9, 7), mode="RGB") -> Image.Image:
    shape = (size[1], size[0], 3) if mode == "RGB" else (size[1], size[0])
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8))


def write_pictures(root: Path, counts: dict[str, int], *, suffix=".png", size=(9, 7)) -> Path:
    """`root` with one folder per class; a name may hold slashes."""
    for c, (name, count) in enumerate(counts.items()):
        (root / name).mkdir(parents=True, exist_ok=True)
        for k in range(count):
            picture(100 * c + k, size).save(root / name / f"{k:03d}{suffix}")
    return root


def features(n=12, d=5, classes=3, seed=0, dtype=np.float32):
    X = np.random.default_rng(seed).normal(size=(n, d)).astype(dtype)
    return X, np.arange(n) % classes


def write_features(
    root: Path, *, parts=("train",), style="{part}.{array}", **options
) -> dict[str, np.ndarray]:
    root.mkdir(parents=True, exist_ok=True)
    arrays = {}
    for k, part in enumerate(parts):
        for array, values in zip("Xy", features(12 - k, seed=k, **options), strict=True):
            arrays[style.format(part=part, array=array)] = values
    for name, values in arrays.items():
        np.save(root / f"{name}.npy", values)
    return arrays
