"""Pictures named in list files: ImageNet-LT, Places-LT, iNaturalist."""

from __future__ import annotations

import json
import os
import stat
import warnings
from collections.abc import Iterable
from itertools import combinations
from pathlib import Path
from typing import Literal, NamedTuple

from stages.data import DATASETS, Collection
from stages.data.pictures import SHOWN, inside
from stages.parameters import Count, Fraction, Index, Location, Share


class Listed(NamedTuple):
    """A list's pictures: paths relative to the root, their labels, and where each was read (for messages)."""

    paths: list[str]
    labels: list[int]
    where: list[str]


def sources(
    *,
    root: str,
    train: str,
    val: str | None = None,
    test: str | None = None,
    class_names: str | None = None,
    allow_outside: bool = False,
    **_,
) -> list[str]:
    """The classes' names, and ``part<tab>relative path<tab>size<tab>label`` of every picture, in order.

    The pixels are not read.
    """
    parts, names = read_lists(root, train=train, val=val, test=test, class_names=class_names)
    sizes = _Sizes(root, allow_outside)
    lines = [
        f"{part}\t{path}\t{sizes.of(path, where)}\t{label}"
        for part, listed in parts.items()
        for path, label, where in zip(*listed, strict=True)
    ]
    sizes.complain()
    return [*(f"class\t{name}" for name in names), *lines]


@DATASETS.register("image_list")
def image_list(
    *,
    root: Location,
    train: Location,
    val: Location | None = None,
    test: Location | None = None,
    class_names: Location | None = None,
    image_size: Count = 224,
    resize: Count | None = None,
    mode: Literal["rgb", "gray"] = "rgb",
    in_memory: bool = False,
    mean: list[Fraction] | None = None,
    std: list[Share] | None = None,
    unreadable: Literal["error", "skip"] = "error",
    skip_limit: Index = 100,
    allow_outside: bool = False,
    workers: int | None = None,
) -> Collection:
    """Pictures named in lists: lines ``relative/path label``, or iNaturalist's JSON; paths below `root`.

    `train`, `val` and `test` are list files, labels from 0, in any order; a part without a list is held out
    of training. Where `val` and `test` are the same pictures (iNaturalist publishes no labelled test),
    choosing on them would leak: validation is held out of training instead, with a warning. Parts that share
    some pictures are warned of. Classes are called what
    `class_names` says, a name a line; else what JSON categories are called; else after the folder their
    training pictures lie in, where each has its own; else by number.

    Pictures are resized until the shorter side has `resize` pixels and cropped to the central square of
    `image_size`; `in_memory`, `mode`, `mean`, `std`, `unreadable`, `skip_limit`, `allow_outside` and
    `workers` are as in image_folder.

    Raises ValueError naming file and line for a label that is no integer or out of range, a path that leaves
    `root`, a picture that is not there; for lists that name no picture.

    Source: Liu 2019 (arXiv 1904.05160) for ImageNet-LT's and Places-LT's lists; Van Horn 2018 (1707.06642)
    for iNaturalist's JSON.
    """
    from stages.data.pictures import check_fit, picture_part

    parts, names = read_lists(root, train=train, val=val, test=test, class_names=class_names)
    _warn_of_leaks(parts)
    sizes = _Sizes(root, allow_outside)
    for listed in parts.values():
        for path, where in zip(listed.paths, listed.where, strict=True):
            sizes.of(path, where)
    sizes.complain()
    shape = {"image_size": image_size, "resize": resize, "mode": mode, "in_memory": in_memory}
    shape |= {"mean": mean, "std": std}
    check_fit(sum(len(listed.paths) for listed in parts.values()), **shape)
    policy = {"unreadable": unreadable, "skip_limit": skip_limit, "workers": workers}
    top = Path(root).expanduser()
    loaded = {
        part: picture_part(top, found.paths, found.labels, **shape, **policy) for part, found in parts.items()
    }
    return Collection(loaded["train"], loaded.get("val"), loaded.get("test"), names)


def read_lists(
    root: str, *, train: str, val: str | None, test: str | None, class_names: str | None
) -> tuple[dict[str, Listed], list[str]]:
    """The lists that are given, by part, and the class names. No picture is looked at."""
    if not Path(root).expanduser().is_dir():
        raise ValueError(
            f"data.root: must be the folder the lists' paths begin in, got {root!r}, which is none"
        )
    files = {"train": train, "val": val, "test": test}
    read = {part: _read(part, Path(name).expanduser()) for part, name in files.items() if name is not None}
    parts = {part: listed for part, (listed, _) in read.items()}
    for part, (_, categories) in read.items():
        if (categories or None) != (read["train"][1] or None) and categories:
            raise ValueError(f"data.{part}: {files[part]} has other categories than {train}")
    names = _names(class_names, read["train"][1], parts["train"])
    for listed in parts.values():
        for label, where in zip(listed.labels, listed.where, strict=True):
            if label >= len(names):
                raise ValueError(f"{where}: label must be in 0..{len(names) - 1}, got {label}")
    return parts, names


def _read(part: str, path: Path) -> tuple[Listed, list[str] | None]:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ValueError(f"data.{part}: {path} cannot be read ({reason})") from None
    listed, names = _read_json(path, text) if path.suffix == ".json" else (_read_lines(path, text), None)
    if not listed.paths:
        raise ValueError(f"{path}: names no picture")
    # In one order, whatever the file's: what identifies the data then says what is trained on.
    order = sorted(range(len(listed.paths)), key=lambda row: (listed.paths[row], listed.labels[row]))
    return Listed(*([column[row] for row in order] for column in listed)), names


def _warn_of_leaks(parts: dict[str, Listed]) -> None:
    """Warn of pictures that stand in two parts; a validation list that is the test list is taken out."""
    held = {part: set(listed.paths) for part, listed in parts.items()}
    if "val" in held and "test" in held and held["val"] == held["test"]:
        warnings.warn(
            "data.val and data.test name the same pictures, and choosing on test pictures leaks: validation "
            "is held out of training instead",
            stacklevel=3,
        )
        del parts["val"], held["val"]
    for one, other in combinations(held, 2):
        shared = len(held[one] & held[other])
        if shared:
            warnings.warn(f"data.{one} and data.{other} share {shared} pictures", stacklevel=3)


def _read_lines(path: Path, text: str) -> Listed:
    listed = Listed([], [], [])
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        where = f"{path}, line {number}"
        words = line.rsplit(None, 1)
        if len(words) != 2:
            raise ValueError(f"{where}: must be 'relative/path label', got {line.strip()!r}")
        picture, label = words
        if not (label.isascii() and label.isdigit()):
            raise ValueError(f"{where}: label must be an integer ≥ 0, got {label!r}")
        _add(listed, picture.strip(), int(label), where)
    return listed


def _read_json(path: Path, text: str) -> tuple[Listed, list[str]]:
    """iNaturalist's ``{images: [{id, file_name}], annotations: [{image_id, category_id}], categories}``."""
    try:
        found = json.loads(text)
        names = _once(path, "category", ((c["id"], str(c["name"])) for c in found.get("categories", [])))
        files = _once(path, "image", ((i["id"], i["file_name"]) for i in found["images"]))
        marks = ((a["image_id"], a["category_id"]) for a in found["annotations"])
        labels = _once(path, "annotation of image", marks)
        numbered = sorted(names) == list(range(len(names)))
    except (KeyError, TypeError, AttributeError, RecursionError, json.JSONDecodeError) as error:
        raise ValueError(
            f"{path}: must hold images (id, file_name) and annotations (image_id, category_id) ({error!r})"
        ) from None
    listed = Listed([], [], [])
    for image, name in files.items():
        where = f"{path}, image {image}"
        label = labels.get(image)
        if not isinstance(name, str) or not isinstance(label, int) or isinstance(label, bool) or label < 0:
            raise ValueError(f"{where}: needs a file_name and a category_id ≥ 0, got {name!r} and {label!r}")
        _add(listed, name, label, where)
    return listed, [names[c] for c in range(len(names))] if numbered else []


def _once(path: Path, what: str, pairs: Iterable[tuple]) -> dict:
    """The pairs as a mapping; ValueError for a key that comes twice."""
    found: dict = {}
    for key, value in pairs:
        if key in found:
            raise ValueError(f"{path}: {what} {key} comes twice")
        found[key] = value
    return found


def _add(listed: Listed, picture: str, label: int, where: str) -> None:
    listed.paths.append(picture)
    listed.labels.append(label)
    listed.where.append(where)


def _names(file: str | None, categories: list[str] | None, train: Listed) -> list[str]:
    if file is not None:
        try:
            return [n for n in Path(file).expanduser().read_text(encoding="utf-8").splitlines() if n.strip()]
        except (OSError, UnicodeDecodeError) as error:
            raise ValueError(f"data.class_names: {file} cannot be read ({error})") from None
    if categories:
        return categories
    count = max(train.labels) + 1
    if count > len(train.paths):  # a slip of the pen, and memory for as many classes
        where = train.where[train.labels.index(count - 1)]
        said = f"label must be below {len(train.paths)}, the number of training pictures, got {count - 1}"
        raise ValueError(f"{where}: {said}; name the classes in data.class_names where most have none")
    folders: list[set[str]] = [set() for _ in range(count)]
    for path, label in zip(train.paths, train.labels, strict=True):
        folders[label].add(path.rpartition("/")[0].rpartition("/")[2])
    own = [next(iter(f)) for f in folders if len(f) == 1]
    return own if len(set(own)) == count and all(own) else [str(c) for c in range(count)]


class _Sizes:
    """Sizes of pictures in bytes; what is missing is gathered, what leaves the root is refused at once."""

    def __init__(self, root: str, allow_outside: bool):
        self.root = os.path.expanduser(root)
        self.fence = None if allow_outside else Path(self.root).resolve()
        self.checked: set[str] = set()  # folders that lie inside
        self.missing: list[str] = []

    def of(self, path: str, where: str) -> int:
        full = os.path.join(self.root, path)
        try:
            self._check(full)
            return os.stat(full).st_size
        except (FileNotFoundError, NotADirectoryError):
            self.missing.append(f"{full} ({where})")
            return 0
        except ValueError as error:
            raise ValueError(f"{where}: {error}") from None

    def _check(self, full: str) -> None:
        folder = os.path.dirname(full)
        if folder not in self.checked:  # once a folder, not once a picture
            inside(Path(folder), self.fence)
            self.checked.add(folder)
        if stat.S_ISLNK(os.lstat(full).st_mode):
            inside(Path(full), self.fence)

    def complain(self) -> None:
        """ValueError naming the first few pictures that are not there."""
        if self.missing:
            more = f" and {len(self.missing) - SHOWN} more" if len(self.missing) > SHOWN else ""
            raise ValueError(
                f"data.root: {len(self.missing)} listed pictures are not there: "
                f"{', '.join(self.missing[:SHOWN])}{more}"
            )
