"""What is wrong with a data set as a whole: copies across parts and classes, one name twice, tiny parts."""

from __future__ import annotations

import unicodedata
from collections.abc import Hashable, Iterable, Mapping, Sequence
from itertools import combinations
from typing import NamedTuple

from longtail.stages.wording import counted, listed

EXAMPLES = 3  # pairs of copies that a finding names
COARSE = 5  # samples of a class below which its accuracy says little


class Contents(NamedTuple):
    """A part's samples: what each is called in messages, its label, and a hash of what it holds.

    A hash of None is that of a sample known to be unlike any other.
    """

    names: Sequence[str]
    labels: Sequence[int]
    hashes: Sequence[Hashable | None]


class Sample(NamedTuple):
    """One sample of a part."""

    part: str
    name: str
    label: int


def check_set(
    parts: Mapping[str, Contents], class_names: Sequence[str], *, held_out: Iterable[str] = ()
) -> list[str]:
    """What is wrong with a set, a line each; nothing for a set without faults.

    Samples count as copies when they hold the same under different names: one name twice is another matter.
    `held_out` are the parts that are taken out of train, into which copies within train then leak.
    """
    copies = _copies(parts)
    findings = [*_classes_of_one_name(class_names)]
    for one, other in combinations(parts, 2):
        pairs = [(_first(group, one), _first(group, other)) for group in copies]
        shared = [(a, b) for a, b in pairs if a is not None and b is not None]
        if shared:
            findings.append(
                f"{one} and {other} hold {counted(len(shared), 'sample')} alike ({_pairs(shared)}): {other} "
                f"measures what was learned by heart"
            )
    conflicts = [pair for pair in map(_of_two_classes, copies) if pair is not None]
    if conflicts:
        what = counted(len(conflicts), "sample is", "samples are")
        named = _pairs(conflicts, class_names)
        findings.append(f"{what} in several classes ({named}): one label at most is right")
    held_out = [part for part in held_out if part not in parts]
    within = [group for group in copies if len({(sample.part, sample.label) for sample in group}) == 1]
    within = [group for group in within if group[0].part == "train"]
    if held_out and within:
        again = sum(len(group) - 1 for group in within)
        what = counted(again, "sample of train is a copy", "samples of train are copies")
        findings.append(
            f"{what} ({_pairs([group[:2] for group in within])}): some leak into {' and '.join(held_out)}"
        )
    return findings


def _copies(parts: Mapping[str, Contents]) -> list[list[Sample]]:
    """Samples that hold the same, in groups of two names or more, in the order of the parts."""
    first: dict[Hashable, Sample] = {}
    groups: dict[Hashable, list[Sample]] = {}
    for part, contents in parts.items():
        for name, label, content in zip(*contents, strict=True):
            if content is None:
                continue
            sample = Sample(part, name, label)
            before = first.setdefault(content, sample)
            if before is not sample:
                groups.setdefault(content, [before]).append(sample)
    return [group for group in groups.values() if len({sample.name for sample in group}) > 1]


def _first(group: Iterable[Sample], part: str) -> Sample | None:
    return next((sample for sample in group if sample.part == part), None)


def _of_two_classes(group: Sequence[Sample]) -> tuple[Sample, Sample] | None:
    other = next((sample for sample in group if sample.label != group[0].label), None)
    return None if other is None else (group[0], other)


def _pairs(pairs: Sequence[Sequence[Sample]], class_names: Sequence[str] | None = None) -> str:
    """``a.png = b.png, ...``, with the class of each where `class_names` are given."""

    def text(sample: Sample) -> str:
        if class_names is None:
            return sample.name
        known = 0 <= sample.label < len(class_names)  # others are refused when the set is split
        return f"{sample.name} in {(class_names[sample.label] if known else sample.label)!r}"

    return listed((f"{text(a)} = {text(b)}" for a, b in pairs), EXAMPLES)


def _classes_of_one_name(class_names: Sequence[str]) -> list[str]:
    """A finding on names that differ in case, in spaces around them or in their Unicode form only."""
    alike: dict[str, list[str]] = {}
    for name in dict.fromkeys(class_names):
        alike.setdefault(unicodedata.normalize("NFKC", name).casefold().strip(), []).append(name)
    groups = [" and ".join(map(repr, names)) for names in alike.values() if len(names) > 1]
    if not groups:
        return []
    return [f"classes differ in case, spaces or Unicode form only: {listed(groups)}: is each one class?"]


def without_samples(part: str, names: Sequence[str]) -> str:
    """What it means that the classes `names` have no sample in `part`, training or test."""
    follows = {"training": "never predicted", "test": "in no mean, and accuracy undefined"}[part]
    return f"no {part} sample in {counted(len(names), 'class', 'classes')} ({listed(names)}): {follows}"


def check_sizes(counts: Mapping[str, Sequence[int]], class_names: Sequence[str]) -> list[str]:
    """What is said of val and test by few samples, a line each; `counts` has a part's samples by class.

    Nothing is said of classes without test samples, for which see :func:`without_samples`.
    """
    findings = []
    tested = {name: count for name, count in zip(class_names, counts["test"], strict=True) if count}
    few = {name: count for name, count in tested.items() if count < COARSE}
    if few:
        classes = counted(len(few), "class has", "classes have")
        named = listed(f"{name} {count}" for name, count in few.items())
        step = 100 / min(few.values())
        findings.append(
            f"{classes} fewer than {COARSE} test samples ({named}): accuracy in steps of up to {step:.0f} %"
        )
    chosen_on = sum(counts["val"])
    if 0 < chosen_on < COARSE * len(class_names):
        findings.append(
            f"validation has only {counted(chosen_on, 'sample')} of "
            f"{counted(len(class_names), 'class', 'classes')}: what is chosen on it is uncertain"
        )
    return findings
