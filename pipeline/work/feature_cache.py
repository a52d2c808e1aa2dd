"""Frozen features on disk: fetched when they are there and intact, extracted when they are not."""

from __future__ import annotations

import hashlib
import io
import logging
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from longtail.pipeline.errors import Damaged
from longtail.pipeline.files.checked_json import with_checksum
from longtail.pipeline.files.publish import publish, publish_json, sha256_of
from longtail.pipeline.files.tensor_files import load_tensors, save_tensors
from longtail.pipeline.store.store import Store
from longtail.stages.features import BATCH, Features, reject_non_finite

if TYPE_CHECKING:
    from longtail.stages.data import Splits
    from longtail.stages.network import Head

log = logging.getLogger("longtail")

SHARD_BYTES = 64 * 2**20
SPLITS = ("train", "val", "test")
Rows = Callable[..., Features]  # (split, indices, view) → their features; view None: as they are


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
    """True when a manifest for `key` exists (its files are verified by :func:`fetch`)."""
    return store.manifest(key) is not None


def fetch(store: Store, key: str) -> FeatureSet | None:
    """The features under `key`, memory-mapped, every file's SHA-256 checked.

    None when there are none, or when a file is missing or damaged, which is said aloud.
    """
    from longtail.stages.network import Head

    folder = store.folder("features", key)
    manifest = store.manifest(key)
    if manifest is None:
        return None
    try:
        for name, facts in manifest["files"].items():
            if sha256_of(folder / name) != facts["sha256"]:
                raise Damaged(f"{folder / name}: damaged (its SHA-256 is not the one recorded)")
        splits = {split: _open(folder, split) for split in SPLITS}
        views = [_open_X(folder, _view(n)) for n in range(manifest.get("views", 0))]
        head = None
        if manifest["head"] is not None:
            tensors, _, _ = load_tensors(folder / "head.safetensors")
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


def extract(
    store: Store,
    key: str,
    identity: dict[str, Any],
    splits: Splits,
    rows: Rows,
    *,
    num_features: int,
    dtype: str,
    head: Head | None,
    views: int = 0,
    progress: Callable[[int], None] = lambda count: None,
) -> None:
    """Compute and publish the features of every split under `key`, the manifest last.

    With `views` the training split is computed so many times more, augmented. Work is kept shard by shard in
    ``<key>.part/``: a killed extraction goes on at the shard it was at. Two processes publish the same bytes
    under the same names.
    """
    folder, part = store.folder("features", key), store.folder("features", f"{key}.part")
    per_shard = max(1, SHARD_BYTES // (num_features * np.dtype(dtype).itemsize) // BATCH) * BATCH
    files = {}
    labels = {split: np.asarray(samples.labels, np.int64) for split, samples in splits.parts().items()}

    def compute(name: str, split: str, count: int, view: int | None) -> None:
        shards = []
        for start in range(0, count, per_shard):
            path = part / f"{name}.{start // per_shard:05d}.safetensors"
            indices = np.arange(start, min(start + per_shard, count))
            facts = {"start": start, "labels": hashlib.sha256(labels[split][indices].tobytes()).hexdigest()}
            if not _intact(path, len(indices), facts):
                found = rows(split, indices, view)
                reject_non_finite(found.X, indices)
                save_tensors(path, {"X": found.X}, facts)
            shards.append(path)
            progress(len(indices))
        pieces = (load_tensors(p)[0]["X"] for p in shards)
        files[f"{name}.X.npy"] = _publish_npy(folder / f"{name}.X.npy", (count, num_features), dtype, pieces)

    for split, samples in splits.parts().items():
        compute(split, split, len(samples), None)
        y = labels[split]
        files[f"{split}.y.npy"] = _publish_npy(folder / f"{split}.y.npy", y.shape, "int64", [y])
    for view in range(views):
        compute(_view(view), "train", len(splits.train), view)
    if head is not None:
        tensors = {"weight": head.weight} | ({} if head.bias is None else {"bias": head.bias})
        save_tensors(folder / "head.safetensors", tensors, {})
        files["head.safetensors"] = {"sha256": sha256_of(folder / "head.safetensors")}
    preprocessing = splits.train.preprocessing
    publish_json(
        folder / "manifest.json",
        with_checksum(
            {
                "key": key,
                "identity": identity,
                "preprocessing": None if preprocessing is None else asdict(preprocessing),
                "class_counts": splits.class_counts.tolist(),
                "class_names": splits.class_names,
                "views": views,
                "head": None if head is None else {"scale": head.scale, "cosine": head.cosine},
                "files": files,
            }
        ),
    )
    shutil.rmtree(part, ignore_errors=True)


def _view(number: int) -> str:
    return f"train.view{number}"


def _open(folder: Path, split: str) -> Features:
    return Features(_open_X(folder, split), np.load(folder / f"{split}.y.npy", allow_pickle=False))


def _open_X(folder: Path, name: str) -> np.ndarray:
    return np.load(folder / f"{name}.X.npy", mmap_mode="r", allow_pickle=False)


def _intact(path: Path, count: int, facts: dict[str, Any]) -> bool:
    """True for a shard of so many rows that says `facts`: where it begins, and of which labels."""
    try:
        arrays, said, _ = load_tensors(path)
        return len(arrays["X"]) == count and said == facts
    except (FileNotFoundError, KeyError):
        return False
    except Damaged as error:
        log.warning("%s; it is computed again", error)
        return False


def _publish_npy(path: Path, shape: tuple[int, ...], dtype: str, pieces) -> dict[str, Any]:
    """Publish an array given in pieces along its first axis as a ``.npy`` file; returns its facts."""
    digest = hashlib.sha256()
    dtype = np.dtype(dtype)

    def write(file: BinaryIO) -> None:
        header = io.BytesIO()
        facts = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(header, facts)
        written = 0
        for content in _chain(header.getvalue(), pieces, dtype):
            digest.update(content)
            file.write(content)
            written += memoryview(content).nbytes
        rows_bytes = int(np.prod(shape)) * dtype.itemsize
        assert written == len(header.getvalue()) + rows_bytes, "a row was missed"

    publish(path, write)
    return {"shape": list(shape), "dtype": dtype.name, "sha256": digest.hexdigest()}


def _chain(header: bytes, pieces, dtype: np.dtype):
    yield header
    for piece in pieces:
        yield memoryview(np.ascontiguousarray(piece, dtype)).cast("B") if piece.size else b""
