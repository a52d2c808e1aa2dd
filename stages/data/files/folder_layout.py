"""Which folders of a set of pictures hold its parts, and which its classes."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from longtail.stages.data.files.part_names import EXACT, exact_part, part_and_rest, similar_part
from longtail.stages.data.files.picture_files import picture_suffixes
from longtail.stages.parameters import wrong
from longtail.stages.wording import counted, listed, looked_for

LEFT_BY_ARCHIVES = ("__MACOSX",)  # holds no picture, whatever it lies beside
DEEPEST = 8  # folders around a set; more are a circle of links


class Layout(NamedTuple):
    """The folder of each part that is there, with a folder per class each, and what is worth saying."""

    parts: dict[str, Path]
    remarks: list[str]


def find_layout(top: Path, given: Mapping[str, str | None] | None = None) -> Layout:
    """Where the parts of the set at `top` lie; ``{"train": top}`` when `top` holds the classes itself.

    `given` names folders of parts below `top`, which are then not looked for. Otherwise parts are recognised
    by their names: train, val (valid, validation) and test, whatever lies beside them; names like these
    (``Training``, ``test_set``, ``dev``, ``eval``, ``train_images``) where nothing else is there. A folder
    that only wraps the set or a part is stepped through.

    Raises ValueError, with what was seen and what to set, where the names leave it open.
    """
    remarks: list[str] = []
    named = {part: name for part, name in (given or {}).items() if name is not None}
    if named:
        return Layout(_given(top, named), remarks)
    place = _step_through(top, remarks)
    parts = _Recognition(top, place, subfolders(place)).parts()
    if parts["train"] != place:
        _step_through_parts(parts, remarks)
        remarks += _not_read(place, parts)
    for folder in parts.values():
        loose = loose_pictures(folder)
        if loose and subfolders(folder):
            remarks.append(f"{folder}: {counted(loose, 'picture')} beside the class folders: not read")
    return Layout(parts, remarks)


def subfolders(folder: Path) -> list[Path]:
    """The folders in `folder` that may hold pictures, none of them hidden, in no order."""
    return [
        path
        for path in folder.iterdir()
        if path.is_dir() and not path.name.startswith(".") and path.name not in LEFT_BY_ARCHIVES
    ]


def loose_pictures(folder: Path) -> int:
    """The number of pictures that lie in `folder` itself."""
    with os.scandir(folder) as entries:
        return sum(
            not entry.name.startswith(".")
            and os.path.splitext(entry.name)[1].lower() in picture_suffixes()
            and entry.is_file()
            for entry in entries
        )


# -- parts that are named ---------------------------------------------------------------------------------


def _given(top: Path, named: dict[str, str]) -> dict[str, Path]:
    """The folders that settings name, checked."""
    if "train" not in named:
        raise wrong(next(iter(named)), "must be given with `train`, the folder of the training pictures")
    parts: dict[str, Path] = {}
    for part, name in named.items():
        inner = os.path.normpath(name)
        folder = top / inner
        if os.path.isabs(inner) or inner.startswith("..") or not folder.is_dir():
            raise wrong(part, f"must be a folder below `root`, got {looked_for(folder)}")
        if folder in parts.values():
            raise wrong(part, f"must be another folder than that of the other parts, got {name!r}")
        parts[part] = folder
    return parts


# -- parts that are recognised ----------------------------------------------------------------------------


class _Recognition(NamedTuple):
    """The `folders` of `place`, which is the set at `top` or what that wraps."""

    top: Path
    place: Path
    folders: list[Path]

    def parts(self) -> dict[str, Path]:
        """The parts by their names, or ``{"train": place}`` when the folders are classes."""
        exact = self._one_each(self.folders, exact_part)
        if len(exact) == len(self.folders) or any(map(subfolders, exact.values())):
            return self._beside_exact(exact)
        # Beside other folders one called "train" may be a class: it holds pictures, a part holds folders.
        self._refuse_unclear()
        if not _all_similar(self.folders) or not any(map(subfolders, self.folders)):
            return {"train": self.place}
        return self._with_train(self._one_each(self.folders, similar_part))

    def _beside_exact(self, exact: dict[str, Path]) -> dict[str, Path]:
        """`exact` parts, and those with similar names that hold class folders."""
        part_of = {folder: similar_part(folder.name) for folder in self.folders}
        similar = [f for f, part in part_of.items() if part not in (None, *exact) and subfolders(f)]
        counts = Counter(part_of[folder] for folder in similar)
        parts = exact | {part_of[folder]: folder for folder in similar if counts[part_of[folder]] == 1}
        if "train" not in exact and len(parts) < len(self.folders):
            parts.pop("train", None)  # beside folders that are no parts it may as well be a class
        return self._with_train(parts)

    def _one_each(self, folders: Iterable[Path], part_of: Callable[[str], str | None]) -> dict[str, Path]:
        """The folder of each part; ValueError for two of one part."""
        parts: dict[str, Path] = {}
        for folder in sorted(folders):
            part = part_of(folder.name)
            if part in parts:
                raise ValueError(
                    f"{parts[part]}: {folder} is there too; keep one folder of {part} pictures, or say which "
                    f"it is: {self._settings({**parts, part: folder})}"
                )
            if part is not None:
                parts[part] = folder
        return parts

    def _with_train(self, parts: dict[str, Path]) -> dict[str, Path]:
        """`parts` in order; ValueError when train is not among them."""
        if "train" in parts:
            return {part: parts[part] for part in EXACT if part in parts}
        holds = listed(sorted(folder.name for folder in self.folders)) or "no folder"
        loose = loose_pictures(self.place)
        if loose:
            holds += f" and {counted(loose, 'picture')}"
        message = f"{self.place} must hold a folder per class or a folder train, holds {holds}"
        if self.folders:
            message += f"; {self._classes()} takes each folder for a class"
        if parts and len(parts) < len(self.folders):
            message += f", with {self._settings(parts)} the others"
        raise wrong("root", message)

    def _refuse_unclear(self) -> None:
        """ValueError for folders that may be parts, by their names and what they hold, or classes."""
        alike = _alike(self.folders)
        if len(alike) < 2 or "train" not in alike:
            return
        alone, shared = len(alike) == len(self.folders), _share_a_class(alike)
        if alone and _all_similar(alike.values()) and subfolders(alike["train"]):
            return  # parts, surely
        if not alone and not shared:
            return  # classes, as far as names and contents tell
        seen = listed(sorted(folder.name for folder in self.folders))
        but = "" if shared else ", but without a folder per class"
        raise wrong(
            "root",
            f"{self.place} holds {seen}: parts of a set by their names{but}; set {self._settings(alike)} if "
            f"they are, or {self._classes()} if each folder is a class",
        )

    def _settings(self, parts: dict[str, Path]) -> str:
        """The settings that name `parts`, for a message."""
        inner = {part: _step_through(folder, [], into_parts=True) for part, folder in parts.items()}
        return ", ".join(self._setting(part, inner[part]) for part in EXACT if part in parts)

    def _classes(self) -> str:
        """The setting by which every folder is a class."""
        return self._setting("train", self.place)

    def _setting(self, part: str, folder: Path) -> str:
        return f"`{part}={folder.relative_to(self.top).as_posix()}`"


def _all_similar(folders: Iterable[Path]) -> bool:
    return all(similar_part(folder.name) for folder in folders)


def _alike(folders: Iterable[Path]) -> dict[str, Path]:
    """Folders of parts whose names differ in nothing but the part: ``seg_train`` and ``seg_test``."""
    groups: dict[tuple[str, ...], dict[str, Path]] = {}
    for folder in sorted(folders):
        part, rest = part_and_rest(folder.name)
        if part is not None:
            groups.setdefault(rest, {}).setdefault(part, folder)
    return max(groups.values(), key=len, default={})


def _share_a_class(parts: dict[str, Path]) -> bool:
    """Whether train and another part hold folders of one name, perhaps inside a folder around them."""
    names = {
        part: {inner.name for inner in subfolders(_step_through(folder, [], into_parts=True))}
        for part, folder in parts.items()
    }
    return any(not names["train"].isdisjoint(of_part) for part, of_part in names.items() if part != "train")


# -- folders around a set, and what is left ---------------------------------------------------------------


def _step_through(folder: Path, remarks: list[str], *, into_parts: bool = False) -> Path:
    """The folder that holds more than a single folder of folders, in `folder` or below.

    Folders named like parts are stepped into only with `into_parts`.
    """
    place = folder
    for _ in range(DEEPEST):
        inside = subfolders(place)
        if len(inside) != 1 or not subfolders(inside[0]) or loose_pictures(inside[0]):
            break  # a folder that holds pictures is a class
        if similar_part(inside[0].name) and not into_parts:
            break
        place = inside[0]
    if place != folder:
        remarks.append(f"{folder}: holds only the folder {place.relative_to(folder)}, whose folders are read")
    return place


def _step_through_parts(parts: dict[str, Path], remarks: list[str]) -> None:
    """Step through a folder around the classes of a part, unless it is a class of train."""
    parts["train"] = _step_through(parts["train"], remarks, into_parts=True)
    classes = {folder.name for folder in subfolders(parts["train"])}
    for part in ("val", "test"):
        if part in parts and classes.isdisjoint(folder.name for folder in subfolders(parts[part])):
            parts[part] = _step_through(parts[part], remarks, into_parts=True)


def _not_read(place: Path, parts: dict[str, Path]) -> list[str]:
    """A remark on folders of pictures that are no part, or none."""
    others = [f for f in subfolders(place) if not any(p.is_relative_to(f) for p in parts.values())]
    names = [folder.name for folder in sorted(others) if _holds_a_picture(folder)]
    return [f"{place}: {listed(names)} beside {listed(parts)}: not read"] if names else []


def _holds_a_picture(folder: Path) -> bool:
    return any(loose_pictures(Path(place)) for place, _, _ in os.walk(folder))
