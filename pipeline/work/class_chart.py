"""How many samples each class has, as a chart for a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from longtail.pipeline.config.loading import Config
from longtail.pipeline.store.result import Result
from longtail.pipeline.training.splits import load_splits, warn_of_sizes
from longtail.stages.metrics.shots import shot_group
from longtail.stages.wording import counted

if TYPE_CHECKING:
    import numpy as np


BAR = 40  # characters of the longest bar


@dataclass(frozen=True)
class SplitSizes:
    """Samples of each split: of training by class (C,), of the others in all.

    `flipped` is how many training labels are wrong, `meta` how many samples are held out to learn sample
    weights on; None without label noise and without learned weights.
    """

    class_names: list[str]
    class_counts: list[int]
    validation: int
    test: int
    flipped: int | None = None
    meta: int | None = None


def class_chart(config: Config, results: Sequence[Result] = ()) -> str:
    """Training samples of each class with a bar, the shot groups' sizes, and the other splits' sizes.

    Finished `results` of the configuration already hold the numbers; without any, the data are loaded.
    """
    sizes = sizes_in_results(config, results) or _loaded_sizes(config)
    drawn = chart(
        sizes.class_names,
        sizes.class_counts,
        weights=class_weights(config, sizes.class_counts),
        weighs_from=config.representation.loss.full().get("start_epoch", 0) if config.representation else 0,
        many=config.evaluation.many,
        few=config.evaluation.few,
        validation=sizes.validation,
        test=sizes.test,
    )
    if sizes.flipped is not None:
        total = sum(sizes.class_counts)
        drawn += f"\nlabel noise: {sizes.flipped} of {total} training labels are wrong"
    if sizes.meta is not None:
        drawn += f"\nheld out to learn sample weights on: {sizes.meta} samples, labelled right"
    return drawn


def sizes_in_results(config: Config, results: Sequence[Result]) -> SplitSizes | None:
    """The sizes in the first of `results` that has them all; warns of what has no samples.

    None without such a result: none tells the sizes of label noise and of what sample weights are learned on,
    and one that has not been judged on test does not tell which classes that has.
    """
    if config.data.full()["label_noise"] or config.meta_per_class:
        return None
    for result in results:
        tested = result.samples("test") if "test" in result.sizes else [0] * len(result.class_names)
        if tested is not None:
            choosing = result.sizes.get(config.evaluation.choosing_split, 0)
            names, counts = result.class_names, result.class_counts
            warn_of_sizes(config, names, trained=counts, tested=tested, choosing=choosing)
            return SplitSizes(names, counts, result.sizes.get("val", 0), sum(tested))
    return None


def _loaded_sizes(config: Config) -> SplitSizes:
    splits = load_splits(config)
    return SplitSizes(
        splits.class_names,
        splits.class_counts.tolist(),
        len(splits.val),
        len(splits.test),
        None if splits.flipped is None else int(splits.flipped.sum()),
        None if splits.meta is None else len(splits.meta),
    )


def class_weights(config: Config, class_counts: Sequence[int] | np.ndarray) -> list[float] | None:
    """What a sample of each class (C,) counts in stage one's loss; None where the loss has no weighting."""
    from longtail.stages.losses.weightings import build_weights

    spec = None if config.representation is None else config.representation.loss.params.get("weighting")
    return None if spec in (None, "none") else build_weights(spec, class_counts).tolist()


def chart(
    names: Sequence[str],
    counts: Sequence[int],
    *,
    validation: int,
    test: int,
    many: int,
    few: int,
    weights: Sequence[float] | None = None,
    weighs_from: int = 0,
) -> str:
    """Training samples of each class with a bar, then the sizes of groups and of the other splits.

    `weights` are the loss's, a column of their own; they apply from epoch `weighs_from` on.
    """
    name_width, digits = min(max(map(len, names)), 24), len(str(max(counts)))
    samples, classes = counted(sum(counts), "training sample"), counted(len(counts), "class", "classes")
    lines = [f"class counts ({samples}, {classes})"]
    if weights is not None and weighs_from:
        lines[0] += f"; the loss weighs from epoch {weighs_from} on"
    for row, (name, count) in enumerate(zip(names, counts, strict=True)):
        bar = "█" * max(round(BAR * count / max(counts)), 1 if count else 0)
        group = shot_group(count, many, few) or "absent"
        weight = "" if weights is None else f"  weight {weights[row]:.4g}"
        lines.append(
            f"  {name[:24]:<{name_width}}  {count:>{digits}}  {bar:<{BAR}}  {group:<6}{weight}".rstrip()
        )
    groups = [shot_group(count, many, few) for count in counts]
    sizes = ", ".join(f"{groups.count(g)} {g}" for g in ("many", "medium", "few"))
    present = [count for count in counts if count]
    lines.append(
        f"shots: {sizes} (many > {many}, few < {few}); imbalance factor {max(present) / min(present):.4g}; "
        f"validation {validation}, test {test}"
    )
    return "\n".join(lines)
