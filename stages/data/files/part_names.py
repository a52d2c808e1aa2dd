"""The parts of a data set, by what people call the folders and the splits that hold them."""

from __future__ import annotations

import re

EXACT = {"train": ("train",), "val": ("val", "valid", "validation"), "test": ("test",)}
SYNONYMS = {"train": ("training",), "val": ("dev",), "test": ("testing", "eval", "evaluation")}
NEUTRAL = ("set", "sets", "data", "dataset", "images", "image", "imgs", "img", "pictures", "photos", "split")
PART_OF = {word: part for words in (EXACT, SYNONYMS) for part, names in words.items() for word in names}


def exact_part(name: str) -> str | None:
    """The part that is always called by this name (``train``, ``valid``); None for any other name."""
    return next((part for part, names in EXACT.items() if name.lower() in names), None)


def similar_part(name: str) -> str | None:
    """The part that a name suggests with all of its words; None for one that suggests none, or a class.

    >>> [similar_part(name) for name in ("Training", "test_set", "trainImages", "dev", "train2", "cat")]
    ['train', 'test', 'train', 'val', None, None]
    """
    part, rest = part_and_rest(name)
    return None if rest else part


def part_and_rest(name: str) -> tuple[str | None, tuple[str, ...]]:
    """The one part that a name mentions, None for several or none, and its words that mention no part.

    Words like "set" and "images" are left out.

    >>> part_and_rest("seg_train_images")
    ('train', ('seg',))
    """
    words = _words(name)
    parts = [PART_OF[word] for word in words if word in PART_OF]
    rest = tuple(word for word in words if word not in PART_OF and word not in NEUTRAL)
    return parts[0] if len(parts) == 1 else None, rest


def _words(name: str) -> list[str]:
    """The words of a name, in lower case, and its numbers."""
    separated = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).lower()
    words = re.findall(r"[^\W\d_]+|\d+", separated)
    return [part for word in words for part in _divided(word)]


def _divided(word: str) -> tuple[str, ...]:
    """``trainset`` as two words, any other word as it is."""
    for known in PART_OF:
        if word.startswith(known) and word.removeprefix(known) in NEUTRAL:
            return known, word.removeprefix(known)
    return (word,)
