"""Looking up listed pictures without opening any: that each is there, below the root, and its stamp."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from longtail.stages.data.files.inside_root import inside_root
from longtail.stages.data.files.regular_file import refuse_special
from longtail.stages.data.files.stamped_files import Stamp, stamp_of
from longtail.stages.data.files.user_path import user_path
from longtail.stages.parameters import wrong
from longtail.stages.wording import counted, excerpt, listed

MISSING = Stamp(0, 0, 0, 0)
MOST_SHOWN = 200  # characters of a path in a message


class ListedPictures:
    """Looks up pictures by path; gathers what is missing, refuses at once what leaves `root`."""

    def __init__(self, root: str, allow_outside: bool):
        self.root = os.fspath(user_path(root))
        self.fence = None if allow_outside else Path(self.root).resolve()
        self.checked: set[str] = set()  # folders known to lie inside the fence
        self.missing: list[str] = []

    def stamp(self, path: str, where: str) -> Stamp:
        """Stamp of the picture at `path` below the root, MISSING without one; `where` it is listed.

        ValueError naming `where` for a path that leaves the root, is no file or cannot be looked up.
        """
        full = os.path.join(self.root, path)
        try:
            folder = os.path.dirname(full)
            if folder not in self.checked:  # once a folder, not once a picture
                inside_root(Path(folder), self.fence)
                self.checked.add(folder)
            status = os.lstat(full)
            if stat.S_ISLNK(status.st_mode):
                inside_root(Path(full), self.fence)
                status = os.stat(full)
            refuse_special(full, status)
            return stamp_of(status)
        except (FileNotFoundError, NotADirectoryError):
            self.missing.append(f"{full} ({where})")
            return MISSING
        except OSError as error:  # a name that is too long, a folder of somebody else
            shown = excerpt(full, MOST_SHOWN)
            raise ValueError(f"{where}: {shown}: cannot be looked up ({error.strerror})") from None
        except ValueError as error:
            raise ValueError(f"{where}: {error}") from None

    def refuse_missing(self) -> None:
        """ValueError naming the first few pictures that are not there."""
        if self.missing:
            missing = counted(len(self.missing), "listed picture is", "listed pictures are")
            raise wrong("root", f"{missing} not there: {listed(self.missing)}")
