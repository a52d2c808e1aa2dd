"""From what lists call classes, numbers, names or ids of categories, to classes 0…C−1 with a name each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from longtail.stages.data.files.lists.formats import RawList
from longtail.stages.parameters import wrong
from longtail.stages.wording import SHOWN, listed


def class_numbers(
    raw: Mapping[str, RawList], files: Mapping[str, str | None], named: list[str] | None, offset: int
) -> tuple[dict[str, list[int]], list[str]]:
    """The class number of every picture by part, and what the classes are called.

    Categories are numbered in the order of their ids and keep their names. Labels that are names are numbered
    in the order of `named`, the class names that a file says, else sorted as train has them. Numbers count
    from `offset`; their classes are called what `named` says, else after the folder their training pictures
    lie in where each has one of its own, else by number. `files` are the lists' for messages.

    Raises ValueError naming file and line for a label that is no class, for labels that do not begin at
    `offset` or leave most classes empty, and for lists that say classes in different ways.
    """
    train = raw["train"]
    for part, entries in raw.items():
        if entries.categories and entries.categories != train.categories:
            raise wrong(part, f"{files[part]} has other categories than {files['train']}")
    if offset and (train.categories or isinstance(train.labels[0], str)):
        raise wrong("label_offset", f"is for labels that are numbers, those of {files['train']} have names")
    if train.categories:
        ids = sorted(train.categories)
        numbers = {category: number for number, category in enumerate(ids)}
        known = named or [train.categories[category] for category in ids]
        labels = {
            part: [numbers[label] for label in entries.labels]
            if entries.categories
            else _by_name_or_number(entries, known, numbered=ids == list(range(len(ids))))
            for part, entries in raw.items()
        }
    elif isinstance(train.labels[0], str):
        known = named or sorted(set(train.labels))
        labels = {part: _by_name_or_number(entries, known, numbered=False) for part, entries in raw.items()}
    else:
        labels = {part: _counted_from(entries, offset, named) for part, entries in raw.items()}
        if named is None:
            _refuse_late_start(raw, labels, offset)
        known = named or _named_by_folder(train, labels["train"])
    _refuse_beyond(raw, labels, known, offset)
    return labels, known


def _by_name_or_number(entries: RawList, known: list[str], *, numbered: bool) -> list[int]:
    """Labels that are names of `known` classes, by number; numbers as they are if classes are `numbered`."""
    if not isinstance(entries.labels[0], str):
        if numbered:
            return list(entries.labels)
        raise ValueError(
            f"{entries.where[0]}: label must be a name as in the training list, got {entries.labels[0]}"
        )
    numbers = {name.strip(): number for number, name in enumerate(known)}
    twice = [name for name, count in Counter(name.strip() for name in known).items() if count > 1]
    for label, where in zip(entries.labels, entries.where, strict=True):
        if label not in numbers:
            raise ValueError(f"{where}: label must be one of {listed(known)}, got {label!r}")
        if label in twice:
            raise ValueError(f"{where}: label {label!r} is the name of several classes; give numbers")
    return [numbers[label] for label in entries.labels]


def _counted_from(entries: RawList, offset: int, named: list[str] | None) -> list[int]:
    """Labels that are numbers, less `offset`; names by their place in `named`."""
    if isinstance(entries.labels[0], str):
        if named is None:
            raise ValueError(
                f"{entries.where[0]}: label must be a number as in the training list, got "
                f"{entries.labels[0]!r}; or name the classes in `class_names`"
            )
        return _by_name_or_number(entries, named, numbered=False)
    lowest = min(entries.labels)
    if lowest < offset:
        where = entries.where[entries.labels.index(lowest)]
        raise ValueError(f"{where}: label must be ≥ `label_offset` ({offset}), got {lowest}")
    return [label - offset for label in entries.labels]


def _refuse_late_start(raw: Mapping[str, RawList], labels: Mapping[str, list[int]], offset: int) -> None:
    """ValueError when class 0 is in no list: the labels begin at another number."""
    first = min(map(min, labels.values())) + offset
    last = max(map(max, labels.values())) + offset
    if first == offset:
        return
    train = raw["train"]
    where = train.where[train.labels.index(min(train.labels))].rpartition(", ")[0]
    raise ValueError(
        f"{where}: labels are {first}…{last}, and classes count from 0: subtract {first} with "
        f"`label_offset={first}`, or name {last + 1} classes in `class_names`"
    )


def _refuse_beyond(
    raw: Mapping[str, RawList], labels: Mapping[str, list[int]], names: list[str], offset: int
) -> None:
    """ValueError naming the line of a label that has no class."""
    first = min(map(min, labels.values())) + offset
    last = len(names) - 1 + offset
    for part, numbers in labels.items():
        for label, where in zip(numbers, raw[part].where, strict=True):
            if label < len(names):
                continue
            rule = f"label must be in {offset}..{last}, got {label + offset}"
            if offset < first <= label + offset < first + len(names):
                rule += f"; all labels are from {first} on: subtract {first} with `label_offset={first}`"
            raise ValueError(f"{where}: {rule}")


def _named_by_folder(train: RawList, labels: list[int]) -> list[str]:
    """A name for each class: that of the folder its training pictures lie in, where each has its own."""
    count = max(labels) + 1
    _refuse_empty_classes(train, labels, count)
    folders: list[set[str]] = [set() for _ in range(count)]
    for path, label in zip(train.paths, labels, strict=True):
        folders[label].add(path.replace("\\", "/").rpartition("/")[0].rpartition("/")[2])
    single = [next(iter(names)) for names in folders if len(names) == 1]
    one_each = len(set(single)) == count and all(single)
    return single if one_each else [str(c) for c in range(count)]


def _refuse_empty_classes(train: RawList, labels: list[int], count: int) -> None:
    """ValueError naming the line of the largest label when it leaves most of `count` classes empty."""
    present = set(labels)
    empty = count - len(present)
    if empty <= len(present):
        return
    first = []
    for label in range(count):  # as many as are shown, however large the label is
        if len(first) == SHOWN:
            break
        if label not in present:
            first.append(label)
    where = train.where[labels.index(count - 1)]
    raise ValueError(
        f"{where}: label {count - 1} leaves {empty} of {count} classes without a training picture "
        f"({listed(first, total=empty)}); correct it, or name all classes in `class_names`"
    )
