"""What a data set's files hold, as hashes that are computed once."""

from __future__ import annotations

import gzip
import hashlib
import json
import time
import zlib
from contextlib import suppress
from pathlib import Path

from longtail.pipeline.errors import LongtailError
from longtail.pipeline.files.publish import publish_json

WORTH_KEEPING = 2**20  # bytes; smaller files are hashed faster than looked up
SETTLED_NS = 2 * 10**9  # a file written this recently may change again under the same time stamp


class DataHashes:
    """SHA-256 of files by content, remembered under (path, size, modification time), unless `read_only`.

    A ``.gz`` file is hashed decompressed: packed or not, the same data has the same identity.
    """

    def __init__(self, memory: Path, *, read_only: bool = False):
        self.memory, self.read_only = memory, read_only

    def of(self, sources: list[str | Path]) -> str:
        """One hash for a data set's sources: files by content, strings as they are, in order."""
        known = self._load()
        before = dict(known)
        digest = hashlib.sha256()
        for source in sources:
            content = self._file(source, known) if isinstance(source, Path) else source
            digest.update(f"{content}\n".encode(errors="surrogateescape"))
        if known != before and not self.read_only:
            self._save(known)
        return digest.hexdigest()

    def _file(self, path: Path, known: dict[str, list]) -> str:
        stat = path.stat()
        key, stamp = str(path.resolve()), [stat.st_size, stat.st_mtime_ns]
        if key in known and known[key][:2] == stamp:
            return known[key][2]
        content_hash = _sha256(path)
        if stat.st_size >= WORTH_KEEPING and time.time_ns() - stat.st_mtime_ns > SETTLED_NS:
            known[key] = [*stamp, content_hash]
        return content_hash

    def _load(self) -> dict[str, list]:
        try:
            known = json.loads(self.memory.read_bytes())
            return {path: [size, time, digest] for path, (size, time, digest) in known.items()}
        except (OSError, ValueError, TypeError, AttributeError):  # not there, or not what was saved
            return {}

    def _save(self, known: dict[str, list]) -> None:
        with suppress(OSError):  # a cache: under a read-only root everything is hashed anew
            publish_json(self.memory, known)


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    opener = gzip.open if path.suffix == ".gz" else open
    try:
        with opener(path, "rb") as file:
            while chunk := file.read(2**20):
                digest.update(chunk)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise LongtailError(f"{path}: {error}") from None
    return digest.hexdigest()
