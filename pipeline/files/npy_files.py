"""Publishing arrays as ``.npy`` files piece by piece, so that none has to fit into memory."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from longtail.pipeline.files.publish import publish


def publish_npy(
    path: Path, shape: tuple[int, ...], dtype: str, pieces: Iterable[np.ndarray]
) -> dict[str, Any]:
    """Publish an array of `shape`, given in pieces along its first axis; returns shape, dtype and SHA-256."""
    digest = hashlib.sha256()
    dtype = np.dtype(dtype)

    def write(file: BinaryIO) -> None:
        header = _header(shape, dtype)
        written = 0
        for content in chain([header], _contents(pieces, dtype)):
            digest.update(content)
            file.write(content)
            written += memoryview(content).nbytes
        assert written == len(header) + int(np.prod(shape)) * dtype.itemsize, "a row was missed"

    publish(path, write)
    return {"shape": list(shape), "dtype": dtype.name, "sha256": digest.hexdigest()}


def _header(shape: tuple[int, ...], dtype: np.dtype) -> bytes:
    header = io.BytesIO()
    facts = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(header, facts)
    return header.getvalue()


def _contents(pieces: Iterable[np.ndarray], dtype: np.dtype) -> Iterator[memoryview | bytes]:
    for piece in pieces:
        yield memoryview(np.ascontiguousarray(piece, dtype)).cast("B") if piece.size else b""
