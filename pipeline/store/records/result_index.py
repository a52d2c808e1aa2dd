"""Finished classifiers' results, each verified once: it is not read again until its files change.

The folders alone say what there is. ``results.sqlite`` remembers each ``result.json`` that was verified, with
the status (size, times, inode) of it and its ``DONE``, and answers for it as long as both are the same.
"""

from __future__ import annotations

import json
import logging
import os
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from longtail.pipeline.errors import Damaged
from longtail.pipeline.files.checked_json import parse_json
from longtail.pipeline.files.row_cache import Row, RowCache, row_of
from longtail.pipeline.store.identity import ID_LENGTH
from longtail.pipeline.store.records.done import DONE, read_done, read_listed
from longtail.pipeline.store.result import Result
from longtail.stages.data.files.stamped_files import SETTLED_NS
from longtail.stages.wording import printable

log = logging.getLogger("longtail")

INDEX = "results.sqlite"
RESULT = "result.json"
WORTH_INDEXING = 200  # results; fewer are read as fast

_LIKE_AN_ID = re.compile(f"[0-9a-f]{{{ID_LENGTH}}}")


class ReadResult(NamedTuple):
    """A verified result: its record, and the status of ``DONE`` and ``result.json`` when they were read."""

    record: dict[str, Any]
    statuses: tuple[os.stat_result, os.stat_result]


class ResultIndex:
    """The records of the results in `folder`, remembered in a file beside it unless `read_only`.

    ``read(id)`` reads and verifies a result; None for one that is not finished, or, with a warning, damaged.
    """

    def __init__(self, folder: Path, read: Callable[[str], ReadResult | None], *, read_only: bool = False):
        self.folder, self.read = folder, read
        self.cache = RowCache(folder.parent / INDEX, read_only=read_only)

    def records(
        self, *, representation: str | None = None, features: str | None = None
    ) -> Iterator[dict[str, Any]]:
        """The records of finished results, by id: of all, or of those on a representation or on features."""
        names = folder_names(self.folder)
        known = self.cache.rows() if len(names) >= WORTH_INDEXING else {}
        rows: dict[str, Row] = {}
        read: dict[str, str] = {}  # texts that the index does not hold
        unsettled = set()
        for name in names:
            if name in known and known[name].stamp == self._stamp(name):
                rows[name] = known[name]
            elif (result := self.read(name)) is not None:
                read[name] = json.dumps(result.record, separators=(",", ":"))
                rows[name] = row_of(_stamp(result.statuses), _tags(result.record), read[name])
                if not _settled(result.statuses) or not _LIKE_AN_ID.fullmatch(name):
                    unsettled.add(name)
        if len(names) >= WORTH_INDEXING:
            settled = {name: (rows[name], text) for name, text in read.items() if name not in unsettled}
            self.cache.save(settled, known.keys() - (rows.keys() - unsettled))
        chosen = {name: row for name, row in rows.items() if _fits(row, representation, features)}
        texts = self.cache.texts({name: row for name, row in chosen.items() if name not in read})
        for name in chosen:
            if name in read or name in texts:
                yield json.loads(read.get(name) or texts[name])
            elif (result := self.read(name)) is not None:  # the index was removed meanwhile
                yield result.record

    def _stamp(self, name: str) -> str | None:
        """The status of a result's files, the same until they change; None if they cannot be seen."""
        try:
            return _stamp(tuple(os.stat(f"{self.folder}/{name}/{file}") for file in (DONE, RESULT)))
        except OSError:
            return None


def read_result(folder: Path) -> ReadResult:
    """The verified result of the classifier in `folder`.

    FileNotFoundError when it is not finished; Damaged, naming the file, when one is not as it was written.
    """
    done, first = read_done(folder)
    content, second = read_listed(folder, done, RESULT)
    path = folder / RESULT
    record = parse_json(content, path)
    try:
        result = Result.from_json(record)
    except ValueError as error:
        raise Damaged(f"{path}: {error}") from None
    if result.run != folder.name:
        raise Damaged(f"{path}: belongs to another classifier, {result.run}")
    return ReadResult(record, (first, second))


def folder_names(folder: Path, prefix: str = "") -> list[str]:
    """The names of the folders in `folder` that begin so, sorted; [] where there is no such folder.

    Warns of what has the name of a result and is no folder, and of a `folder` that cannot be read.
    """
    names = []
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if not entry.name.startswith(prefix):
                    continue
                if entry.is_dir(follow_symlinks=False) or os.path.isdir(entry.path):
                    names.append(entry.name)
                elif _LIKE_AN_ID.fullmatch(entry.name):
                    log.warning("%s: is not a folder; it is not used", entry.path)
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        log.warning("%s: %s; no result in it is used", printable(folder), error.strerror)
    return sorted(names)


def _stamp(statuses: tuple[os.stat_result, ...]) -> str:
    return " ".join(f"{s.st_size} {s.st_mtime_ns} {s.st_ctime_ns} {s.st_ino}" for s in statuses)


def _settled(statuses: tuple[os.stat_result, ...]) -> bool:
    return all(time.time_ns() - status.st_ctime_ns > SETTLED_NS for status in statuses)


def _tags(record: dict[str, Any]) -> str:
    return f"{record['representation'] or ''} {record['features']}"


def _fits(row: Row, representation: str | None, features: str | None) -> bool:
    on, key = row.tags.split(" ")
    return representation in (None, on) and features in (None, key)
