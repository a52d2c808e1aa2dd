"""Limits of the shot groups that leave no group empty, from the training pictures of each class."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from longtail.stages.metrics.shots import GROUPS, shot_group
from longtail.stages.wording import counted

USUAL = 100, 20  # more and fewer training pictures than these


def thresholds(counts: Sequence[int]) -> tuple[int, int, str]:
    """(many, few, why) for classes of `counts` training pictures, at least one each.

    The usual 100 and 20 where they leave no group empty, else limits by which the groups have as near to a
    third of the classes as counts allow: all three groups have classes where there are three different
    counts, and many and few where there are two that are not next to each other.
    """
    distinct = sorted(set(counts))
    if _is_full(counts, *USUAL):
        return *USUAL, "More than 100 and fewer than 20 training pictures, as in the literature."
    if len(distinct) > 2:
        many, few = _thirds(counts, distinct)
    elif _is_full(counts, *USUAL, groups=("many", "few")):
        many, few = USUAL
    elif distinct[-1] - distinct[0] > 1:
        many = few = (distinct[0] + distinct[-1]) // 2
    else:
        many = few = distinct[-1]
    return many, few, _reason(counts, many, few)


def _is_full(counts: Sequence[int], many: int, few: int, groups: Sequence[str] = GROUPS) -> bool:
    return set(groups) <= {shot_group(count, many, few) for count in counts}


def _thirds(counts: Sequence[int], distinct: list[int]) -> tuple[int, int]:
    """(many, few): the largest and the smallest of three or more counts that belong to neither group."""
    ordered, classes, below = sorted(counts), len(counts), {}
    for rank, count in enumerate(ordered):
        below.setdefault(count, rank)
    inner = distinct[1:-1]
    following = dict(pairwise(distinct))
    few = min(inner, key=lambda count: abs(3 * below[count] - classes))
    many = min(
        (count for count in inner if count >= few),
        key=lambda count: abs(3 * (classes - below[following[count]]) - classes),
    )
    return many, few


def _reason(counts: Sequence[int], many: int, few: int) -> str:
    sizes = dict.fromkeys(GROUPS, 0)
    for count in counts:
        sizes[shot_group(count, many, few)] += 1
    of = f"Of {counted(len(counts), 'class', 'classes')} " + ", ".join(
        f"{size} {group}" for group, size in sizes.items()
    )
    if all(sizes.values()):
        return f"{of}: the usual 100 and 20 would leave a group empty."
    different = counted(len(set(counts)), "count", "different counts")
    return f"{of}: with {different} of training pictures a group stays empty."
