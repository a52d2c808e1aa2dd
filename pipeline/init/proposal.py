"""Settings for a folder of pictures by rules of thumb, each with its reason."""

from __future__ import annotations

import math
from collections.abc import Mapping
from statistics import median_low
from typing import Any, NamedTuple

from longtail.pipeline.init.survey import Survey
from longtail.pipeline.init.thresholds import thresholds
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


def propose(
    folder: str, survey: Survey, given: Mapping[str, Any] | None = None
) -> tuple[dict[str, list[Choice]], dict[str, dict[str, int]]]:
    """(settings by section, pictures of each class that train, val and test then have).

    `given` are settings of the data that were chosen already.
    """
    given = given or {}
    held_out, counts = _hold_out(survey)
    shape, size = _shape(survey)
    size = given.get("image_size", size)
    grey = survey.grey if "mode" not in given else given["mode"] == "gray"
    data = [
        Choice("name", "image_folder"),
        Choice("root", folder, "As it was typed: a relative path starts where the command is run."),
        *shape,
        *_background(survey),
        *_unreadable(survey),
        *held_out,
    ]
    train = counts["train"]
    sections = {
        "data": _with_given(data, given),
        "representation": _representation(train, size, grey=grey),
        "evaluation": _evaluation([count for count in train.values() if count]),
    }
    return sections, counts


def _with_given(choices: list[Choice], given: Mapping[str, Any]) -> list[Choice]:
    """`choices` for the data, those that are `given` taking the place of others."""
    kept = [choice for choice in choices if choice.key not in given]
    name_and_root = 2
    chosen = [Choice(key, value, "As given.") for key, value in given.items()]
    return [*kept[:name_and_root], *chosen, *kept[name_and_root:]]


# -- data -------------------------------------------------------------------------------------------------


def _hold_out(survey: Survey) -> tuple[list[Choice], dict[str, dict[str, int]]]:
    """What is held out of training for parts that have no folder, and the counts of all parts then."""
    counts = {part: dict(of_class) for part, of_class in survey.counts.items()}
    smallest = min(survey.counts["train"].values())
    same_number = smallest >= ENOUGH
    choices = []
    for part, key, divisor, most, fraction in (
        ("test", "test", 4, 100, TEST_FRACTION),
        ("val", "validation", 8, 50, VALIDATION_FRACTION),
    ):
        if part in survey.counts:
            continue
        number = min(smallest // divisor, most)
        train = counts["train"]
        counts[part] = {n: number if same_number else round(fraction * c) for n, c in train.items()}
        counts["train"] = {name: count - counts[part][name] for name, count in train.items()}
        why = f"No folder {part}. The smallest class has {smallest} pictures, "
        if same_number:
            share = {4: "a quarter", 8: "an eighth"}[divisor]
            why += f"enough for the same number of every class: {share} of it, at most {most}."
            choices.append(Choice(f"{key}_per_class", number, why))
        else:
            why += f"too few for the same number of every class ({ENOUGH} would do): a share of each."
            choices.append(Choice(f"{key}_fraction", fraction, why))
    return choices, {part: counts[part] for part in ("train", "val", "test")}


def _shape(survey: Survey) -> tuple[list[Choice], int]:
    """Size and colour of what the network sees, and the size alone, in pixels."""
    side = median_low(survey.sides)
    why = f"The median shorter side of {len(survey.sides)} pictures sampled is {side} pixels; "
    if side >= min(SIZES):
        sizes = [size for size in SIZES if size <= side]
        why += f"the next lower of {', '.join(map(str, sorted(SIZES)))}"
    elif len(set(survey.sides)) == 1:
        sizes, why = [side], why + "all are that small, so nothing is resized"
    else:
        sizes, why = [max(8, side // 8 * 8)], why + "the next lower multiple of 8, at least 8"
    channels = 1 if survey.grey else 3
    fitting = [size for size in sizes if survey.total * size**2 * channels <= MAX_BYTES]
    size = fitting[0] if fitting else sizes[-1]
    if size < sizes[0]:
        why += f", and lower still to fit {survey.total} pictures into {MAX_BYTES / 2**30:.0f} GiB of memory"
    choices = [Choice("image_size", size, f"{why}.")]
    if not fitting:
        choices.append(Choice("in_memory", False, "Too many pictures for memory: decoded when needed."))
    if survey.grey:
        choices.append(Choice("mode", "gray", "No picture sampled has colour."))
    return choices, size


def _background(survey: Survey) -> list[Choice]:
    """What transparent pictures are laid on, when some of those sampled are."""
    if not survey.transparent:
        return []
    why = f"{survey.transparent} of {survey.sampled} pictures sampled are transparent somewhere. "
    if survey.background == "alpha":
        why += "On white, black and gray some would vanish: transparency becomes one more channel."
    else:
        why += f"What they show stands out on {survey.background}; alpha would keep transparency instead."
    return [Choice("background", survey.background, why)]


def _unreadable(survey: Survey) -> list[Choice]:
    """What happens to unreadable pictures, when some of those sampled are."""
    if not survey.broken:
        return []
    why = (
        f"{len(survey.broken)} of {survey.sampled} pictures sampled cannot be read "
        f"({listed(survey.broken)}): such ones are left out and named in a warning. Without this line "
        "one of them stops a run."
    )
    choices = [Choice("unreadable", "skip", why)]
    expected = math.ceil(survey.total * len(survey.broken) / survey.sampled)
    if 2 * expected > SKIP_LIMIT:
        why = f"Twice the {expected} there may be among {survey.total}; more in one part stop a run."
        choices.append(Choice("skip_limit", 2 * expected, why))
    return choices


# -- training and evaluation ------------------------------------------------------------------------------


def _representation(train: dict[str, int], size: int, *, grey: bool) -> list[Choice]:
    """Backbone and training, for `train` pictures of each class of `size` pixels."""
    total = sum(train.values())
    batch = 64 if total < 5000 else 128
    return [
        _backbone(size, grey=grey),
        Choice("optimizer", dict(SGD), "Optimiser and schedule of the recipe image_folder."),
        Choice("schedule", {"name": "one_cycle"}),
        _epochs(total, batch),
        Choice("batch_size", batch, "64 below 5,000 training pictures, else 128."),
        _augment(list(train), size),
    ]


def _backbone(size: int, *, grey: bool) -> Choice:
    name = "small_cnn" if size <= 16 else "resnet20" if size <= 64 else "resnet18"
    why = "small_cnn up to 16 pixels, resnet20 up to 64, resnet18 beyond"
    if size > 64 and not grey:
        why += "; `weights: torchvision` starts it from ImageNet's, downloaded once, which helps small sets"
    return Choice("backbone", name, f"{why}.")


def _augment(names: list[str], size: int) -> Choice:
    """Shifted crops, and mirroring unless the classes `names` look like digits or letters."""
    flip = not all(name.isdigit() or len(name) == 1 for name in names)
    why = "Crops moved by up to an eighth of the picture. "
    if flip:
        why += "Mirrored at random: set flip to false where left and right matter."
    else:
        why += "Not mirrored: the classes are named like digits or letters, whose mirror images differ."
    return Choice("augment", {"pad": max(1, size // 8), "flip": flip}, why)


def _epochs(count: int, batch: int) -> Choice:
    """Enough for the network to see 200,000 pictures, within 30…100 epochs and 20,000 steps."""
    steps = math.ceil(count / batch)
    epochs = max(1, min(max(round(200_000 / count), 30), 100, 20_000 // steps))
    why = (
        f"200,000 pictures seen, {count} an epoch, but no fewer than 30 epochs and no more than 100, and at "
        f"most 20,000 steps, of which an epoch has {steps}."
    )
    return Choice("epochs", epochs, why)


def _evaluation(counts: list[int]) -> list[Choice]:
    """The many-shot and few-shot limits, from the training pictures of each class."""
    many, few, why = thresholds(counts)
    return [Choice("many", many, why), Choice("few", few)]
