"""Small files in CIFAR's published formats."""

from __future__ import annotations

import hashlib
import pickle
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from longtail.stages.data import cifar

NAMES = {"cifar10": 10, "cifar100": 100}
LAYOUT = {"cifar10": "CIFAR10", "cifar100": "CIFAR100"}
every_data_set = pytest.mark.parametrize("name", NAMES)
every_version = pytest.mark.parametrize("version", ["binary", "python"])


@dataclass
class Batch:
    """One file's images in channel planes, (N, 3072), with fine and coarse labels, (N,)."""

    planes: np.ndarray
    fine: np.ndarray
    coarse: np.ndarray

    @property
    def images(self) -> np.ndarray:
        """(N, 32, 32, 3), byte by byte as the format's description says."""
        images = np.empty((len(self.planes), 32, 32, 3), np.uint8)
        for colour in range(3):
            for row in range(32):
                start = 1024 * colour + 32 * row
                images[:, row, :, colour] = self.planes[:, start : start + 32]
        return images


def batches(name: str, per_class: int = 2) -> list[Batch]:
    """Training batches and the test batch: every class `per_class` times in each."""
    rng = np.random.default_rng(0)
    made = []
    for _ in range(6 if name == "cifar10" else 2):
        fine = rng.permutation(np.repeat(np.arange(NAMES[name]), per_class))
        planes = rng.integers(0, 256, (len(fine), 3072), dtype=np.uint8)
        made.append(Batch(planes, fine, fine // 5))
    return made


def class_names(name: str) -> list[str]:
    return [f"class_{c}" for c in range(NAMES[name])]


def binary_bytes(name: str, batch: Batch) -> bytes:
    labels = [batch.fine] if name == "cifar10" else [batch.coarse, batch.fine]
    return np.column_stack([*labels, batch.planes]).astype(np.uint8).tobytes()


def python_bytes(name: str, batch: Batch) -> bytes:
    """As Python 3 pickles for Python 2."""
    return pickle.dumps(fields(name, batch), protocol=2)


def fields(name: str, batch: Batch) -> dict[bytes, object]:
    labels = {b"labels": batch.fine.tolist()}
    if name == "cifar100":
        labels = {b"fine_labels": batch.fine.tolist(), b"coarse_labels": batch.coarse.tolist()}
    files = [b"picture_%d.png" % n for n in range(len(batch.fine))]
    return {b"batch_label": b"batch 1", b"filenames": files, **labels, b"data": batch.planes}


def python2_bytes(name: str, batch: Batch) -> bytes:
    """As Python 2 pickled the published files: byte strings as such, numpy under its old name."""

    def text(value: bytes) -> bytes:
        return b"U%c%s" % (len(value), value)

    def whole(value: int) -> bytes:
        return b"J" + value.to_bytes(4, "little")

    labels = b"labels" if name == "cifar10" else b"fine_labels"
    pixels = batch.planes.tobytes()
    array = b"".join(
        [
            b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(K\x00t" + text(b"b") + b"tR",
            b"(K\x01(" + whole(len(batch.planes)) + b"M\x00\x0ct",
            b"cnumpy\ndtype\n(" + text(b"u1") + b"K\x00K\x01tR(K\x03" + text(b"|") + b"NNN",
            b"J\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89T"
            + len(pixels).to_bytes(4, "little")
            + pixels
            + b"tb",
        ]
    )
    listed = b"](" + b"".join(whole(int(label)) for label in batch.fine) + b"e"
    return b"\x80\x02}(" + text(b"data") + array + text(labels) + listed + b"u."


def write_binary(folder: Path, name: str, made: list[Batch]) -> Path:
    files = cifar.LAYOUTS[LAYOUT[name]].binary[1]
    folder.mkdir(parents=True, exist_ok=True)
    for file, batch in zip(files[:-1], made, strict=True):
        (folder / file).write_bytes(binary_bytes(name, batch))
    (folder / files[-1]).write_text("\n".join(class_names(name)) + "\n\n")  # the published one ends so
    return folder


def write_python(folder: Path, name: str, made: list[Batch], monkeypatch, write=python_bytes) -> Path:
    files = cifar.LAYOUTS[LAYOUT[name]].python[1]
    folder.mkdir(parents=True, exist_ok=True)
    for file, batch in zip(files[:-1], made, strict=True):
        put(folder / file, write(name, batch), monkeypatch)
    key = b"label_names" if name == "cifar10" else b"fine_label_names"
    meta = {key: [word.encode() for word in class_names(name)], b"num_vis": 3072}
    put(folder / files[-1], pickle.dumps(meta, protocol=2), monkeypatch)
    return folder


def put(path: Path, content: bytes, monkeypatch) -> None:
    """A file whose MD5 counts as the published one."""
    path.write_bytes(content)
    layout = "CIFAR10" if path.name in cifar.MD5["CIFAR10"] else "CIFAR100"
    monkeypatch.setitem(cifar.MD5[layout], path.name, hashlib.md5(content).hexdigest())


def write(folder: Path, name: str, version: str, made: list[Batch], monkeypatch) -> Path:
    if version == "binary":
        return write_binary(folder, name, made)
    return write_python(folder, name, made, monkeypatch)
