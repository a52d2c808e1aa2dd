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
from longtail.pipeline.store.identity import make_id
from longtail.pipeline.store.inventory import PART
from longtail.pipeline.store.store import Store
from longtail.pipeline.work.feature_cache import HEAD_FILE, labels_file, rows_file, view_name
from longtail.stages.features import BATCH, Features, reject_non_finite

if TYPE_CHECKING:
    from longtail.pipeline.files.data_look import DataLook
    from longtail.stages.data import Splits
    from longtail.stages.network import Head

log = logging.getLogger("longtail")

SHARD_BYTES = 64 * 2**20
Rows = Callable[..., Features]  # (split, indices, view) → their features; view None: not augmented


@dataclass(frozen=True)
class FeatureSource:
    """Where features come from: `rows` computes them, D = `width` each; `head` is stage one's, if trained."""

    rows: Rows
    width: int
    head: Head | None


def extract(
    store: Store,
    identity: FeatureIdentity,
    splits: Splits,
    source: FeatureSource,
    look: DataLook,
    progress: Callable[[int], object] = lambda count: None,
) -> str:
    """Compute and publish the features of every split, the manifest last; returns their key.

    The training split is computed again, augmented, for each of the identity's views. Work is kept shard by
    shard in ``<key>.part/``: an extraction that was killed resumes at the shard it was at, unless a file of
    the data was written in between. Two processes publish the same bytes under the same names.
    ``progress(count)`` is called after every shard of `count` samples. LongtailError, and no manifest, when
    the data hold something else than in `look`.
    """
    key, views, head = make_id("features", identity), identity["views"], source.head
    folder = store.folder("features", key)
    shards = Shards(store.folder("features", key + PART), source, identity["dtype"], look.stamps(), progress)
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
    look.refuse_changes("extraction")
    publish_json(folder / "manifest.json", with_checksum(manifest))
    shutil.rmtree(shards.folder, ignore_errors=True)
    return key


@dataclass(frozen=True)
class Shards:
    """Features of consecutive samples in files of their own, until those of a whole split are there.

    `stamps` are of the data's files: a shard that was computed under others may be of other data.
    """

    folder: Path
    source: FeatureSource
    dtype: str
    stamps: str
    progress: Callable[[int], object]

    def publish(
        self, folder: Path, name: str, split: str, labels: np.ndarray, view: int | None = None
    ) -> FeatureFile:
        """Publish the features of a split with `labels` (N,) as one array in `folder`; returns its facts."""
        shards = list(self._computed(name, split, labels, view))
        arrays = (load_tensors(path)[0]["X"] for path in shards)
        return publish_npy(folder / rows_file(name), (len(labels), self.source.width), self.dtype, arrays)

    def _computed(self, name: str, split: str, labels: np.ndarray, view: int | None) -> Iterator[Path]:
        """The shards of a split in order, those that are not there and intact computed first."""
        row_bytes = self.source.width * np.dtype(self.dtype).itemsize
        size = max(1, SHARD_BYTES // row_bytes // BATCH) * BATCH  # samples of a shard
        for start in range(0, len(labels), size):
            path = self.folder / f"{name}.{start // size:05d}.safetensors"
            indices = np.arange(start, min(start + size, len(labels)))
            labels_hash = hashlib.sha256(labels[indices].tobytes()).hexdigest()
            facts = {"start": start, "labels": labels_hash, "data": self.stamps}
            if not _is_intact(path, len(indices), facts):
                features = self.source.rows(split, indices, view)
                reject_non_finite(features.X, indices)
                save_tensors(path, {"X": features.X}, facts)
            self.progress(len(indices))
            yield path


def _is_intact(path: Path, count: int, facts: dict[str, Any]) -> bool:
    """True for a shard of `count` rows with these facts: where it begins, of which labels and data."""
    try:
        arrays, written_facts, _ = load_tensors(path)
        return len(arrays["X"]) == count and written_facts == facts
    except (FileNotFoundError, KeyError):
        return False
    except Damaged as error:
        log.warning("%s; it is computed again", error)
        return False
