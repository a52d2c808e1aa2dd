"""What the files of a data set held when they were looked at, and whether they still do."""

from __future__ import annotations

import hashlib
import logging
import os
from dataclasses import dataclass

from longtail.pipeline.errors import LongtailError
from longtail.pipeline.files.content_hash import content_hash
from longtail.stages.data.files.stamped_files import StampedFiles, stamp_of
from longtail.stages.wording import counted, listed

log = logging.getLogger("longtail")


@dataclass(frozen=True)
class LookedAt:
    """Files and the SHA-256 of each; None in place of these where sizes identify the files."""

    files: StampedFiles
    digests: list[str] | None


@dataclass(frozen=True)
class DataLook:
    """What a data set's files held.

    `content` identifies the data. `by_sizes` is what identified data sets of many files in earlier versions:
    names and sizes; None for other data sets, whose identity has always been their content.
    """

    content: str
    by_sizes: str | None
    looked_at: list[LookedAt]

    def stamps(self) -> str:
        """A hash of every file's stamp: the same again if none was written, moved or exchanged in between."""
        digest = hashlib.sha256()
        for seen in self.looked_at:
            digest.update(seen.files.stamps.tobytes())
        return digest.hexdigest()

    def newest(self) -> int:
        """When the last of the files was written, moved or exchanged, in ns since 1970."""
        columns = [seen.files.stamps[at::4] for seen in self.looked_at for at in (1, 2)]
        return max((max(column) for column in columns if column), default=0)

    def refuse_changes(self, during: str) -> None:
        """LongtailError naming the files that hold something else than when they were looked at."""
        changed, rewritten = [], 0
        for seen in self.looked_at:
            for row, path in enumerate(seen.files.paths()):
                different = _is_different(seen, row, path)
                if different:
                    changed.append(path)
                rewritten += different is False
        if changed:
            raise LongtailError(
                f"{counted(len(changed), 'file')} of the data changed during {during}: {listed(changed)}; "
                "what was computed from both is not kept. Put them back, or run the same command again on "
                "what they hold now"
            )
        if rewritten:
            log.warning(
                "%s of the data written during %s, with what it held before",
                counted(rewritten, "file was", "files were"),
                during,
            )


def _is_different(seen: LookedAt, row: int, path: str) -> bool | None:
    """Whether a file holds something else than it did; None for one that was not touched at all."""
    stamp = seen.files.stamp(row)
    try:
        now = stamp_of(os.stat(path))
        if now == stamp:
            return None
        if seen.digests is None:
            different = now[:2] != stamp[:2]
        else:
            different = content_hash(path) != seen.digests[row]
    except OSError:
        return True
    if not different:  # so that it is read again only when it is written again
        for at, value in enumerate(now):
            seen.files.stamps[4 * row + at] = value
    return different
