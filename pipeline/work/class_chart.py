"""How many samples each class has, as a chart for a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from longtail.pipeline.config.loading import Config
from longtail.stages.metrics.shots import shot_group
from longtail.stages.wording import counted

if TYPE_CHECKING:
    import numpy as np

    from longtail.stages.data import Splits

BAR = 40  # characters of the longest bar


def class_chart(config: Config, splits: Splits) -> str:
    """Training samples of each class with a bar, the shot groups' sizes, and the other splits' sizes.

    `splits` are those of `config`.
    """
    counts, sizes = splits.class_counts.tolist(), {"validation": len(splits.val), "test": len(splits.test)}
    drawn = chart(
        splits.class_names,
        counts,
        weights=class_weights(config, splits.class_counts),
        weighs_from=config.representation.loss.full().get("start_epoch", 0) if config.representation else 0,
        many=config.evaluation.many,
        few=config.evaluation.few,
        **sizes,
    )
    if splits.flipped is not None:
        drawn += f"\nlabel noise: {splits.flipped.sum()} of {len(splits.train)} training labels are wrong"
    if splits.meta is not None:
        drawn += f"\nheld out to learn sample weights on: {len(splits.meta)} samples, labelled right"
    return drawn


def class_weights(config: Config, class_counts: np.ndarray) -> list[float] | None:
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
