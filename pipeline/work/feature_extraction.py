"""Computing the features of every split and publishing them, resumed where an earlier process was killed."""

from __future__ import annotations

import hashlib
import logging
import shutil
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from longtail.pipeline.errors import Damaged
from longtail.pipeline.files.checked_json import with_checksum
from longtail.pipeline.files.npy_files import publish_npy
from longtail.pipeline.files.publish import publish_json, sha256_of
from longtail.pipeline.files.tensor_files import load_tensors, save_tensors
from longtail.pipeline.store.contents import FeatureFile, FeatureIdentity, Manifest
from longtail.pipeline.store.inventory import PART
from longtail.pipeline.store.store import Store
from longtail.pipeline.work.feature_cache import HEAD_FILE, labels_file, rows_file, view_name
from longtail.stages.features import BATCH, Features, reject_non_finite

if TYPE_CHECKING:
    from longtail.stages.data import Splits
    from longtail.stages.network import Head

log = logging.getLogger("longtail")

SHARD_BYTES = 64 * 2**20
Rows = Callable[..., Features]  # (split, indices, view) → their features; view None: not augmented


def extract(
    store: Store,
    key: str,
    identity: FeatureIdentity,
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

    The training split is computed again, augmented, for each of `views`. Work is kept shard by shard in
    ``<key>.part/``: an extraction that was killed resumes at the shard it was at. Two processes publish the
    same bytes under the same names. ``progress(count)`` is called after every shard of `count` samples.
    """
    folder = store.folder("features", key)
    shards = Shards(store.folder("features", key + PART), rows, num_features, dtype, progress)
    files: dict[str, FeatureFile] = {}
    for split, samples in splits.parts().items():
        labels = np.asarray(samples.labels, np.int64)
        files[rows_file(split)] = shards.publish(folder, split, split, labels)
        path = folder / labels_file(split)
        files[path.name] = publish_npy(path, labels.shape, "int64", [labels])
    labels = np.asarray(splits.train.labels, np.int64)
    for view in range(views):
        name = view_name(view)
        files[rows_file(name)] = shards.publish(folder, name, "train", labels, view)
    if head is not None:
        tensors = {"weight": head.weight} | ({} if head.bias is None else {"bias": head.bias})
        save_tensors(folder / HEAD_FILE, tensors, {})
        files[HEAD_FILE] = {"sha256": sha256_of(folder / HEAD_FILE)}
    preprocessing = splits.train.preprocessing
    manifest: Manifest = {
        "key": key,
        "identity": identity,
        "preprocessing": None if preprocessing is None else asdict(preprocessing),
        "class_counts": splits.class_counts.tolist(),
        "class_names": splits.class_names,
        "views": views,
        "head": None if head is None else {"scale": head.scale, "cosine": head.cosine},
        "files": files,
    }
    publish_json(folder / "manifest.json", with_checksum(manifest))
    shutil.rmtree(shards.folder, ignore_errors=True)


@dataclass(frozen=True)
class Shards:
    """Features of consecutive samples in files of their own, until those of a whole split are there."""

    folder: Path
    rows: Rows
    num_features: int
    dtype: str
    progress: Callable[[int], None]

    def publish(
        self, folder: Path, name: str, split: str, labels: np.ndarray, view: int | None = None
    ) -> FeatureFile:
        """Publish the features of a split with `labels` (N,) as one array in `folder`; returns its facts."""
        shards = list(self._computed(name, split, labels, view))
        arrays = (load_tensors(path)[0]["X"] for path in shards)
        return publish_npy(folder / rows_file(name), (len(labels), self.num_features), self.dtype, arrays)

    def _computed(self, name: str, split: str, labels: np.ndarray, view: int | None) -> Iterator[Path]:
        """The shards of a split in order, those that are not there and intact computed first."""
        row_bytes = self.num_features * np.dtype(self.dtype).itemsize
        size = max(1, SHARD_BYTES // row_bytes // BATCH) * BATCH  # samples of a shard
        for start in range(0, len(labels), size):
            path = self.folder / f"{name}.{start // size:05d}.safetensors"
            indices = np.arange(start, min(start + size, len(labels)))
            facts = {"start": start, "labels": hashlib.sha256(labels[indices].tobytes()).hexdigest()}
            if not _is_intact(path, len(indices), facts):
                features = self.rows(split, indices, view)
                reject_non_finite(features.X, indices)
                save_tensors(path, {"X": features.X}, facts)
            self.progress(len(indices))
            yield path


def _is_intact(path: Path, count: int, facts: dict[str, Any]) -> bool:
    """True for a shard of `count` rows with these facts: where it begins, and of which labels."""
    try:
        arrays, written_facts, _ = load_tensors(path)
        return len(arrays["X"]) == count and written_facts == facts
    except (FileNotFoundError, KeyError):
        return False
    except Damaged as error:
        log.warning("%s; it is computed again", error)
        return False
