"""Pictures sorted into folders, one folder a class."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

from stages.data import DATASETS, Collection
from stages.parameters import Count, Location

if TYPE_CHECKING:
    import numpy as np

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".ppm", ".pgm", ".tif", ".tiff")
FORMATS = ("PNG", "JPEG", "BMP", "GIF", "WEBP", "PPM", "TIFF")  # no EPS: reading one runs Ghostscript
PART_FOLDERS = {"train": ("train",), "val": ("val", "valid", "validation"), "test": ("test",)}
MAX_BYTES = 4 * 2**30  # of decoded pixels, kept in memory
SHOWN = 5  # unreadable pictures an error lists


class Picture(NamedTuple):
    """A picture's path relative to the root (posix), its size in bytes and its class."""

    path: str
    size: int
    label: str


def sources(*, root: str, image_size: int = 32, mode: str = "rgb") -> list[str]:
    """``relative path<tab>size<tab>class`` of every picture, sorted; the pixels are not read."""
    parts, _ = scan(root)
    return sorted(f"{p.path}\t{p.size}\t{p.label}" for pictures in parts.values() for p in pictures)


@DATASETS.register("image_folder")
def image_folder(
    *,
    root: Location,
    image_size: Count = 32,
    mode: Literal["rgb", "gray"] = "rgb",
    workers: int | None = None,
) -> Collection:
    """Pictures in one folder per class, alone or below ``train``, ``val`` and ``test``.

    `root` holds a folder per class, or ``train`` and optionally ``val`` (or ``valid``, ``validation``) and
    ``test`` with a folder per class each; a part that is not there is held out of training. Classes are the
    sorted folder names of train. Pictures (png, jpg, bmp, gif, webp, ppm, pgm, tif) are found at any depth,
    turned as their EXIF orientation says, resized with antialiasing until the shorter side has `image_size`
    pixels, cropped to the central square, and kept in memory as (N, image_size, image_size, C) uint8, C = 3
    for rgb and 1 for gray. Hidden files and other files are ignored. `workers` threads decode.

    Raises ValueError for a class without pictures or unknown to train, for unreadable pictures (the first few
    named), for links that leave `root`, and when the pixels would take more than 4 GiB.

    Source: your own pictures.
    """
    import math

    from stages.data.images import ImageArrays

    parts, class_names = scan(root)
    count, channels = sum(map(len, parts.values())), {"rgb": 3, "gray": 1}[mode]
    needed = count * image_size**2 * channels
    if needed > MAX_BYTES:
        raise ValueError(
            f"data.image_size: {count} pictures of {image_size}×{image_size}×{channels} bytes need "
            f"{needed / 2**30:.1f} GiB of memory, the limit is {MAX_BYTES / 2**30:.3g}; "
            f"{math.isqrt(MAX_BYTES // (count * channels))} fits"
        )
    rows = {name: row for row, name in enumerate(class_names)}
    loaded = {
        part: ImageArrays(
            decode_all([Path(root).expanduser() / p.path for p in pictures], image_size, mode, workers),
            [rows[p.label] for p in pictures],
        )
        for part, pictures in parts.items()
    }
    return Collection(loaded["train"], loaded.get("val"), loaded.get("test"), class_names)


def scan(root: str | Path) -> tuple[dict[str, list[Picture]], list[str]]:
    """Pictures of each part that is there, sorted by path, and the class names. Nothing is decoded."""
    top = Path(root).expanduser()
    if not top.is_dir():
        raise ValueError(f"data.root: must be a folder of class folders, got {str(root)!r}, which is none")
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
                for path, size in _walk(sub, top.resolve())
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
        found = ", ".join(sorted(path.name for path in inside)[:SHOWN]) or "no folder"
        raise ValueError(f"data.root: {top} must hold a folder per class or a folder train, holds {found}")
    return folders


def _walk(folder: Path, root: Path, above: tuple[Path, ...] = ()) -> Iterator[tuple[Path, int]]:
    """Every picture at any depth below `folder` with its size in bytes, in no order."""
    real = _inside(folder, root)
    if real in above:
        raise ValueError(f"{folder}: a link to a folder it lies in")
    with os.scandir(folder) as entries:
        for entry in entries:
            path = Path(entry.path)
            if entry.name.startswith("."):
                continue
            if entry.is_dir():
                yield from _walk(path, root, (*above, real))
            elif path.suffix.lower() in SUFFIXES:
                if entry.is_symlink() and not _inside(path, root).exists():
                    raise ValueError(f"{path}: a link to a file that is not there")
                if entry.is_file():
                    yield path, entry.stat().st_size


def _inside(path: Path, root: Path) -> Path:
    """What `path` really is; ValueError when that lies outside `root`."""
    real = path.resolve()
    if not real.is_relative_to(root):
        raise ValueError(f"{path}: a path that leaves its root: it leads to {real}; copy it into {root}")
    return real


def decode_all(paths: list[Path], image_size: int, mode: str, workers: int | None = None) -> np.ndarray:
    """Pictures as (N, image_size, image_size, C) uint8, decoded by `workers` threads (None: a few).

    Raises ValueError with the first few unreadable files and their number.
    """
    from concurrent.futures import ThreadPoolExecutor

    import numpy as np

    images = np.empty((len(paths), image_size, image_size, 3 if mode == "rgb" else 1), np.uint8)

    def fill(start: int) -> list[str]:
        broken = []
        for row in range(start, min(start + 64, len(paths))):
            try:
                images[row] = decode(paths[row], image_size, mode)
            except Exception as error:  # Pillow raises anything, from OSError to IndexError
                broken.append(f"{paths[row]} ({error or type(error).__name__})")
        return broken

    with ThreadPoolExecutor(workers) as pool:  # Pillow releases the interpreter lock while it decodes
        broken = [line for lines in pool.map(fill, range(0, len(paths), 64)) for line in lines]
    if broken:
        more = f" and {len(broken) - SHOWN} more" if len(broken) > SHOWN else ""
        raise ValueError(
            f"{len(broken)} of {len(paths)} pictures cannot be read: {', '.join(broken[:SHOWN])}{more}; "
            "repair or remove them"
        )
    return images


def decode(path: Path, image_size: int, mode: str) -> np.ndarray:
    """One picture as (image_size, image_size, C) uint8: upright, shorter side resized, centre cropped."""
    import numpy as np
    from PIL import Image, ImageOps

    with Image.open(path, formats=FORMATS) as opened:
        image = ImageOps.exif_transpose(opened)
    if image.mode.startswith("I;16"):  # Pillow would clip, not scale
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    if image.mode in ("I", "F"):
        raise ValueError(f"pixels of mode {image.mode} have no fixed range; save 8 or 16 bits a channel")
    if "transparency" in image.info:
        image = image.convert("RGBA")
    image = image.convert("RGB" if mode == "rgb" else "L")
    image = ImageOps.fit(image, (image_size, image_size), Image.Resampling.BILINEAR)
    return np.asarray(image).reshape(image_size, image_size, -1)
