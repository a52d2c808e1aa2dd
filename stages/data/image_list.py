"""Pictures named in list files: ImageNet-LT, Places-LT, iNaturalist."""

from __future__ import annotations

import os
import stat
import warnings
from itertools import combinations
from pathlib import Path
from typing import Literal

from longtail.stages.data import DATASETS, Collection
from longtail.stages.data.files.lists import Listed, plain, read_lists
from longtail.stages.data.pictures.reading import inside
from longtail.stages.parameters import Count, Fraction, Index, Location, Share
from longtail.stages.wording import counted, listed


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
        for part, entries in parts.items()
        for path, label, where in zip(*entries, strict=True)
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
    some pictures, and lines that repeat one, are warned of. Classes are called what `class_names` says, a
    name a line; else what JSON categories are called; else after the folder their training pictures lie in,
    where each has its own; else by number.

    Pictures are resized until the shorter side has `resize` pixels and cropped to the central square of
    `image_size`; `in_memory`, `mode`, `mean`, `std`, `unreadable`, `skip_limit`, `allow_outside` and
    `workers` are as in image_folder.

    Raises ValueError naming file and line for a label that is no integer or out of range or leaves most
    classes empty, for a picture with two labels, a path that leaves `root`, a picture that is not there; for
    lists that name no picture, and for a validation list that is the training list.

    Source: Liu 2019 (arXiv 1904.05160) for ImageNet-LT's and Places-LT's lists; Van Horn 2018 (1707.06642)
    for iNaturalist's JSON.
    """
    from longtail.stages.data.pictures.picture_parts import check_fit, picture_part

    parts, names = read_lists(root, train=train, val=val, test=test, class_names=class_names)
    _warn_of_duplicates(parts)
    _warn_of_leaks(parts)
    sizes = _Sizes(root, allow_outside)
    for entries in parts.values():
        for path, where in zip(entries.paths, entries.where, strict=True):
            sizes.of(path, where)
    sizes.complain()
    shape = {"image_size": image_size, "resize": resize, "mode": mode, "in_memory": in_memory}
    shape |= {"mean": mean, "std": std}
    check_fit(sum(len(entries.paths) for entries in parts.values()), **shape)
    policy = {"unreadable": unreadable, "skip_limit": skip_limit, "workers": workers}
    top = Path(root).expanduser()
    loaded = {
        part: picture_part(top, found.paths, found.labels, **shape, **policy) for part, found in parts.items()
    }
    return Collection(loaded["train"], loaded.get("val"), loaded.get("test"), names)


def _warn_of_duplicates(parts: dict[str, Listed]) -> None:
    """Warn of pictures that stand twice in a list, with where the first few do."""
    for part, entries in parts.items():
        first: dict[str, str] = {}
        again = []
        for path, where in zip(entries.paths, entries.where, strict=True):
            before = first.setdefault(plain(path), where)
            if before is not where:
                again.append(f"{path} ({before} and {where.rpartition(', ')[2]})")
        if again:
            warnings.warn(
                f"data.{part}: {counted(len(again), 'line repeats', 'lines repeat')} a picture: "
                f"{listed(again)}; it counts as often, and copies held out of training leak",
                stacklevel=3,
            )


def _warn_of_leaks(parts: dict[str, Listed]) -> None:
    """Warn of pictures that stand in two parts; a validation list that is the test list is taken out.

    ValueError for a validation list that is the training list.
    """
    held = {part: set(map(plain, entries.paths)) for part, entries in parts.items()}
    if "val" in held and held["val"] == held["train"]:
        raise ValueError(
            "data.val: names the same pictures as data.train, so that choices would be made on what was "
            "learned by heart; leave data.val out, and data.validation_per_class holds pictures out"
        )
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
            said = counted(shared, "picture")
            warnings.warn(f"data.{one} and data.{other} share {said}", stacklevel=3)


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
            missing = counted(len(self.missing), "listed picture is", "listed pictures are")
            raise ValueError(f"data.root: {missing} not there: {listed(self.missing)}")
