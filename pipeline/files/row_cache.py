"""Rows of text that can be made again, kept in one SQLite file.

Each row carries hashes, so that a damaged one is never returned. Where the file cannot be read or written, or
another process keeps it busy for long, the cache counts as empty; a damaged file is removed.
"""

from __future__ import annotations

import hashlib
import logging
import os
import stat
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TypeVar
from urllib.parse import quote

if TYPE_CHECKING:
    import sqlite3

log = logging.getLogger("longtail")

T = TypeVar("T")

WAIT = 2.0  # seconds for a process that is writing
VERSION = 1  # of the tables
TABLES = """
BEGIN;
CREATE TABLE entries (id TEXT PRIMARY KEY, stamp TEXT, tags TEXT, digest TEXT, sign TEXT) WITHOUT ROWID;
CREATE TABLE texts (id TEXT PRIMARY KEY, text TEXT);
PRAGMA user_version = 1;
COMMIT;
"""


class Row(NamedTuple):
    """What is known of a text: the `stamp` of its source, `tags` to choose by, and its SHA-256."""

    stamp: str
    tags: str
    digest: str


class Damage(Exception):
    """A row is not what was written."""


def row_of(stamp: str, tags: str, text: str) -> Row:
    """The row of a text."""
    return Row(stamp, tags, _sha256(text))


class RowCache:
    """The rows in the SQLite file at `path`, which is made with the first of them unless `read_only`."""

    def __init__(self, path: Path, *, read_only: bool = False):
        self.path, self.read_only = path, read_only

    def rows(self) -> dict[str, Row]:
        """Every row by id, without texts."""

        def select(connection: sqlite3.Connection) -> dict[str, Row]:
            rows = {}
            for name, *row, sign in connection.execute("SELECT id, stamp, tags, digest, sign FROM entries"):
                if sign != _sign(name, row):
                    raise Damage
                rows[name] = Row(*row)
            return rows

        return self._with_file(select, {})

    def texts(self, wanted: Mapping[str, Row]) -> dict[str, str]:
        """The texts of rows; those that are not in the file are left out."""

        def select(connection: sqlite3.Connection) -> dict[str, str]:
            texts = {}
            for name, text in _select_texts(connection, wanted):
                if name in wanted and wanted[name].digest == _sha256(text):
                    texts[name] = text
            return texts

        return self._with_file(select, {}) if wanted else {}

    def save(self, rows: Mapping[str, tuple[Row, str]], gone: Collection[str]) -> None:
        """Add or replace rows with their texts, and remove those that are `gone`."""

        def write(connection: sqlite3.Connection) -> None:
            entries = [(name, *row, _sign(name, row)) for name, (row, _) in rows.items()]
            connection.execute("BEGIN IMMEDIATE")
            for table in ("entries", "texts"):
                connection.executemany(f"DELETE FROM {table} WHERE id = ?", [(name,) for name in gone])
            connection.executemany("REPLACE INTO entries VALUES (?, ?, ?, ?, ?)", entries)
            connection.executemany("REPLACE INTO texts VALUES (?, ?)", ((n, t) for n, (_, t) in rows.items()))
            connection.execute("COMMIT")

        if (rows or gone) and not self.read_only:
            self._with_file(write, None, make=True)

    def _with_file(self, use: Callable[[sqlite3.Connection], T], otherwise: T, *, make: bool = False) -> T:
        """What `use` makes of the open file; `otherwise` without one. A damaged one is removed first."""
        try:
            import sqlite3
        except ImportError:  # a Python that was built without it
            return otherwise
        for _ in range(2):
            try:
                connection = self._open(make)
                if connection is None:
                    return otherwise
                with closing(connection):
                    return use(connection)
            except sqlite3.OperationalError as error:  # busy, read-only, full, not to be opened
                log.debug("%s: %s", self.path, error)
                return otherwise
            except (sqlite3.DatabaseError, Damage, TypeError, ValueError):
                log.debug("%s: is damaged; it is made again", self.path)
                if self.read_only:
                    return otherwise
                with suppress(OSError):
                    self.path.unlink()
        return otherwise

    def _open(self, make: bool) -> sqlite3.Connection | None:
        """The open file; None for a file that is not there or not regular."""
        import sqlite3

        try:
            if not stat.S_ISREG(self.path.lstat().st_mode):
                return None
        except OSError:
            if not make:
                return None
        mode = "rwc" if make else "ro"
        address = f"file:{quote(os.fsencode(self.path.absolute()))}?mode={mode}"
        connection = sqlite3.connect(address, uri=True, timeout=WAIT, isolation_level=None)
        try:
            connection.execute("PRAGMA synchronous = OFF")  # what a power cut damages is made again
            (version,) = connection.execute("PRAGMA user_version").fetchone()
            if version == 0 and make:
                connection.executescript(TABLES)
            elif version != VERSION:
                raise Damage
        except BaseException:
            connection.close()
            raise
        return connection


def _select_texts(connection: sqlite3.Connection, names: Collection[str]) -> Iterator[tuple[str, str]]:
    (count,) = connection.execute("SELECT count(*) FROM entries").fetchone()
    if 2 * len(names) > count:
        yield from connection.execute("SELECT id, text FROM texts")
    else:
        for name in names:
            yield from connection.execute("SELECT id, text FROM texts WHERE id = ?", (name,))


def _sign(name: str, row: Iterable[str]) -> str:
    return _sha256("\n".join([name, *row]))


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
