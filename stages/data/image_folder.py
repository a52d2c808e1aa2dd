"""Pictures sorted into folders, one folder a class."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from typing import Literal

from longtail.stages.data import DATASETS, Collection, PictureSet
from longtail.stages.data.files.picture_folders import scan
from longtail.stages.data.files.stamped_files import StampedFiles
from longtail.stages.data.files.user_path import user_path
from longtail.stages.data.pictures.picture_parts import picture_collection
from longtail.stages.data.pictures.settings import PictureSettings
from longtail.stages.parameters import Count, Fraction, HexColour, Index, Location, PictureSide, Share, wrong


def sources(
    *,
    root: str,
    train: str | None = None,
    val: str | None = None,
    test: str | None = None,
    allow_outside: bool = False,
    identity: Literal["content", "stat"] = "content",
    **_,
) -> list[StampedFiles]:
    """Every picture, sorted: ``relative path<tab>content's hash<tab>class``; by stat, size for hash."""
    parts, _ = scan(root, allow_outside=allow_outside, train=train, val=val, test=test)
    files = StampedFiles(os.fspath(user_path(root)), identity)
    for path, stamp, label in sorted(picture for pictures in parts.values() for picture in pictures):
        files.add(path, stamp, before=f"{path}\t", after=f"\t{label}")
    return [files]


def pictures(
    *,
    root: str,
    train: str | None = None,
    val: str | None = None,
    test: str | None = None,
    allow_outside: bool = False,
    say: Callable[[str], None] | None = None,
    **_,
) -> PictureSet:
    """The pictures of each part and their labels; nothing is decoded."""
    parts, names = scan(root, allow_outside=allow_outside, train=train, val=val, test=test, say=say)
    number = {name: label for label, name in enumerate(names)}
    listed = {
        part: ([picture.path for picture in of], [number[picture.label] for picture in of])
        for part, of in parts.items()
    }
    return PictureSet(os.fspath(user_path(root)), listed, names)


@DATASETS.register("image_folder")
def image_folder(
    *,
    root: Location,
    train: str | None = None,
    val: str | None = None,
    test: str | None = None,
    image_size: PictureSide = 32,
    resize: PictureSide | None = None,
    mode: Literal["rgb", "gray"] = "rgb",
    background: Literal["white", "black", "gray", "alpha"] | HexColour = "white",
    in_memory: bool = True,
    mean: list[Fraction] | None = None,
    std: list[Share] | None = None,
    unreadable: Literal["error", "skip"] = "error",
    skip_limit: Index = 100,
    max_pixels: Count = 90_000_000,
    allow_outside: bool = False,
    identity: Literal["content", "stat"] = "content",
    workers: int | None = None,
) -> Collection:
    """Pictures in one folder per class, alone or below ``train``, ``val`` and ``test``.

    `root` holds a folder per class, or ``train`` and optionally ``val`` (or ``valid``, ``validation``) and
    ``test`` with a folder per class each; a part that is not there is held out of training. Similar names
    (``Training``, ``test_set``, ``dev``) do where nothing else lies beside them, and a folder around the set
    is stepped through, with a warning. `train`, `val` and `test` say which folders below `root` are the
    parts, whatever their names; ``.`` is `root` itself, every other folder of which is then a class. Classes
    are the sorted folder names of train. Pictures (png, jpg, bmp, gif, webp, ppm, pgm, tif, avif, jp2, tga,
    ico; heic with pillow-heif) are found at any depth, turned as their EXIF orientation says, resized with
    antialiasing until the shorter side has `resize` pixels and cropped to the central square of `image_size`.
    Of several frames the first is read. Hidden files are ignored, other files counted.

    `mode` rgb gives three channels, gray one. Transparent pictures are laid on `background`, a colour; alpha
    keeps their transparency as one more channel, by which colours are then multiplied. In memory (up to
    4 GiB) they are decoded once, `resize` null meaning image_size, and normalised by their own mean and
    deviation. Otherwise they are decoded whenever they are needed, `resize` null meaning 256/224 of
    image_size, and normalised by ImageNet's. `mean` and `std`, a number in [0, 1] for each channel, take
    their place in both cases: those that given weights were trained with.

    `unreadable` pictures, among them those of more than `max_pixels`, are an error, or skipped with a
    warning, up to `skip_limit` of a part. Links may leave `root` only with `allow_outside`. `identity`
    content identifies the data by what the pictures hold, stat by their names and sizes. `workers` threads
    or processes decode.

    Raises ValueError for a class without pictures or unknown to train, for folders that may be parts or
    classes, for unreadable pictures (the first few named), for links that leave `root`, and when the pixels
    would take more than 4 GiB.

    Source: your own pictures.
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
    _, listed, class_names = pictures(
        root=root, train=train, val=val, test=test, allow_outside=allow_outside, say=_remark
    )
    _refuse_other_encodings(class_names)
    return picture_collection(root, listed, class_names, settings)


def _remark(text: str) -> None:
    warnings.warn(text, stacklevel=6)


def _refuse_other_encodings(class_names: list[str]) -> None:
    for name in class_names:
        if name != name.encode("utf-8", "replace").decode("utf-8"):
            raise wrong("root", f"class folder {name!r} is not named in UTF-8; rename it")
