"""Named arrays in a folder of ``.npy`` files or in one ``.npz`` archive, and how they load."""

from __future__ import annotations

import os
import re
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from longtail.stages.data.files.regular_file import MOST_NAMES_BYTES, read_text, require_regular
from longtail.stages.data.files.user_path import user_path
from longtail.stages.parameters import wrong
from longtail.stages.wording import listed, looked_for

if TYPE_CHECKING:
    import numpy as np

PARTS = ("train", "val", "test")
STYLES = ("{part}.{array}", "{array}_{part}", "{array}")  # the last, X and y alone, is a training pool
SHOWN = 10  # array names an error lists


class ArrayFiles:
    """The arrays at `root`; ValueError unless that is a folder or an archive. Nothing is unpickled."""

    def __init__(self, root: str | Path):
        self.path = user_path(root)
        self.is_archive = self.path.is_file() and self.path.suffix == ".npz"
        if not self.is_archive and not self.path.is_dir():
            raise wrong("root", f"must be a folder of .npy files or an .npz file, got {looked_for(root)}")

    @cached_property
    def names(self) -> set[str]:
        """What the arrays are called."""
        if not self.is_archive:
            return {path.stem for path in self.path.glob("*.npy")}
        import zipfile

        try:
            with zipfile.ZipFile(self.path) as archive:
                return {name.removesuffix(".npy") for name in archive.namelist()}
        except (OSError, zipfile.BadZipFile) as error:
            raise ValueError(f"{self.path}: cannot be read as an .npz archive ({error})") from None

    def file(self, name: str) -> str:
        """Where an array lies, for messages."""
        return f"{self.path} [{name}]" if self.is_archive else str(self.path / f"{name}.npy")

    def parts(self) -> dict[str, tuple[str, str]]:
        """``{"train": ("X_train", "y_train"), ...}``: the arrays of each part that is there.

        Raises ValueError for a part in two styles, an array without its partner, no training part, and arrays
        that look like a part's and belong to none.
        """
        parts = {}
        for part in PARTS:
            styles = STYLES if part == "train" else STYLES[:2]
            pairs = [tuple(style.format(part=part, array=array) for array in "Xy") for style in styles]
            pairs = [pair for pair in pairs if not self.names.isdisjoint(pair)]
            if len(pairs) > 1:
                both = f"{pairs[0][0]} and {pairs[1][0]}"
                raise ValueError(f"{self.path}: holds both {both} for {part}; keep one")
            for pair in pairs:
                for name, partner in (pair, pair[::-1]):
                    if name not in self.names:
                        raise ValueError(f"{self.file(name)}: is missing, though {partner} is there")
                    if not self.is_archive:
                        require_regular(self.file(name))
                parts[part] = pair
        if "train" not in parts:
            holds = listed(sorted(self.names), SHOWN) or "no array"
            raise wrong("root", f"{self.path} must hold train.X and train.y, or X and y; holds {holds}")
        used = {name for pair in parts.values() for name in pair}
        unknown = [name for name in sorted(self.names - used) if re.fullmatch(r"[Xy]_.*|.*\.[Xy]", name)]
        if unknown:
            raise ValueError(f"{self.file(unknown[0])}: belongs to no part: {', '.join(PARTS)}")
        return parts

    def load(self, name: str) -> np.ndarray:
        """An array by name: a memory map in a folder, in memory from an archive."""
        import numpy as np

        require_regular(self.path if self.is_archive else self.file(name))
        try:
            if self.is_archive:
                with np.load(self.path, allow_pickle=False) as archive:
                    array = archive[name]
            else:
                array = np.load(self.file(name), mmap_mode="r", allow_pickle=False)
        except Exception as error:  # numpy and zipfile raise a dozen kinds
            reason = "holds Python objects, not numbers" if "allow_pickle" in str(error) else error
            raise ValueError(f"{self.file(name)}: cannot be read: {reason}") from None
        if not isinstance(array, np.ndarray):
            raise ValueError(f"{self.file(name)}: must be one .npy array")
        return array

    def class_names(self) -> list[str] | None:
        """The class names that lie with the arrays; None if there is no such file or array."""
        if self.is_archive:
            return self._class_names_in_archive() if "class_names" in self.names else None
        path = self.path / "class_names.json"
        return _class_names_in_json(path) if os.path.lexists(path) else None

    def _class_names_in_archive(self) -> list[str]:
        array = self.load("class_names")
        if array.ndim != 1 or array.dtype.kind != "U" or not array.size:
            raise ValueError(
                f"{self.file('class_names')}: must be text (C,), got {array.dtype} {array.shape}"
            )
        return array.tolist()


def _class_names_in_json(path: Path) -> list[str]:
    import json

    text = read_text(path, MOST_NAMES_BYTES)
    try:
        names = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}: must be a JSON list of names ({error})") from None
    if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
        raise ValueError(f"{path}: must be a JSON list of names, one a class")
    return names
