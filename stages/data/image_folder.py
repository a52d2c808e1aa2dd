"""Pictures sorted into folders, one folder a class."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, NamedTuple

from longtail.stages.data import DATASETS, Collection
from longtail.stages.data.pictures.reading import SUFFIXES, inside
from longtail.stages.parameters import Count, Fraction, Index, Location, Share
from longtail.stages.wording import listed, looked_for

PART_FOLDERS = {"train": ("train",), "val": ("val", "valid", "validation"), "test": ("test",)}


class Picture(NamedTuple):
    """A picture's path relative to the root (posix), its size in bytes and its class."""

    path: str
    size: int
    label: str


def sources(*, root: str, allow_outside: bool = False, **_) -> list[str]:
    """``relative path<tab>size<tab>class`` of every picture, sorted; the pixels are not read."""
    parts, _ = scan(root, allow_outside=allow_outside)
    return sorted(f"{p.path}\t{p.size}\t{p.label}" for pictures in parts.values() for p in pictures)


@DATASETS.register("image_folder")
def image_folder(
    *,
    root: Location,
    image_size: Count = 32,
    resize: Count | None = None,
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
    from longtail.stages.data.pictures.picture_parts import check_fit, picture_part

    parts, class_names = scan(root, allow_outside=allow_outside)
    for name in class_names:
        if name != name.encode("utf-8", "replace").decode("utf-8"):
            raise ValueError(f"data.root: class folder {name!r} is not named in UTF-8; rename it")
    shape = {"image_size": image_size, "resize": resize, "mode": mode, "in_memory": in_memory}
    shape |= {"mean": mean, "std": std}
    check_fit(sum(map(len, parts.values())), **shape)
    rows = {name: row for row, name in enumerate(class_names)}
    policy = {"unreadable": unreadable, "skip_limit": skip_limit, "workers": workers}
    loaded = {
        part: picture_part(
            Path(root).expanduser(),
            [p.path for p in pictures],
            [rows[p.label] for p in pictures],
            **shape,
            **policy,
        )
        for part, pictures in parts.items()
    }
    return Collection(loaded["train"], loaded.get("val"), loaded.get("test"), class_names)


def scan(root: str | Path, *, allow_outside: bool = False) -> tuple[dict[str, list[Picture]], list[str]]:
    """Pictures of each part that is there, sorted by path, and the class names. Nothing is decoded."""
    top = Path(root).expanduser()
    if not top.is_dir():
        raise ValueError(f"data.root: must be a folder of class folders, got {looked_for(root)}")
    folders = _part_folders(top)
    class_names = sorted(folder.name for folder in _subfolders(folders["train"]))
    if not class_names:
        raise ValueError(f"{folders['train']}: must hold a folder per class, holds no folder")
    parts: dict[str, list[Picture]] = {}
    for part, folder in folders.items():
        parts[part] = []
        for sub in _subfolders(folder):
            if sub.name not in class_names:
                raise ValueError(f"{sub}: is no class: {folders['train']} has no folder of that name")
            found = [
                Picture(path.relative_to(top).as_posix(), size, sub.name)
                for path, size in walk(sub, None if allow_outside else top.resolve())
            ]
            if not found and part == "train":
                raise ValueError(f"{sub}: a class needs a picture ({' '.join(SUFFIXES)}), holds none")
            parts[part] += found
        if not parts[part]:
            raise ValueError(f"{folder}: holds no picture; remove it to hold {part} samples out of training")
        parts[part].sort()
    return parts, class_names


def _subfolders(folder: Path) -> list[Path]:
    return [path for path in folder.iterdir() if path.is_dir() and not path.name.startswith(".")]


def _part_folders(top: Path) -> dict[str, Path]:
    """``{"train": ..., "val": ...}``, or ``{"train": top}`` when `top` holds the classes itself."""
    inside = _subfolders(top)
    folders = {}
    for part, names in PART_FOLDERS.items():
        found = sorted(path for path in inside if path.name.lower() in names)
        if len(found) > 1:
            raise ValueError(f"{found[0]}: {found[1]} is there too; keep one folder of {part} pictures")
        if found:
            folders[part] = found[0]
    # Beside other folders one called "train" may be a class: it holds pictures where a part holds folders.
    if len(folders) < len(inside) and not any(_subfolders(folder) for folder in folders.values()):
        return {"train": top}
    if "train" not in folders:
        found = listed(sorted(path.name for path in inside)) or "no folder"
        raise ValueError(f"data.root: {top} must hold a folder per class or a folder train, holds {found}")
    return folders


def walk(folder: Path, root: Path | None, above: tuple[Path, ...] = ()) -> Iterator[tuple[Path, int]]:
    """Every picture at any depth below `folder` with its size in bytes, in no order; none leaves `root`."""
    real = inside(folder, root)
    if real in above:
        raise ValueError(f"{folder}: a link to a folder it lies in")
    with os.scandir(folder) as entries:
        for entry in entries:
            path = Path(entry.path)
            if entry.name.startswith("."):
                continue
            if entry.is_dir():
                yield from walk(path, root, (*above, real))
            elif path.suffix.lower() in SUFFIXES:
                if entry.is_symlink() and not inside(path, root).exists():
                    raise ValueError(f"{path}: a link to a file that is not there")
                if entry.is_file():
                    yield path, entry.stat().st_size
