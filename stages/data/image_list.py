"""Pictures named in list files: ImageNet-LT, Places-LT, iNaturalist."""

from __future__ import annotations

import os
from typing import Literal

from longtail.stages.data import DATASETS, Collection, PictureSet
from longtail.stages.data.files.listed_pictures import ListedPictures
from longtail.stages.data.files.lists.picture_lists import read_lists
from longtail.stages.data.files.lists.repeated_pictures import warn_of_duplicates, without_leaks
from longtail.stages.data.files.stamped_files import StampedFiles
from longtail.stages.data.files.user_path import user_path
from longtail.stages.data.pictures.picture_parts import picture_collection
from longtail.stages.data.pictures.settings import PictureSettings
from longtail.stages.parameters import Count, Fraction, HexColour, Index, Location, PictureSide, Share


def sources(
    *,
    root: str,
    train: str,
    val: str | None = None,
    test: str | None = None,
    class_names: str | None = None,
    label_offset: int = 0,
    allow_outside: bool = False,
    identity: Literal["content", "stat"] = "content",
    **_,
) -> list[str | StampedFiles]:
    """The classes' names, and ``part<tab>path<tab>content's hash<tab>label`` of every picture, in order.

    With `identity` stat a size takes the place of each hash.
    """
    lists, names = read_lists(
        root, train=train, val=val, test=test, class_names=class_names, label_offset=label_offset
    )
    on_disk, files = ListedPictures(root, allow_outside), StampedFiles(os.fspath(user_path(root)), identity)
    for part, entries in lists.items():
        for path, label, where in zip(*entries, strict=True):
            stamp = on_disk.stamp(path, where)
            files.add(path, stamp, before=f"{part}\t{path}\t", after=f"\t{label}")
    on_disk.refuse_missing()
    return [*(f"class\t{name}" for name in names), files]


def pictures(
    *,
    root: str,
    train: str,
    val: str | None = None,
    test: str | None = None,
    class_names: str | None = None,
    label_offset: int = 0,
    **_,
) -> PictureSet:
    """The pictures of each list and their labels; none is looked for."""
    lists, names = read_lists(
        root, train=train, val=val, test=test, class_names=class_names, label_offset=label_offset
    )
    listed = {part: (entries.paths, entries.labels) for part, entries in lists.items()}
    return PictureSet(os.fspath(user_path(root)), listed, names)


@DATASETS.register("image_list")
def image_list(
    *,
    root: Location,
    train: Location,
    val: Location | None = None,
    test: Location | None = None,
    class_names: Location | None = None,
    label_offset: Index = 0,
    image_size: PictureSide = 224,
    resize: PictureSide | None = None,
    mode: Literal["rgb", "gray"] = "rgb",
    background: Literal["white", "black", "gray", "alpha"] | HexColour = "white",
    in_memory: bool = False,
    mean: list[Fraction] | None = None,
    std: list[Share] | None = None,
    unreadable: Literal["error", "skip"] = "error",
    skip_limit: Index = 100,
    max_pixels: Count = 90_000_000,
    allow_outside: bool = False,
    identity: Literal["content", "stat"] = "content",
    workers: int | None = None,
) -> Collection:
    """Pictures named in lists: lines ``relative/path label``, CSV, or COCO's and iNaturalist's JSON.

    `train`, `val` and `test` are list files of paths below `root`, in any order; a part without a list is
    held out of training. Labels are numbers from `label_offset` on, or names, numbered in the order of
    `class_names`, else sorted. A CSV has the two columns alone, or a header that names them (``path``,
    ``filename``, ``image``...; ``label``, ``class``, ``category``...). Categories of a JSON may have any ids,
    which are numbered in their order. Files are UTF-8, or UTF-16 with a byte order mark.

    Where `val` and `test` are the same pictures (iNaturalist publishes no labelled test), choosing on them
    would leak: validation is held out of training instead, with a warning. Parts that share some pictures,
    and lines that repeat one, are warned of. Classes are called what `class_names` says, a name a line; else
    what labels or JSON categories are called; else after the folder their training pictures lie in, where
    each has its own; else by number.

    Pictures are resized until the shorter side has `resize` pixels and cropped to the central square of
    `image_size`; `in_memory`, `mode`, `background`, `mean`, `std`, `unreadable`, `skip_limit`, `max_pixels`,
    `allow_outside`, `identity` and `workers` are as in image_folder.

    Raises ValueError naming file and line for a label that is no class or leaves most classes empty, for
    labels that do not begin at `label_offset`, for another encoding, for a picture with two labels, a path
    that leaves `root`, a picture that is not there; for lists that name no picture, and for a validation list
    that is the training list.

    Source: Liu 2019 (arXiv 1904.05160) for ImageNet-LT's and Places-LT's lists; Van Horn 2018 (1707.06642)
    for iNaturalist's JSON.
    """
    settings = PictureSettings(
        image_size=image_size,
        resize=resize,
        mode=mode,
        background=background,
        in_memory=in_memory,
        mean=mean,
        std=std,
        unreadable=unreadable,
        skip_limit=skip_limit,
        max_pixels=max_pixels,
        workers=workers,
    )
    lists, names = read_lists(
        root, train=train, val=val, test=test, class_names=class_names, label_offset=label_offset
    )
    warn_of_duplicates(lists)
    lists = without_leaks(lists)
    on_disk = ListedPictures(root, allow_outside)
    for entries in lists.values():
        for path, where in zip(entries.paths, entries.where, strict=True):
            on_disk.stamp(path, where)
    on_disk.refuse_missing()
    listed = {part: (entries.paths, entries.labels) for part, entries in lists.items()}
    return picture_collection(root, listed, names, settings)
