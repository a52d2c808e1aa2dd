"""What a data set's files hold, as hashes that are computed once."""

from __future__ import annotations

import hashlib
import logging
import os
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from longtail.pipeline.errors import Damaged
from longtail.pipeline.files.checked_json import read_json
from longtail.pipeline.files.content_hash import content_hash
from longtail.pipeline.files.data_look import DataLook, LookedAt
from longtail.pipeline.files.publish import publish_json
from longtail.pipeline.files.set_memory import load_known, save_known
from longtail.stages.data.files.each_file import usable_cores
from longtail.stages.data.files.regular_file import refuse_special
from longtail.stages.data.files.stamped_files import SETTLED_NS, Stamp, StampedFiles, stamp_of
from longtail.stages.wording import counted, listed

log = logging.getLogger("longtail")

WORTH_KEEPING = 2**20  # bytes; a smaller file, alone, is hashed faster than looked up
WORTH_SAYING = 10_000  # files; hashing that many takes long enough to say so
AT_ONCE = 64  # files that a thread hashes in a row
MOST_THREADS = 16  # past that a disk is the limit


class DataHashes:
    """SHA-256 of files by content, remembered under their stamps, unless `read_only`.

    ``MEMORY.json`` has single files, ``MEMORY/`` a file for each root of many. A file is hashed again when
    its size, a time or its inode differs, when it was written a moment ago, and always with `verify`.
    """

    def __init__(self, memory: Path, *, read_only: bool = False, verify: bool = False):
        self.folder, self.memory = memory.with_suffix(""), memory
        self.read_only, self.verify = read_only, verify

    def of(self, sources: Sequence[str | Path | StampedFiles]) -> str:
        """One hash for a data set's sources: files by content, strings as they are, in order."""
        return self.look(sources).content

    def look(self, sources: Sequence[str | Path | StampedFiles]) -> DataLook:
        """Hash a data set's sources, and keep what is needed to notice that they change."""
        alone = StampedFiles("")
        for source in sources:
            if isinstance(source, Path):
                status = source.stat()
                refuse_special(source, status)  # sooner than it is opened to be hashed
                alone.add(os.path.abspath(source), stamp_of(status))
        looked_at = [LookedAt(alone, self._alone(alone))]
        digests = iter(looked_at[0].digests)
        content, by_sizes = hashlib.sha256(), hashlib.sha256()
        for source in sources:
            if isinstance(source, StampedFiles):
                hashed = self._together(source) if source.by == "content" else None
                if hashed is None and self.verify:
                    log.warning(
                        "%s: not verified, since names and sizes identify these data (data.identity=stat)",
                        source.root,
                    )
                looked_at.append(LookedAt(source, hashed))
                sizes = _text(source.lines(source.sizes()))
                by_sizes.update(sizes)
                content.update(sizes if hashed is None else _text(source.lines(hashed)))
            else:
                line = _text([next(digests) if isinstance(source, Path) else source])
                content.update(line)
                by_sizes.update(line)
        several = len(looked_at) > 1
        return DataLook(content.hexdigest(), by_sizes.hexdigest() if several else None, looked_at)

    # -- single files -----------------------------------------------------------------------------------

    def _alone(self, files: StampedFiles) -> list[str]:
        known = self._load() if len(files) else {}
        before, digests = dict(known), []
        for row, name in enumerate(files.names):
            stamp, key = files.stamp(row), os.path.realpath(name)
            if key in known and tuple(known[key][:4]) == stamp and not self.verify:
                digests.append(known[key][4])
                continue
            now = time.time_ns()
            digests.append(content_hash(name))
            remembered = known.pop(key, None)
            if remembered is not None and tuple(remembered[:4]) == stamp and remembered[4] != digests[-1]:
                _warn_of_silent_changes([name])
            if stamp.size >= WORTH_KEEPING and _is_settled(stamp, now):
                known[key] = [*stamp, digests[-1]]
        if known != before and not self.read_only:
            with suppress(OSError):  # a cache: under a read-only root everything is hashed anew
                publish_json(self.memory, known)
        return digests

    def _load(self) -> dict[str, list]:
        try:
            known = read_json(self.memory)
            return {path: [*map(int, stamp), str(digest)] for path, (*stamp, digest) in known.items()}
        except (FileNotFoundError, Damaged, ValueError, TypeError, AttributeError):  # not what was saved
            return {}

    # -- many files -------------------------------------------------------------------------------------

    def _together(self, files: StampedFiles) -> list[str]:
        place = hashlib.sha256(os.fsencode(os.path.realpath(files.root))).hexdigest()[:16]
        memory = self.folder / f"{place}.hashes"
        known = load_known(memory)
        remembered = known.matching(files.names, files.stamps)
        digests = [None] * len(files) if self.verify else list(remembered)
        missing = [row for row, digest in enumerate(digests) if digest is None]
        if not missing:
            return [digest.hex() for digest in digests]
        if len(missing) >= WORTH_SAYING:
            log.info("%s: hashing %s", files.root, counted(len(missing), "file"))
        now = time.time_ns()
        try:
            hash_rows(files, missing, digests)
        finally:  # what is hashed stays so when the rest is interrupted
            if not self.read_only:
                settled = [
                    digest if _is_settled(files.stamp(row), now) else None
                    for row, digest in enumerate(digests)
                ]
                save_known(memory, known.with_files(files.names, files.stamps, settled))
        if self.verify:
            rows = zip(files.paths(), remembered, digests, strict=True)
            _warn_of_silent_changes([path for path, before, now in rows if before not in (None, now)])
        return [digest.hex() for digest in digests]


def hash_rows(
    files: StampedFiles, rows: Sequence[int], digests: list[bytes | None], threads: int | None = None
) -> None:
    """Put the SHA-256 of the files in `rows` into `digests`, several at a time."""
    paths = list(files.paths())

    def hash_some(start: int) -> None:
        for row in rows[start : start + AT_ONCE]:
            digests[row] = bytes.fromhex(content_hash(paths[row]))

    starts = range(0, len(rows), AT_ONCE)
    threads = min(threads or 2 * usable_cores(), MOST_THREADS, len(starts))
    if threads == 1:
        for start in starts:
            hash_some(start)
        return
    from concurrent.futures import ThreadPoolExecutor

    pool = ThreadPoolExecutor(threads)
    try:
        for done in [pool.submit(hash_some, start) for start in starts]:
            done.result()
    finally:
        pool.shutdown(cancel_futures=True)


def _warn_of_silent_changes(paths: list[str]) -> None:
    if paths:
        log.warning(
            "%s something else than when last read, although no time stamp has changed: %s",
            counted(len(paths), "file holds", "files hold"),
            listed(paths),
        )


def _is_settled(stamp: Stamp, now: int) -> bool:
    """Whether a file with this stamp certainly gets another one when it is written after `now` (ns)."""
    return min(abs(now - stamp.modified), abs(now - stamp.changed)) > SETTLED_NS


def _text(lines: list[str]) -> bytes:
    return "".join(f"{line}\n" for line in lines).encode(errors="surrogateescape")
