"""Which classes are taken for which, with pictures of it where the data set has some."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from longtail.pipeline.page.figures.drawing import STYLES, Drawing, SamplePicture, canvas, legend
from longtail.pipeline.page.labels import shortened
from longtail.pipeline.page.run_results import FEW_SAMPLES, RunResults
from longtail.pipeline.store.identity import data_identity
from longtail.pipeline.store.result import Result

if TYPE_CHECKING:
    from longtail.stages.data import Splits

MOST_PAIRS = 8
LONGEST_NAME = 16
PICTURED_PAIRS, PICTURES_A_PAIR = 3, 2
LARGEST_PICTURE = 96  # pixels of a side


class Pair(NamedTuple):
    """A class and one its samples are taken for: `count` of them, of `total` in the class."""

    true: int
    predicted: int
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
    confused = [
        Pair(int(true), int(wrongly), int(count), int(totals[true]))
        for (true, wrongly), count in zip(pairs.T, counts, strict=True)
    ]
    confused.sort(key=lambda p: (p.total < FEW_SAMPLES, -p.share, p.true, p.predicted))
    return confused[:most]


def confusions(run: RunResults, samples: Samples) -> Drawing | None:
    """The most confused pairs of joint (of the best without it) on test; None when nothing is confused."""
    main = run.joint or run.best
    other = run.best if run.best is not main else None
    pairs = _pairs(run, main)
    if not pairs:
        return None
    figure, (axes,) = canvas(height=0.9 + 0.3 * len(pairs))
    places, shares = np.arange(len(pairs))[::-1], [100 * pair.share for pair in pairs]
    axes.barh(places, shares, height=0.55, color=STYLES[5].color, label=run.label(main))
    first = pairs[0]
    title = f"{_name(run, first.true)} is taken for {_name(run, first.predicted)} in {_often(first)} "
    title += f"of its test samples with {run.label(main)}"
    caption = "Share of a class's test samples taken for another class; written true → predicted."
    if any(pair.total < FEW_SAMPLES for pair in pairs):
        caption += f" Classes with fewer than {FEW_SAMPLES} test samples come last."
    if other is not None:
        by_classes = {(p.true, p.predicted): p for p in _pairs(run, other, most=None)}
        theirs = [by_classes.get((p.true, p.predicted), p._replace(count=0)) for p in pairs]
        color, _, marker = run.style(other)
        style = {"linestyle": "", "marker": marker, "color": color, "clip_on": False}
        axes.plot([100 * pair.share for pair in theirs], places, label=run.label(other), **style)
        title += f", in {_often(theirs[0])} with {run.label(other)}"
        caption += f" Markers show the same pairs with {run.label(other)}."
    axes.set_yticks(places, [_pair_text(run, pair) for pair in pairs])
    axes.grid(axis="y", visible=False)
    axes.set_xlim(left=0)
    axes.set_xlabel("samples of the true class, %")
    legend(figure, axes)
    pictures = _pictures(run, main, pairs, samples)
    if pictures:
        caption += " The pictures are validation samples confused in the same way."
    return Drawing("confusions", title, caption, figure, pictures)


def _pair_text(run: RunResults, pair: Pair) -> str:
    return f"{_name(run, pair.true)} → {_name(run, pair.predicted)}, {pair.count} of {pair.total}"


def _pairs(run: RunResults, result: Result, *, most: int | None = MOST_PAIRS) -> list[Pair]:
    predictions = run.predictions(result)
    return confused_pairs(predictions["test"], predictions["test.y"], most=most)


def _often(pair: Pair) -> str:
    return f"{100 * pair.share:.0f} %" if pair.total >= FEW_SAMPLES else f"{pair.count} of {pair.total}"


def _name(run: RunResults, row: int) -> str:
    return shortened(run.names[row], LONGEST_NAME)


# -- pictures ---------------------------------------------------------------------------------------------


class Samples:
    """Validation samples of the runs' data sets, each read once; none where it is gone or has changed."""

    def __init__(self):
        self._splits: dict[str, Splits | None] = {}

    def of(self, run: RunResults) -> Splits | None:
        """The splits a run's representation was trained on."""
        done = run.representation and run.store.done("representations", run.representation)
        if not done:
            return None
        name = repr(sorted(done["data"].items()))
        if name not in self._splits:
            self._splits[name] = _load(run, done["data"])
        return self._splits[name]


def _load(run: RunResults, identity: dict[str, Any]) -> Splits | None:
    from longtail.pipeline.config.loading import check_config
    from longtail.pipeline.errors import LongtailError
    from longtail.pipeline.store.run_records import CONFIG, run_settings
    from longtail.pipeline.training.splits import load_splits

    path = run.store.folder("representations", run.representation) / CONFIG
    try:
        config = check_config(run_settings(run.store, run.representation), str(path))
        if data_identity(run.store, config) != identity:
            return None  # other pictures than the ones that were judged
        return load_splits(config)
    except (LongtailError, OSError, ValueError):
        return None


def _pictures(run: RunResults, result: Result, pairs: list[Pair], samples: Samples) -> list[SamplePicture]:
    predictions = run.predictions(result)
    splits = samples.of(run)
    if splits is None or "val" not in predictions or len(splits.input_shape) != 3:
        return []
    predicted, true = predictions["val"], predictions["val.y"]
    if not np.array_equal(splits.val.labels, true):
        return []
    pictures = []
    for pair in pairs:
        rows = np.flatnonzero((true == pair.true) & (predicted == pair.predicted))[:PICTURES_A_PAIR]
        text = f"{run.names[pair.true]} → {run.names[pair.predicted]}"
        pictures += [SamplePicture(png(splits.val, int(row)), text) for row in rows]
        if len(pictures) >= PICTURED_PAIRS * PICTURES_A_PAIR:
            break
    return pictures[: PICTURED_PAIRS * PICTURES_A_PAIR]


def png(part, row: int) -> bytes:
    """One sample of a part of pictures as a PNG file of at most 96 pixels a side."""
    from longtail.stages.data.pictures.reading.channels import as_picture

    values = part.batch([row])[0].cpu().numpy()  # (channels, H, W)
    mean, std = (np.array(part.constants[key])[:, None, None] for key in ("mean", "std"))
    pixels = np.clip(np.rint(values * std + mean), 0, 255).astype(np.uint8)
    image = as_picture(pixels.transpose(1, 2, 0))
    image.thumbnail((LARGEST_PICTURE, LARGEST_PICTURE))
    file = io.BytesIO()
    image.save(file, "PNG", optimize=True)
    return file.getvalue()
