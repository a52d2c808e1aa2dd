"""Pictures that stand in a list twice, or in two lists: what leaks from one split into another."""

from __future__ import annotations

import warnings
from itertools import combinations

from longtail.stages.data.files.lists.picture_lists import PictureList, one_spelling
from longtail.stages.parameters import wrong
from longtail.stages.wording import counted, listed


def warn_of_duplicates(lists: dict[str, PictureList]) -> None:
    """Warn of pictures that stand twice in a list, with where the first few do."""
    for part, entries in lists.items():
        first: dict[str, str] = {}
        again = []
        for path, where in zip(entries.paths, entries.where, strict=True):
            before = first.setdefault(one_spelling(path), where)
            if before is not where:
                again.append(f"{path} ({before} and {where.rpartition(', ')[2]})")
        if again:
            warnings.warn(
                f"{part}: {counted(len(again), 'line repeats', 'lines repeat')} a picture: "
                f"{listed(again)}; it counts as often, and copies held out of training leak",
                stacklevel=3,
            )


def without_leaks(lists: dict[str, PictureList]) -> dict[str, PictureList]:
    """The lists without a validation list that is the test list, of which is warned, as of shared pictures.

    ValueError for a validation or test list that is the training list.
    """
    pictures = {part: set(map(one_spelling, entries.paths)) for part, entries in lists.items()}
    if "val" in pictures and pictures["val"] == pictures["train"]:
        raise wrong(
            "val",
            "names the same pictures as train, so that choices would be made on what was learned "
            "by heart; leave `val` out, and `validation_per_class` holds pictures out",
        )
    if "test" in pictures and pictures["test"] == pictures["train"]:
        raise wrong(
            "test",
            "names the same pictures as train, so that what was learned by heart would be measured; leave "
            "`test` out, and `test_per_class` holds pictures out",
        )
    if "val" in pictures and "test" in pictures and pictures["val"] == pictures["test"]:
        warnings.warn(
            "val and test name the same pictures, and choosing on test pictures leaks: validation is held "
            "out of training instead",
            stacklevel=3,
        )
        del pictures["val"]
    for one, other in combinations(pictures, 2):
        shared = len(pictures[one] & pictures[other])
        if shared:
            warnings.warn(f"{one} and {other} share {counted(shared, 'picture')}", stacklevel=3)
    return {part: lists[part] for part in pictures}
