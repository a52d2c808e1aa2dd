"""The hash of what a file holds."""

from __future__ import annotations

import gzip
import hashlib
import os
import zlib

from longtail.pipeline.errors import LongtailError
from longtail.pipeline.files.publish import digest_of

SMALL = 2**18  # bytes; what is shorter is read at once


def content_hash(path: str | os.PathLike) -> str:
    """SHA-256 of a file's content, of a ``.gz`` file's decompressed.

    Packed or not, the same data has the same identity. LongtailError for a damaged ``.gz`` file.
    """
    if os.fspath(path).endswith(".gz"):
        try:
            with gzip.open(path, "rb") as file:
                return digest_of(file)
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise LongtailError(f"{path}: {error}") from None
    with open(path, "rb") as file:
        start = file.read(SMALL)
        if len(start) < SMALL:  # the general way allocates more than a small picture has
            return hashlib.sha256(start).hexdigest()
        file.seek(0)
        return digest_of(file)
