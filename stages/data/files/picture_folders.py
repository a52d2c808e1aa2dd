"""Pictures as they lie in folders: below train, val and test or not, one folder a class."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

from longtail.stages.data.files.passed_over import PassedOver
from longtail.stages.data.files.picture_files import picture_stats, picture_suffixes
from longtail.stages.data.files.stamped_files import Stamp, stamp_of
from longtail.stages.parameters import wrong
from longtail.stages.wording import listed, looked_for

PART_FOLDERS = {"train": ("train",), "val": ("val", "valid", "validation"), "test": ("test",)}


class Picture(NamedTuple):
    """A picture's path relative to the root (posix), its stamp and its class."""

    path: str
    stamp: Stamp
    label: str


def scan(root: str | Path, *, allow_outside: bool = False) -> tuple[dict[str, list[Picture]], list[str]]:
    """Pictures of each part that is there, sorted by path, and the class names. Nothing is decoded.

    Raises ValueError for a root without classes, an empty class or part, a class that train lacks, and links
    that lead outside (unless `allow_outside`).
    """
    top = Path(root).expanduser()
    if not top.is_dir():
        raise wrong("root", f"must be a folder of class folders, got {looked_for(root)}")
    folders = _part_folders(top)
    class_names = sorted(folder.name for folder in _subfolders(folders["train"]))
    if not class_names:
        raise ValueError(f"{folders['train']}: must hold a folder per class, holds no folder")
    parts: dict[str, list[Picture]] = {}
    fence, passed = None if allow_outside else top.resolve(), PassedOver()
    for part, folder in folders.items():
        parts[part] = []
        for class_folder in _subfolders(folder):
            if class_folder.name not in class_names:
                raise ValueError(
                    f"{class_folder}: is not a class: {folders['train']} has no folder of that name"
                )
            here, inside = PassedOver(), class_folder.relative_to(top).as_posix()
            above = len(os.fspath(class_folder))
            pictures = [
                Picture(inside + path[above:], stamp_of(status), class_folder.name)
                for path, status in picture_stats(os.fspath(class_folder), fence, here)
            ]
            passed.counts += here.counts
            if not pictures and part == "train":
                holds = f"holds none; {here}" if here else "holds none"
                raise ValueError(
                    f"{class_folder}: a class needs a picture ({' '.join(picture_suffixes())}), {holds}"
                )
            parts[part] += pictures
        if not parts[part]:
            raise ValueError(f"{folder}: holds no picture; remove it to hold {part} samples out of training")
        parts[part].sort()
    passed.warn(top)
    return parts, class_names


def _subfolders(folder: Path) -> list[Path]:
    return [path for path in folder.iterdir() if path.is_dir() and not path.name.startswith(".")]


def _part_folders(top: Path) -> dict[str, Path]:
    """``{"train": ..., "val": ...}``, or ``{"train": top}`` when `top` holds the classes itself."""
    subfolders = _subfolders(top)
    parts = {}
    for part, names in PART_FOLDERS.items():
        candidates = sorted(path for path in subfolders if path.name.lower() in names)
        if len(candidates) > 1:
            raise ValueError(
                f"{candidates[0]}: {candidates[1]} is there too; keep one folder of {part} pictures"
            )
        if candidates:
            parts[part] = candidates[0]
    # Beside other folders one called "train" may be a class: it holds pictures where a part holds folders.
    if len(parts) < len(subfolders) and not any(_subfolders(folder) for folder in parts.values()):
        return {"train": top}
    if "train" not in parts:
        holds = listed(sorted(path.name for path in subfolders)) or "no folder"
        raise wrong("root", f"{top} must hold a folder per class or a folder train, holds {holds}")
    return parts
