"""Counts of the files that are not taken for pictures, for a warning."""

from __future__ import annotations

import os
import warnings
from collections import Counter
from pathlib import Path

from longtail.stages.wording import counted, listed

NEEDS = dict.fromkeys((".heic", ".heif", ".hif"), "needs pillow-heif")  # what reads them, by suffix
LITTER = ("thumbs.db", "desktop.ini")  # that systems leave behind; their hidden files are not even looked at


class PassedOver:
    """Counts the files of each suffix that :func:`~.picture_files.walk` did not take for pictures.

    >>> passed = PassedOver()
    >>> for name in ("a.HEIC", "b.heic", "notes.txt"):
    ...     passed.add(name)
    >>> str(passed)
    '3 files not read: 2 .heic (needs pillow-heif), 1 .txt'
    """

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()

    def add(self, name: str) -> None:
        """Count the file called `name`."""
        if name.lower() not in LITTER:
            self.counts[os.path.splitext(name)[1].lower()] += 1

    def __bool__(self) -> bool:
        return bool(self.counts)

    def __str__(self) -> str:
        by_suffix = sorted(self.counts.items(), key=lambda item: (-item[1], item[0]))
        files = [
            f"{count} {suffix or 'without suffix'}" + (f" ({NEEDS[suffix]})" if suffix in NEEDS else "")
            for suffix, count in by_suffix
        ]
        return f"{counted(self.counts.total(), 'file')} not read: {listed(files)}"

    def warn(self, folder: Path) -> None:
        """Warn of the files below `folder`, where there are any."""
        if self:
            warnings.warn(f"{folder}: {self}", stacklevel=3)
