"""Hashes of many files, remembered with the files' stamps in one compact file."""

from __future__ import annotations

import hashlib
import json
import sys
from array import array
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from longtail.pipeline.errors import Damaged
from longtail.pipeline.files.checked_json import parse_json, read_record
from longtail.pipeline.files.publish import publish_bytes

FORM = f"longtail hashes 1, {sys.byteorder} endian"
MOST_BYTES = 2**32  # of what is remembered: some thirty million files
STAMP, DIGEST = 32, 32  # bytes of a file's stamp (four integers) and of its SHA-256


class KnownFiles(NamedTuple):
    """What is remembered of files: `names`, and for each a stamp and a digest, one after another."""

    names: list[str]
    stamps: bytes
    digests: bytes

    def matching(self, names: Sequence[str], stamps: array) -> list[bytes | None]:
        """The digest of each file of that name and stamp; None for one that is not known."""
        own = stamps.tobytes()
        if own == self.stamps and names == self.names:
            return [self.digests[at : at + DIGEST] for at in range(0, len(self.digests), DIGEST)]
        rows = {name: row for row, name in enumerate(self.names)}
        digests: list[bytes | None] = [None] * len(names)
        for place, name in enumerate(names):
            row = rows.get(name)
            if row is not None:
                at, there = STAMP * place, STAMP * row
                if own[at : at + STAMP] == self.stamps[there : there + STAMP]:
                    digests[place] = self.digests[DIGEST * row : DIGEST * (row + 1)]
        return digests

    def with_files(self, names: Sequence[str], stamps: array, digests: Sequence[bytes | None]) -> KnownFiles:
        """These and the given files; a digest of None forgets a file."""
        own, files = stamps.tobytes(), {}
        for row, name in enumerate(self.names):
            stamp = self.stamps[STAMP * row : STAMP * (row + 1)]
            files[name] = stamp, self.digests[DIGEST * row : DIGEST * (row + 1)]
        for row, (name, digest) in enumerate(zip(names, digests, strict=True)):
            if digest is None:
                files.pop(name, None)
            else:
                files[name] = own[STAMP * row : STAMP * (row + 1)], digest
        kept = files.values()
        return KnownFiles(list(files), b"".join(s for s, _ in kept), b"".join(d for _, d in kept))


NOTHING = KnownFiles([], b"", b"")


def load_known(memory: Path) -> KnownFiles:
    """What `memory` holds; nothing where it is not there, damaged, or was written in another form."""
    try:
        first, body = read_record(memory, MOST_BYTES)[0].split(b"\n", 1)
        header = parse_json(first, memory)
        count, length = header["files"], header["names"]
        stamps, digests, names = body[: STAMP * count], body[STAMP * count : -length or None], body[-length:]
        if header["form"] != FORM or header["sha256"] != hashlib.sha256(body).hexdigest():
            return NOTHING
        known = KnownFiles(names.decode(errors="surrogateescape").split("\0"), stamps, digests)
    except (FileNotFoundError, Damaged, ValueError, TypeError, KeyError):
        return NOTHING
    return known if count and len(known.names) == count and len(digests) == DIGEST * count else NOTHING


def save_known(memory: Path, known: KnownFiles) -> None:
    """Publish `known`; where that is not possible everything is hashed again the next time."""
    names = "\0".join(known.names).encode(errors="surrogateescape")
    body = b"".join((known.stamps, known.digests, names))
    header = {
        "form": FORM,
        "files": len(known.names),
        "names": len(names),
        "sha256": hashlib.sha256(body).hexdigest(),
    }
    with suppress(OSError):
        publish_bytes(memory, json.dumps(header).encode() + b"\n" + body)
