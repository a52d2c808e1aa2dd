"""Settings for a folder of pictures by rules of thumb, each with its reason."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from statistics import median_low
from typing import Any, NamedTuple

from longtail.stages.data.pictures.settings import MAX_BYTES
from longtail.stages.wording import listed

SGD = {"name": "sgd", "lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 5e-4}
SIZES = (224, 128, 96, 64, 32)
TEST_FRACTION, VALIDATION_FRACTION = 0.2, 0.1
SKIP_LIMIT = 100  # data.skip_limit by default
ENOUGH = 40  # pictures of a class: a quarter are then ten to test on, an eighth five to validate on


class Choice(NamedTuple):
    """A setting of the proposal and why it is what it is."""

    key: str
    value: Any
    why: str = ""


@dataclass(frozen=True)
class Pictures:
    """What a folder holds: pictures of each class in each part, and what a sample of them is like."""

    counts: dict[str, dict[str, int]]  # part → class → pictures; every class of train in every part
    sides: list[int]  # shorter sides, in pixels, of the pictures looked at
    grey: bool
    broken: list[str] = field(default_factory=list)  # of the pictures looked at, what cannot be read

    @property
    def total(self) -> int:
        """Pictures of all parts."""
        return sum(sum(counts.values()) for counts in self.counts.values())


def propose(folder: str, found: Pictures) -> tuple[dict[str, list[Choice]], dict[str, dict[str, int]]]:
    """Settings by section, and how many pictures of each class train, val and test then have."""
    holding, held = _hold_outs(found)
    shape, size = _shape(found)
    counts = [count for count in held["train"].values() if count]
    batch = 64 if sum(counts) < 5000 else 128
    names = list(held["train"])
    mirrored = not all(name.isdigit() or len(name) == 1 for name in names)
    data = [
        Choice("name", "image_folder"),
        Choice("root", folder, "As it was typed: a relative path starts where the command is run."),
        *shape,
        *_policy(found),
        *holding,
    ]
    representation = [
        Choice(
            "backbone",
            "small_cnn" if size <= 16 else "resnet20" if size <= 64 else "resnet18",
            "small_cnn up to 16 pixels, resnet20 up to 64, resnet18 beyond"
            + (
                "; `weights: torchvision` starts it from ImageNet's, downloaded once, which helps small sets."
                if size > 64 and not found.grey
                else "."
            ),
        ),
        Choice("optimizer", dict(SGD), "Optimiser and schedule of the recipe image_folder."),
        Choice("schedule", {"name": "one_cycle"}),
        _epochs(sum(counts), batch),
        Choice("batch_size", batch, "64 below 5,000 training pictures, else 128."),
        Choice(
            "augment",
            {"pad": max(1, size // 8), "flip": mirrored},
            "Crops moved by up to an eighth of the picture. "
            + (
                "Mirrored at random: set flip to false where left and right matter."
                if mirrored
                else "Not mirrored: the classes are named like digits or letters, whose mirror images differ."
            ),
        ),
    ]
    return {"data": data, "representation": representation, "evaluation": _thresholds(counts)}, held


def _hold_outs(found: Pictures) -> tuple[list[Choice], dict[str, dict[str, int]]]:
    """What is held out of training for the parts that have no folder, and the counts that gives."""
    held = {part: dict(counts) for part, counts in found.counts.items()}
    smallest = min(found.counts["train"].values())
    each = smallest >= ENOUGH
    choices = []
    for part, key, share, most, fraction in (
        ("test", "test", 4, 100, TEST_FRACTION),
        ("val", "validation", 8, 50, VALIDATION_FRACTION),
    ):
        if part in found.counts:
            continue
        number = min(smallest // share, most)
        train = held["train"]
        held[part] = {n: number if each else round(fraction * c) for n, c in train.items()}
        held["train"] = {name: count - held[part][name] for name, count in train.items()}
        why = f"No folder {part}. The smallest class has {smallest} pictures, "
        if each:
            why += f"enough for the same number of every class: {_ordinal(share)} of it, at most {most}."
            choices.append(Choice(f"{key}_per_class", number, why))
        else:
            why += f"too few for the same number of every class ({ENOUGH} would do): a share of each."
            choices.append(Choice(f"{key}_fraction", fraction, why))
    return choices, {part: held[part] for part in ("train", "val", "test")}


def _ordinal(share: int) -> str:
    return {4: "a quarter", 8: "an eighth"}[share]


def _shape(found: Pictures) -> tuple[list[Choice], int]:
    """Size and colour of what the network sees, and the size alone, in pixels."""
    side = median_low(found.sides)
    why = f"The median shorter side of {len(found.sides)} pictures looked at is {side} pixels; "
    if side >= min(SIZES):
        sizes = [size for size in SIZES if size <= side]
        why += f"the next lower of {', '.join(map(str, sorted(SIZES)))}"
    elif len(set(found.sides)) == 1:
        sizes, why = [side], why + "all are that small, so nothing is resized"
    else:
        sizes, why = [max(8, side // 8 * 8)], why + "the next lower multiple of 8, at least 8"
    channels = 1 if found.grey else 3
    fitting = [size for size in sizes if found.total * size**2 * channels <= MAX_BYTES]
    size = fitting[0] if fitting else sizes[-1]
    if size < sizes[0]:
        why += f", and lower still to fit {found.total} pictures into {MAX_BYTES / 2**30:.0f} GiB of memory"
    choices = [Choice("image_size", size, f"{why}.")]
    if not fitting:
        choices.append(Choice("in_memory", False, "Too many pictures for memory: decoded when needed."))
    if found.grey:
        choices.append(Choice("mode", "gray", "No picture looked at has colour."))
    return choices, size


def _policy(found: Pictures) -> list[Choice]:
    """What becomes of unreadable pictures, when some of those looked at are."""
    if not found.broken:
        return []
    looked = len(found.sides) + len(found.broken)
    why = (
        f"{len(found.broken)} of {looked} pictures looked at cannot be read ({listed(found.broken)}): such "
        "ones are left out and named in a warning. Without this line one of them stops a run."
    )
    choices = [Choice("unreadable", "skip", why)]
    expected = math.ceil(found.total * len(found.broken) / looked)
    if 2 * expected > SKIP_LIMIT:
        why = f"Twice the {expected} there may be among {found.total}; more in one part stop a run."
        choices.append(Choice("skip_limit", 2 * expected, why))
    return choices


def _epochs(count: int, batch: int) -> Choice:
    """Enough for the network to see 200,000 pictures, within 30…100 epochs and 20,000 steps."""
    steps = math.ceil(count / batch)
    epochs = max(1, min(max(round(200_000 / count), 30), 100, 20_000 // steps))
    why = (
        f"200,000 pictures seen, {count} an epoch, but no fewer than 30 epochs and no more than 100, and at "
        f"most 20,000 steps, of which an epoch has {steps}."
    )
    return Choice("epochs", epochs, why)


def _thresholds(counts: list[int]) -> list[Choice]:
    """Where many shots end and few begin, by training pictures of a class."""
    ordered = sorted(counts)
    if ordered[0] < 20 and ordered[-1] > 100:
        many, few, why = 100, 20, "More than 100 and fewer than 20 training pictures, as in the literature."
    else:
        third = len(ordered) // 3
        many, few = ordered[-1 - third], ordered[third]
        why = "A third of the classes each: the usual 100 and 20 would leave a group empty."
    return [Choice("many", many, why), Choice("few", few)]
