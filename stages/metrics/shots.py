"""Many-, medium- and few-shot groups of classes, in plain Python: a finished table needs no numpy.

Source: the groups Liu 2019 (arXiv 1904.05160); many > 100 training samples, few < 20 and medium between as in
the released code of Kang 2020 (1910.09217). Liu's own code counts a class of exactly 100 as many-shot and one
of exactly 20 as few-shot: limits of 99 and 21 here.
"""

from __future__ import annotations

from collections.abc import Sequence

GROUPS = ("many", "medium", "few")


def shot_group(count: int, many: int, few: int) -> str | None:
    """The group of a class with `count` training samples; None for a class without any."""
    if count == 0:
        return None
    return "many" if count > many else "few" if count < few else "medium"


def shot_accuracies(
    class_accuracy: Sequence[float | None], class_counts: Sequence[int], *, many: int, few: int
) -> dict[str, float | None]:
    """Mean class accuracy of each group, a fraction; None for a group without tested classes."""
    accuracies: dict[str, list[float]] = {group: [] for group in GROUPS}
    for accuracy, count in zip(class_accuracy, class_counts, strict=True):
        group = shot_group(count, many, few)
        if group and accuracy is not None:
            accuracies[group].append(accuracy)
    return {group: sum(of) / len(of) if of else None for group, of in accuracies.items()}
