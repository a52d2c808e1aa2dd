"""Folders that many tests read: each made once, for all workers of a test run, and changed by no test."""

from __future__ import annotations

import fcntl
import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path


def state_of(folder: Path) -> dict[str, list[int]]:
    """Size (bytes) and time of the last change (ns) of every file under `folder`."""
    stats = {p.relative_to(folder).as_posix(): p.stat() for p in folder.rglob("*") if not p.is_dir()}
    return {name: [stat.st_size, stat.st_mtime_ns] for name, stat in sorted(stats.items())}


def digests_of(folder: Path) -> dict[str, str]:
    """SHA-256 of every file under `folder`."""
    names = state_of(folder)
    return {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in names}


class SharedFolders:
    """Makes folders below `base`, where other processes of the same test run look for them, too."""

    def __init__(self, base: Path):
        self.base = base
        self._records: dict[str, dict[str, dict]] = {}  # of the folders that this process uses

    def make(self, name: str, fill: Callable[[Path], object]) -> Path:
        """The folder `name`; ``fill(folder)`` is called by whoever asks first, the others wait for it."""
        self.base.mkdir(parents=True, exist_ok=True)
        folder, record = self.base / name, self.base / f"{name}.json"
        with open(self.base / f"{name}.lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not record.exists():
                shutil.rmtree(folder, ignore_errors=True)  # of an attempt that failed
                folder.mkdir()
                fill(folder)
                record.write_text(json.dumps({"state": state_of(folder), "digests": digests_of(folder)}))
        self._records[name] = json.loads(record.read_text())
        return folder

    def check_state(self) -> None:
        """Raise AssertionError if a file has come, gone or been written since its folder was made."""
        for name, record in self._records.items():
            changed = _differences(state_of(self.base / name), record["state"])
            assert not changed, f"{name} is shared, yet a test changed it: {changed}; use copy_of"

    def check_content(self) -> None:
        """Raise AssertionError if any file's bytes differ from those it was made with."""
        for name, record in self._records.items():
            changed = _differences(digests_of(self.base / name), record["digests"])
            assert not changed, f"{name} is shared, yet a test changed it: {changed}; use copy_of"


def _differences(now: dict, before: dict) -> list[str]:
    return sorted(name for name in {*now, *before} if now.get(name) != before.get(name))
