"""What lies where longtail keeps files of its own, and is none: FIFOs, devices, JSON without an end."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from longtail.pipeline.errors import Damaged
from longtail.pipeline.files.data_hashes import DataHashes
from longtail.pipeline.files.set_memory import NOTHING, load_known
from longtail.pipeline.files.tensor_files import load_tensors

CONTENTS = {
    "deep": b"[" * 100_000,
    "deep line": b"[" * 100_000 + b"\n",
    "long number": b'{"form": ' + b"9" * 5000 + b"}\n",
    "not text": b"\xff\xfe\n",
    "empty": b"",
}
KINDS = ("FIFO", "device", "folder", "circle", *CONTENTS)


def put(path: Path, kind: str) -> Path:
    """Make `path` be what `kind` says."""
    if kind == "FIFO":
        os.mkfifo(path)
    elif kind == "device":
        path.symlink_to("/dev/zero")
    elif kind == "circle":
        path.symlink_to(path.name)
    elif kind == "folder":
        path.mkdir()
    else:
        path.write_bytes(CONTENTS[kind])
    return path


@pytest.mark.parametrize("kind", KINDS)
def test_tensor_file_that_is_none_is_damaged(tmp_path, kind):
    path = put(tmp_path / "weights.safetensors", kind)
    with pytest.raises(Damaged, match=r"weights\.safetensors"):
        load_tensors(path)


@pytest.mark.parametrize("kind", KINDS)
def test_memory_of_many_hashes_that_is_none_holds_nothing(tmp_path, kind):
    assert load_known(put(tmp_path / "x.hashes", kind)) == NOTHING


@pytest.mark.parametrize("kind", KINDS)
def test_memory_of_hashes_that_is_none_fails_no_work(tmp_path, kind):
    data = tmp_path / "data.bin"
    data.write_bytes(bytes(2**20))
    expected = DataHashes(tmp_path / "sound.json").of([data])
    assert DataHashes(put(tmp_path / "fingerprints.json", kind)).of([data]) == expected
