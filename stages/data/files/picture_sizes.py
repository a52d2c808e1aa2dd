"""Sizes of listed pictures, by which a data set is identified; no picture is opened."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from longtail.stages.data.files.inside_root import inside_root
from longtail.stages.parameters import wrong
from longtail.stages.wording import counted, listed


class PictureSizes:
    """Looks up sizes of pictures in bytes; gathers what is missing, refuses at once what leaves `root`."""

    def __init__(self, root: str, allow_outside: bool):
        self.root = os.path.expanduser(root)
        self.fence = None if allow_outside else Path(self.root).resolve()
        self.checked: set[str] = set()  # folders known to lie inside the fence
        self.missing: list[str] = []

    def of(self, path: str, where: str) -> int:
        """Size of the picture at `path` below the root, 0 for a missing one; `where` it is listed."""
        full = os.path.join(self.root, path)
        try:
            self._refuse_outside(full)
            return os.stat(full).st_size
        except (FileNotFoundError, NotADirectoryError):
            self.missing.append(f"{full} ({where})")
            return 0
        except ValueError as error:
            raise ValueError(f"{where}: {error}") from None

    def refuse_missing(self) -> None:
        """ValueError naming the first few pictures that are not there."""
        if self.missing:
            missing = counted(len(self.missing), "listed picture is", "listed pictures are")
            raise wrong("root", f"{missing} not there: {listed(self.missing)}")

    def _refuse_outside(self, full: str) -> None:
        folder = os.path.dirname(full)
        if folder not in self.checked:  # once a folder, not once a picture
            inside_root(Path(folder), self.fence)
            self.checked.add(folder)
        if stat.S_ISLNK(os.lstat(full).st_mode):
            inside_root(Path(full), self.fence)
