"""Pictures as they lie in folders: below train, val and test or not, one folder a class."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from longtail.stages.data.files.folder_layout import find_layout, loose_pictures, subfolders
from longtail.stages.data.files.passed_over import PassedOver
from longtail.stages.data.files.picture_files import picture_stats, picture_suffixes
from longtail.stages.data.files.stamped_files import Stamp, stamp_of
from longtail.stages.data.files.user_path import user_path
from longtail.stages.parameters import wrong
from longtail.stages.wording import counted, looked_for


class Picture(NamedTuple):
    """A picture's path relative to the root (posix), its stamp and its class."""

    path: str
    stamp: Stamp
    label: str


def scan(
    root: str | Path,
    *,
    allow_outside: bool = False,
    train: str | None = None,
    val: str | None = None,
    test: str | None = None,
    say: Callable[[str], None] | None = None,
) -> tuple[dict[str, list[Picture]], list[str]]:
    """Pictures of each part that is there, sorted by path, and the class names. Nothing is decoded.

    `train`, `val` and `test` name the folders of the parts, which are recognised otherwise (see
    :func:`longtail.stages.data.files.folder_layout.find_layout`); `say` gets what is worth knowing of that.

    Raises ValueError for a root without classes, an empty class or part, a class that train lacks, and links
    that lead outside (unless `allow_outside`).
    """
    top = user_path(root)
    if not top.is_dir():
        raise wrong("root", f"must be a folder of class folders, got {looked_for(root)}")
    folders, remarks = find_layout(top, {"train": train, "val": val, "test": test})
    for remark in remarks if say else ():
        say(remark)
    classes = {part: _class_folders(folder, folders) for part, folder in folders.items()}
    class_names = sorted(folder.name for folder in classes["train"])
    if not class_names:
        holds = f"{counted(loose_pictures(folders['train']), 'picture')} and no folder"
        raise ValueError(f"{folders['train']}: must hold a folder per class, holds {holds}")
    parts: dict[str, list[Picture]] = {}
    fence, passed = None if allow_outside else top.resolve(), PassedOver()
    for part, class_folders in classes.items():
        parts[part] = []
        for class_folder in class_folders:
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
            raise _empty_part(part, folders, top)
        parts[part].sort()
    passed.warn(top)
    return parts, class_names


def _class_folders(folder: Path, parts: dict[str, Path]) -> list[Path]:
    """The folders in `folder` but those that hold another part."""
    others = [other for other in parts.values() if other != folder]
    return [inner for inner in subfolders(folder) if not any(o.is_relative_to(inner) for o in others)]


def _empty_part(part: str, folders: dict[str, Path], top: Path) -> ValueError:
    """The error for a part other than train in whose class folders there is no picture."""
    loose, train = loose_pictures(folders[part]), folders["train"].relative_to(top).as_posix()
    if not loose:
        return ValueError(
            f"{folders[part]}: holds no picture; remove it to hold {part} samples out of training"
        )
    return ValueError(
        f"{folders[part]}: holds {counted(loose, 'picture')} and no class folder, so their classes are "
        f"unknown; sort them into a folder per class, or set `train={train}` alone to hold {part} samples "
        "out of training"
    )
