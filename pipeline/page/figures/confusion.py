"""Which classes are taken for which, with pictures of it where the data set has some."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from longtail.pipeline.page.figures.drawing import STYLES, Drawing, Picture, canvas, legend
from longtail.pipeline.page.run_results import FEW_SAMPLES, Chapter
from longtail.pipeline.page.words import shortened
from longtail.pipeline.store.identity import data_identity

if TYPE_CHECKING:
    from longtail.stages.data import Splits

MOST_PAIRS = 8
LONGEST_NAME = 16
PICTURED_PAIRS, PICTURES_A_PAIR = 3, 2
LARGEST_PICTURE = 96  # pixels of a side


class Pair(NamedTuple):
    """A class and what its samples are taken for: how many are, of how many (all of the class)."""

    true: int
    said: int
    count: int
    total: int

    @property
    def share(self) -> float:
        """Fraction of the class's samples."""
        return self.count / self.total


def confused_pairs(predicted, labels, *, most: int = MOST_PAIRS) -> list[Pair]:
    """The pairs of classes confused by the largest share of a class's samples, largest first.

    Classes with fewer than :data:`FEW_SAMPLES` samples, whose shares say little, come after the others.
    `predicted`, `labels` (N,) row numbers.
    """
    predicted, labels = np.asarray(predicted), np.asarray(labels)
    wrong = predicted != labels
    pairs, counts = np.unique(np.stack([labels[wrong], predicted[wrong]]), axis=1, return_counts=True)
    totals = np.bincount(labels)
    found = [Pair(int(t), int(s), int(n), int(totals[t])) for (t, s), n in zip(pairs.T, counts, strict=True)]
    order = sorted(found, key=lambda p: (p.total < FEW_SAMPLES, -p.share, p.true, p.said))
    return order[:most]


def confusions(chapter: Chapter, samples: Samples) -> Drawing | None:
    """The most confused pairs of joint (of the best without it) on test; None when nothing is confused."""
    speaker = chapter.joint or chapter.best
    other = chapter.best if chapter.best is not speaker else None
    pairs = _pairs(chapter, speaker)
    if not pairs:
        return None
    figure, (axes,) = canvas(height=0.9 + 0.3 * len(pairs))
    places = np.arange(len(pairs))[::-1]
    names = [f"{_name(chapter, p.true)} → {_name(chapter, p.said)}, {p.count} of {p.total}" for p in pairs]
    axes.barh(
        places,
        [100 * p.share for p in pairs],
        height=0.55,
        color=STYLES[5].color,
        label=chapter.label(speaker),
    )
    first = pairs[0]
    title = f"{_name(chapter, first.true)} is taken for {_name(chapter, first.said)} in {_often(first)} "
    title += f"of its test samples with {chapter.label(speaker)}"
    caption = "Share of a class's test samples taken for another class; written true → predicted."
    if any(pair.total < FEW_SAMPLES for pair in pairs):
        caption += f" Classes with fewer than {FEW_SAMPLES} test samples come last."
    if other is not None:
        found = {(p.true, p.said): p for p in _pairs(chapter, other, most=None)}
        theirs = [found.get((p.true, p.said), p._replace(count=0)) for p in pairs]
        color, _, marker = chapter.style(other)
        axes.plot(
            [100 * p.share for p in theirs],
            places,
            linestyle="",
            marker=marker,
            color=color,
            label=chapter.label(other),
            clip_on=False,
        )
        title += f", in {_often(theirs[0])} with {chapter.label(other)}"
        caption += f" Markers show the same pairs with {chapter.label(other)}."
    axes.set_yticks(places, names)
    axes.grid(axis="y", visible=False)
    axes.set_xlim(left=0)
    axes.set_xlabel("samples of the true class, %")
    legend(figure, axes)
    pictures = _pictures(chapter, speaker, pairs, samples)
    if pictures:
        caption += " The pictures are validation samples confused in the same way."
    return Drawing("confusions", title, caption, figure, pictures)


def _pairs(chapter: Chapter, result: dict[str, Any], *, most: int | None = MOST_PAIRS) -> list[Pair]:
    found = chapter.predictions(result)
    return confused_pairs(found["test"], found["test.y"], most=most)


def _often(pair: Pair) -> str:
    return f"{100 * pair.share:.0f} %" if pair.total >= FEW_SAMPLES else f"{pair.count} of {pair.total}"


def _name(chapter: Chapter, row: int) -> str:
    return shortened(chapter.names[row], LONGEST_NAME)


# -- pictures ---------------------------------------------------------------------------------------------


class Samples:
    """Validation samples of the runs' data sets, each read once; none where it is gone or has changed."""

    def __init__(self):
        self._splits: dict[str, Splits | None] = {}

    def of(self, chapter: Chapter) -> Splits | None:
        """The splits a chapter's representation was trained on."""
        done = chapter.representation and chapter.store.done("representations", chapter.representation)
        if not done:
            return None
        name = repr(sorted(done["data"].items()))
        if name not in self._splits:
            self._splits[name] = _load(chapter, done["data"])
        return self._splits[name]


def _load(chapter: Chapter, identity: dict[str, Any]) -> Splits | None:
    from longtail.pipeline.config import strict_yaml
    from longtail.pipeline.config.loading import check_config
    from longtail.pipeline.errors import LongtailError
    from longtail.pipeline.training.splits import load_splits

    path = chapter.store.folder("representations", chapter.representation) / "config.yaml"
    try:
        config = check_config(strict_yaml.load(path.read_text(encoding="utf-8"), str(path)), str(path))
        if data_identity(chapter.store, config) != identity:
            return None  # other pictures than the ones that were judged
        return load_splits(config)
    except (LongtailError, OSError, ValueError):
        return None


def _pictures(chapter: Chapter, result: dict[str, Any], pairs: list[Pair], samples: Samples) -> list[Picture]:
    predictions = chapter.predictions(result)
    splits = samples.of(chapter)
    if splits is None or "val" not in predictions or len(splits.input_shape) != 3:
        return []
    said, true = predictions["val"], predictions["val.y"]
    if not np.array_equal(splits.val.labels, true):
        return []
    found = []
    for pair in pairs:
        rows = np.flatnonzero((true == pair.true) & (said == pair.said))[:PICTURES_A_PAIR]
        text = f"{chapter.names[pair.true]} → {chapter.names[pair.said]}"
        found += [Picture(png(splits.val, int(row)), text) for row in rows]
        if len(found) >= PICTURED_PAIRS * PICTURES_A_PAIR:
            break
    return found[: PICTURED_PAIRS * PICTURES_A_PAIR]


def png(part, row: int) -> bytes:
    """One sample of a part of pictures as a PNG file of at most 96 pixels a side."""
    from PIL import Image

    values = part.batch([row])[0].cpu().numpy()  # (channels, H, W)
    mean, std = (np.array(part.constants[key])[:, None, None] for key in ("mean", "std"))
    pixels = np.clip(np.rint(values * std + mean), 0, 255).astype(np.uint8)
    image = Image.fromarray(pixels[0] if len(pixels) == 1 else pixels.transpose(1, 2, 0))
    image.thumbnail((LARGEST_PICTURE, LARGEST_PICTURE))
    file = io.BytesIO()
    image.save(file, "PNG", optimize=True)
    return file.getvalue()
