"""What is wrong with a set as a whole: copies across parts and classes, classes of one name."""

from __future__ import annotations

import pytest

from longtail.stages.data.set_check import Contents, check_set, check_sizes

CLASSES = ["cat", "dog"]


def part(*samples: tuple[str, int, str | None]) -> Contents:
    return Contents(*(list(column) for column in zip(*samples, strict=True)))


TRAIN = (("a", 0, "1"), ("b", 0, "2"), ("c", 1, "3"))
HELD_OUT = ("val", "test")


@pytest.mark.parametrize(
    ("parts", "held_out", "findings"),
    [
        ({"train": part(*TRAIN), "test": part(("d", 0, "4"))}, HELD_OUT, []),
        ({"train": part(*TRAIN), "test": part(("d", 0, "2"), ("e", 1, "3"))}, (),
         ["train and test hold 2 samples alike (b = d, c = e): test measures what was learned by heart"]),
        ({"train": part(*TRAIN), "val": part(("v", 0, "9")), "test": part(("t", 0, "9"))}, (),
         ["val and test hold 1 sample alike (v = t): test measures what was learned by heart"]),
        ({"train": part(*TRAIN, ("d", 1, "1"))}, (),
         ["1 sample is in several classes (a in 'cat' = d in 'dog'): one label at most is right"]),
        ({"train": part(*TRAIN), "test": part(("t", 1, "1"))}, (),
         ["train and test hold 1 sample alike (a = t): test measures what was learned by heart",
          "1 sample is in several classes (a in 'cat' = t in 'dog'): one label at most is right"]),
        ({"train": part(*TRAIN, ("d", 0, "1"), ("e", 0, "1"))}, ("test",),
         ["2 samples of train are copies (a = d): some leak into test"]),
        ({"train": part(*TRAIN, ("d", 0, "1")), "test": part(("t", 0, "4"))}, HELD_OUT,
         ["1 sample of train is a copy (a = d): some leak into val"]),
        ({"train": part(*TRAIN, ("d", 0, "1"))}, (), []),  # nothing is held out: it only counts twice
        ({"train": part(*TRAIN, ("a", 0, "1")), "test": part(("b", 0, "2"))}, HELD_OUT, []),  # names twice
        ({"train": part(("a", 0, None), ("b", 1, None)), "test": part(("c", 0, None))}, HELD_OUT, []),
    ],
)  # fmt: skip
def test_copies_are_found_by_content(parts, held_out, findings):
    assert check_set(parts, CLASSES, held_out=held_out) == findings


def test_only_the_first_copies_are_named():
    train, test = (part(*((f"{of}{n}", 0, str(n)) for n in range(9))) for of in ("a", "b"))
    (finding,) = check_set({"train": train, "test": test}, CLASSES)
    assert finding.startswith("train and test hold 9 samples alike (a0 = b0, a1 = b1, a2 = b2 and 6 more)")


@pytest.mark.parametrize(
    ("names", "alike"),
    [
        (["Cat", "cat", "dog"], "'Cat' and 'cat'"),
        (["caf\u00e9", "cafe\u0301"], "'caf\u00e9' and 'cafe\u0301'"),
        (["ox ", "ox", "Stra\u00dfe", "STRASSE"], "'ox ' and 'ox', 'Stra\u00dfe' and 'STRASSE'"),
        (["crane", "crane"], None),  # ImageNet has two classes of that very name
    ],
)
def test_classes_whose_names_differ_in_form_only_are_found(names, alike):
    expected = "classes differ in case, spaces or Unicode form only: {}: is each one class?"
    assert check_set({}, names) == ([] if alike is None else [expected.format(alike)])


@pytest.mark.parametrize(
    ("val", "tested", "findings"),
    [
        ([5, 5], [5, 5], []),
        ([20, 0], [0, 900], []),  # that a class is not tested is said elsewhere
        ([0, 0], [5, 5], []),  # nothing is chosen on it
        ([5, 4], [4, 9], ["1 class has fewer than 5 test samples (cat 4): accuracy in steps of up to 25 %",
                          "validation has only 9 samples of 2 classes: what is chosen on it is uncertain"]),
        ([5, 5], [3, 1],
         ["2 classes have fewer than 5 test samples (cat 3, dog 1): accuracy in steps of up to 100 %"]),
    ],
)  # fmt: skip
def test_splits_by_which_little_can_be_said_are_found(val, tested, findings):
    assert check_sizes({"val": val, "test": tested}, CLASSES) == findings
