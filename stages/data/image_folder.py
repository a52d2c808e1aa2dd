"""Pictures sorted into folders, one folder a class."""

from __future__ import annotations

from typing import Literal

from longtail.stages.data import DATASETS, Collection
from longtail.stages.data.files.picture_folders import scan
from longtail.stages.data.pictures.picture_parts import picture_collection
from longtail.stages.data.pictures.settings import PictureSettings
from longtail.stages.parameters import Fraction, Index, Location, PictureSide, Share, wrong


def sources(*, root: str, allow_outside: bool = False, **_) -> list[str]:
    """``relative path<tab>size<tab>class`` of every picture, sorted; the pixels are not read."""
    parts, _ = scan(root, allow_outside=allow_outside)
    return sorted(f"{p.path}\t{p.size}\t{p.label}" for pictures in parts.values() for p in pictures)


@DATASETS.register("image_folder")
def image_folder(
    *,
    root: Location,
    image_size: PictureSide = 32,
    resize: PictureSide | None = None,
    mode: Literal["rgb", "gray"] = "rgb",
    in_memory: bool = True,
    mean: list[Fraction] | None = None,
    std: list[Share] | None = None,
    unreadable: Literal["error", "skip"] = "error",
    skip_limit: Index = 100,
    allow_outside: bool = False,
    workers: int | None = None,
) -> Collection:
    """Pictures in one folder per class, alone or below ``train``, ``val`` and ``test``.

    `root` holds a folder per class, or ``train`` and optionally ``val`` (or ``valid``, ``validation``) and
    ``test`` with a folder per class each; a part that is not there is held out of training. Classes are the
    sorted folder names of train. Pictures (png, jpg, bmp, gif, webp, ppm, pgm, tif) are found at any depth,
    turned as their EXIF orientation says, resized with antialiasing until the shorter side has `resize`
    pixels and cropped to the central square of `image_size`. Hidden files and other files are ignored.

    `mode` rgb gives three channels, gray one. In memory (up to 4 GiB) they are decoded once, `resize` null
    meaning image_size, and normalised by their own mean and deviation. Otherwise they are decoded whenever
    they are needed, `resize` null meaning 256/224 of image_size, and normalised by ImageNet's. `mean` and
    `std`, a number in [0, 1] for each channel, take their place in both cases: those that given weights were
    trained with.

    `unreadable` pictures are an error, or skipped with a warning, up to `skip_limit` of a part. Links may
    leave `root` only with `allow_outside`. `workers` threads or processes decode.

    Raises ValueError for a class without pictures or unknown to train, for unreadable pictures (the first few
    named), for links that leave `root`, and when the pixels would take more than 4 GiB.

    Source: your own pictures.
    """
    settings = PictureSettings(
        image_size=image_size,
        resize=resize,
        mode=mode,
        in_memory=in_memory,
        mean=mean,
        std=std,
        unreadable=unreadable,
        skip_limit=skip_limit,
        workers=workers,
    )
    parts, class_names = scan(root, allow_outside=allow_outside)
    _refuse_other_encodings(class_names)
    label = {name: number for number, name in enumerate(class_names)}
    listed = {
        part: ([picture.path for picture in pictures], [label[picture.label] for picture in pictures])
        for part, pictures in parts.items()
    }
    return picture_collection(root, listed, class_names, settings)


def _refuse_other_encodings(class_names: list[str]) -> None:
    for name in class_names:
        if name != name.encode("utf-8", "replace").decode("utf-8"):
            raise wrong("root", f"class folder {name!r} is not named in UTF-8; rename it")
