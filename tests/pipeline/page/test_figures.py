"""What the figures of the page say, recomputed."""

from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("matplotlib", reason="figures need the extra `report`")
pytest.importorskip("jinja2", reason="the page needs the extra `report`")

from longtail.pipeline.compare.ablation_table import AblationCell
from longtail.pipeline.page.figures import (
    calibration,
    classes,
    confusion,
    epochs,
    gains_over_baseline,
    head_weights,
    matrix,
)
from longtail.pipeline.page.figures.class_axis import ClassAxis
from longtail.pipeline.page.figures.drawing import STYLES, Missing
from longtail.pipeline.page.figures.figure_files import _titled, page_svg
from longtail.pipeline.page.run_results import RunResults
from longtail.stages.metrics.bootstrap import Difference
from longtail.stages.network import Head
from tests.pipeline.page.contents import result, run_of
from tests.pipeline.store.results import run_settings


@pytest.fixture
def run(page):
    """The run on the page that samples as the data are."""
    return run_of(page.parent / "root")


def toy(*results, store=None) -> RunResults:
    return RunResults(store, list(results), {"many": 100, "few": 20})


# -- classes ----------------------------------------------------------------------------------------------


def test_gained_and_lost_are_the_differences_to_joint_computed_by_hand():
    joint = result(accuracy=(0.9, 0.5, None, 0.2, 0.6), counts=(100, 50, 20, 5, 200))
    other = result("crt", (0.8, 0.5, 0.3, 0.6, 0.4), (100, 50, 20, 5, 200))
    assert classes.gains([0.9, None], [0.8, 0.1]) == [pytest.approx(-0.1), None]
    drawing = classes.gained_and_lost(toy(joint, other))
    assert drawing.title == (
        "crt gains 40.0 points on average in 1 class and loses 15.0 points on average in 2 classes"
    )
    (axes,) = drawing.figure.axes
    up, down = (patch.get_data().values for patch in axes.patches)
    np.testing.assert_allclose(up, [np.nan, np.nan, np.nan, np.nan, 40])  # by frequency: 200, 100, 50, 20, 5
    np.testing.assert_allclose(down, [-20, -10, np.nan, np.nan, np.nan])


def test_gained_and_lost_needs_joint():
    with pytest.raises(Missing, match="there is no `joint`"):
        classes.gained_and_lost(toy(result("crt")))
    assert classes.gained_and_lost(toy(result())) is None


def test_class_accuracy_lines_stand_in_order_of_frequency():
    joint = result(accuracy=(0.1, 0.2, None), counts=(5, 300, 40))
    drawing = classes.class_accuracy(toy(joint, result("crt", (0.6, 0.2, None), (5, 300, 40))))
    lines = drawing.figure.axes[0].get_lines()
    np.testing.assert_allclose([line.get_ydata() for line in lines], [[20, np.nan, 10], [20, np.nan, 60]])
    assert drawing.title == "Few-shot accuracy rises from 10 % with joint to 60 % with crt"


def test_spread_shows_mean_and_population_deviation():
    drawing = classes.accuracy_spread(toy(result(accuracy=(0.2, 0.6, None), counts=(30, 20, 10))))
    (container,) = drawing.figure.axes[0].containers
    assert container.lines[0].get_xdata() == pytest.approx([40])
    ((low, high),) = [segment[:, 0] for segment in container.lines[2][0].get_segments()]
    assert (low, high) == pytest.approx((20, 60))
    assert drawing.title == "Accuracy differs between classes by an SD of 20.0 points"


def test_counts_name_the_extremes_and_leave_absent_classes_out_of_the_ratio():
    drawing = classes.class_counts(toy(result(accuracy=(0.5,) * 4, counts=(0, 400, 50, 10))))
    assert drawing.title == "From 400 samples of class c1 down to 10 of class c3: 40 to 1"
    labels = [text.get_text() for text in drawing.figure.legends[0].get_texts()]
    assert labels == ["many: > 100 (1)", "medium (1)", "few: < 20 (1)"]


@pytest.mark.parametrize(("count", "most"), [(7, 200), (200, 200), (201, 200), (1000, 200), (100, 40)])
def test_thousands_of_classes_become_means_of_neighbours(count, most):
    rng = np.random.default_rng(0)
    counts, values = rng.permutation(count) + 1, rng.random(count)
    values[3] = np.nan
    axis = ClassAxis(counts.tolist(), [""] * count, most=most)
    points = axis.points([None if np.isnan(v) else v for v in values])
    ranked = sorted(range(count), key=lambda c: -counts[c])
    start, at = 0, 0.5
    assert len(points) == min(count, most)
    for point, edge, place in zip(points, axis.edges[1:], axis.positions, strict=True):
        size = round(edge - at)
        known = [values[c] for c in ranked[start : start + size] if c != 3]  # class 3 has no value
        assert point == pytest.approx(np.mean(known) if known else np.nan, nan_ok=True)
        assert place == pytest.approx((at + edge) / 2)
        start, at = start + size, edge
    assert start == count


def test_no_more_lines_than_styles_and_the_best_on_validation_are_kept():
    results = [result()] + [result(f"k{n}", (n / 20,), run=f"k{n}") for n in range(12)]
    run = toy(*results)
    kept = [r.run for r in run.shown]
    assert kept == ["joint-0", *(f"k{n}" for n in range(6, 12))]
    assert len({run.style(r) for r in run.shown}) == len(STYLES)
    assert run.omission == " Drawn are joint and the 6 best on validation of 13 classifiers."


# -- the head ---------------------------------------------------------------------------------------------


def test_tau_is_drawn_on_validation_and_agrees_with_predictions_at_each_tau(run):
    drawing = head_weights.accuracy_over_tau(run)
    line = next(x for x in drawing.figure.axes[0].get_lines() if x.get_label() == "balanced")
    head, val = run.head, run.features.val
    norms = np.linalg.norm(head.weight.astype(np.float64), axis=1)
    for tau in (0.0301, 0.4007, 0.8003, 1.2001):
        scores = (val.X.astype(np.float64) @ head.weight.T.astype(np.float64)) / norms**tau
        hit = scores.argmax(1) == val.y
        expected = np.mean([hit[val.y == c].mean() for c in range(10)])
        xs, ys = line.get_data()
        drawn = ys[np.searchsorted(xs, tau, "right") - 1]  # flat from the break point before τ
        assert drawn == pytest.approx(100 * expected)
    chosen = next(r for r in run.results if r.classifier == "tau_norm").fitted["tau_"]
    assert f"τ = {chosen:.2f}" in drawing.title and "chosen on validation" in drawing.caption


def test_tau_chosen_on_test_is_marked(run):
    results = [replace(result, protocol="paper") for result in run.results]
    drawing = head_weights.accuracy_over_tau(RunResults(run.store, results, run.thresholds))
    labels = [text.get_text() for text in drawing.figure.legends[0].get_texts()]
    assert labels[-1].endswith("†") and "on the test split (protocol paper, †)" in drawing.caption


def test_tau_given_by_hand_does_not_speak_for_the_choice(run):
    chosen = next(r for r in run.results if r.classifier == "tau_norm")
    by_hand = replace(chosen, run="by-hand", params={"tau": 0.0}, fitted={"tau_": 0.0})
    both = RunResults(run.store, [by_hand, *run.results], run.thresholds)
    assert f"τ = {chosen.fitted['tau_']:.2f}" in head_weights.accuracy_over_tau(both).title
    others = [r for r in run.results if r is not chosen]
    alone = head_weights.accuracy_over_tau(RunResults(run.store, [*others, by_hand], run.thresholds))
    assert "by hand" in alone.caption and "No τ beats" not in alone.title


def test_norms_by_sampler_compares_runs_that_differ_in_nothing_else():
    def at(sampler, loss, weight):
        settings = run_settings(sampler={"name": sampler}, loss={"name": loss})
        run = toy(result(accuracy=(0.5, 0.5), counts=(9, 1), settings=settings))
        run.__dict__["head"] = Head(np.array(weight), None)
        return run

    parts = [
        at("a", "focal", [[1.0], [1.0]]),
        at("b", "ldam", [[3.0], [1.0]]),
        at("c", "ldam", [[5.0], [1.0]]),
    ]
    drawing = head_weights.norms_by_sampler(parts)
    labels = [text.get_text() for text in drawing.figure.legends[0].get_texts()]
    assert labels == ["b", "c"] and "left out" not in drawing.caption
    assert head_weights.norms_by_sampler(parts[:2]) is None


def test_a_title_stands_above_the_legend(run):
    drawing = classes.class_accuracy(run)
    height = drawing.figure.get_figheight()
    with _titled(drawing):
        drawing.figure.draw_without_rendering()
        title, (key,) = drawing.figure.texts[-1].get_window_extent(), drawing.figure.legends
        panel = drawing.figure.axes[0].get_tightbbox()
        assert title.y0 >= key.get_window_extent().y1 >= key.get_window_extent().y0 >= panel.y1
    assert drawing.figure.get_figheight() == height


def test_norms_are_those_of_the_published_weights(run):
    drawing = head_weights.weight_norms(run)
    lines = {line.get_label(): line.get_ydata() for line in drawing.figure.axes[0].get_lines()}
    norms = np.linalg.norm(run.head.weight, axis=1)
    expected = (norms / norms.mean())[np.argsort(-np.array(run.counts))]
    np.testing.assert_allclose(lines["joint"], expected, rtol=1e-5)
    assert "crt" in lines and "ncm" not in lines


def test_rank_correlation_is_spearmans_with_ties_and_zero_for_constants():
    from scipy.stats import spearmanr

    norms, counts = np.array([3.0, 1, 1, 2, 5]), np.array([9, 2, 4, 4, 7])
    assert head_weights.rank_correlation(norms, counts) == pytest.approx(spearmanr(norms, counts).statistic)
    assert head_weights.rank_correlation(np.ones(4), np.arange(4)) == 0


# -- predictions ------------------------------------------------------------------------------------------


def test_published_confidences_give_the_published_calibration_error(run):
    from longtail.stages.metrics.scores import reliability

    for r in run.results:
        predictions, metrics = run.predictions(r), run.metrics(r)
        if r.classifier == "ncm":
            assert metrics["ece"] is None and "test.confidence" not in predictions
            continue
        table = reliability(predictions["test.confidence"], predictions["test"] == predictions["test.y"])
        error = np.abs(table.hits - table.confidence).sum() / table.samples.sum()
        assert error == pytest.approx(metrics["ece"], abs=1e-6)
        assert table.hits.sum() / table.samples.sum() == pytest.approx(metrics["accuracy"])


def test_results_without_confidences_have_no_reliability_diagram(run, monkeypatch):
    known = RunResults.predictions
    bare = lambda self, r: {k: v for k, v in known(self, r).items() if "confidence" not in k}  # noqa: E731
    monkeypatch.setattr(RunResults, "predictions", bare)
    with pytest.raises(Missing, match="no confidences were published; `longtail classify CONFIG --fresh`"):
        calibration.reliability_diagram(run)


def test_confused_pairs_are_counted_by_share_of_the_true_class():
    labels = [0, 0, 0, 0, 1, 1, 2, 2, 2]
    predicted = [0, 1, 1, 2, 1, 0, 2, 0, 0]
    pairs = confusion.confused_pairs(predicted, labels)
    assert [(p.true, p.predicted, p.count, p.total) for p in pairs] == [
        (2, 0, 2, 3), (0, 1, 2, 4), (1, 0, 1, 2), (0, 2, 1, 4),
    ]  # fmt: skip
    assert pairs[0].share == pytest.approx(2 / 3)
    assert confusion.confused_pairs(labels, labels) == []


def test_pictures_are_validation_samples_of_the_pairs_shown(run):
    drawing = confusion.confusions(run, confusion.Samples())
    predictions = run.predictions(run.joint)
    wrong = {
        (int(t), int(s)) for t, s in zip(predictions["val.y"], predictions["val"], strict=True) if t != s
    }
    assert 0 < len(drawing.pictures) <= confusion.PICTURED_PAIRS * confusion.PICTURES_A_PAIR
    for picture in drawing.pictures:
        assert tuple(int(name) for name in picture.text.split(" → ")) in wrong


def test_a_picture_has_the_pixels_of_its_sample(digits):
    from PIL import Image

    from longtail.pipeline.training.splits import load_splits

    val = load_splits(digits()).val
    image = Image.open(io.BytesIO(confusion.png(val, 3)))
    np.testing.assert_array_equal(np.array(image), val.images[3, :, :, 0].numpy())


def test_changed_data_give_no_pictures(run, monkeypatch):
    monkeypatch.setattr(confusion, "data_identity", lambda store, config: {"content": "other"})
    assert confusion.confusions(run, confusion.Samples()).pictures == []


def test_shares_of_few_samples_come_after_those_of_many():
    labels = np.repeat([0, 1], [20, 1])
    predicted = np.where(labels == 1, 0, np.arange(21) % 4 == 0)
    assert [(p.true, p.count, p.total) for p in confusion.confused_pairs(predicted, labels)] == [
        (0, 5, 20), (1, 1, 1),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("samples", "sentence"),
    [
        (None, ""),
        ([40, 40, 0], " A class has 40 test samples."),
        ([40, 3, 1], " A class has 1 to 40 test samples; 2 classes have fewer than 10."),
        ([40, 12], " A class has 12 to 40 test samples."),
    ],
)
def test_captions_say_how_many_samples_accuracies_are_of(samples, sentence):
    changes = {} if samples is None else {"class_samples": {"test": samples}}
    assert toy(result(**changes)).sizes == sentence


# -- epochs and all runs together -------------------------------------------------------------------------


def test_class_weights_are_drawn_where_a_loss_adapts_them():
    run = toy(result(accuracy=(0.5, 0.5), counts=(90, 10), representation="r"))
    run.__dict__["history"] = [
        {
            "epoch": n,
            "loss": 1.0,
            "loss_state": {"class_weights": [1 - n / 10, 1 + n / 10], "tau": None if n == 1 else 1.5},
        }
        for n in (1, 2)
    ]
    drawing = epochs.class_weights(run)
    above, below = drawing.figure.axes
    np.testing.assert_allclose([line.get_ydata() for line in above.get_lines()], [[0.9, 0.8], [1.1, 1.2]])
    np.testing.assert_allclose(below.get_lines()[0].get_ydata(), [np.nan, 1.5])
    assert drawing.title.startswith("Class c1 ends with the largest weight, 1.20")


def test_learned_weights_are_drawn_by_class_and_by_label():
    def run(**groups):
        run = toy(result(accuracy=(0.5, 0.5), counts=(90, 10), representation="r"))
        run.__dict__["history"] = [
            {"epoch": n, "loss": 1.0, "learned_weights": {"class_weights": [0.9, w], **groups}}
            for n, w in ((1, None), (2, 1.5))
        ]
        return run

    noisy = epochs.learned_weights(run(clean=1.2, flipped=0.4))
    above, below = noisy.figure.axes
    np.testing.assert_allclose([line.get_ydata() for line in above.get_lines()], [[0.9, 0.9], [np.nan, 1.5]])
    np.testing.assert_allclose([line.get_ydata() for line in below.get_lines()], [[1.2, 1.2], [0.4, 0.4]])
    assert noisy.title == "Right labels end with a mean weight of 1.20, wrong ones of 0.40"
    clean = epochs.learned_weights(run(clean=None, flipped=None))
    assert len(clean.figure.axes) == 1 and clean.title.startswith(
        "Class c1 ends with the largest weights, 1.50"
    )


def test_class_weights_are_not_drawn_for_other_losses(run):
    assert epochs.class_weights(run) is None


def test_training_curves_are_the_history(run):
    drawing = epochs.training_curves(run)
    loss, accuracy = (axes.get_lines()[0].get_ydata() for axes in drawing.figure.axes)
    np.testing.assert_allclose(loss, [row["loss"] for row in run.history])
    reached = [100 * row["validation"]["balanced_accuracy"] for row in run.history]
    np.testing.assert_allclose(accuracy, reached)


def test_runs_are_named_by_what_differs_on_their_data_alone():
    def with_settings(data, **own):
        return toy(result(settings=run_settings(data=data, reached=own.pop("reached", 1), all=own)))

    parts = [
        with_settings("toy", lr=0.1, root="a"), with_settings("toy", lr=0.2, root="a", reached=7),
        with_settings("other", lr=0.1, root="b"),
    ]  # fmt: skip
    assert {words: len(c) for words, c in matrix.runs_by_row(parts).items()} == {
        "toy, lr=0.1": 1, "toy, lr=0.2": 1, "other": 1,
    }  # fmt: skip
    assert list(matrix.runs_by_row(parts[:1])) == ["toy"]


def test_runs_alike_in_all_but_their_id_are_rows_of_their_own():
    parts = [toy(result(accuracy=(0.5,), representation=name)) for name in ("one", "two")]
    assert [len(c) for c in matrix.runs_by_row(parts).values()] == [1, 1]
    assert all(words.endswith(c[0].id) for words, c in matrix.runs_by_row(parts).items())


def test_what_no_figure_can_show_is_escaped_in_a_row():
    def at(root):
        return toy(result(settings=run_settings(all={"root": root})))

    drawing = matrix.matrix([at("a\x01"), at("b\udcff")])
    assert page_svg(drawing, "x").count("root=a\\u0001") == 2  # as the highest and as the lowest


def test_gains_over_the_baseline_are_the_cells_best_first_and_filled_where_sure():
    def cell(row, *gap):
        difference = Difference(*gap) if gap else None
        return AblationCell(row, "crt", [result("crt")], {}, "plain/crt", difference)

    cells = [
        cell("plain"),
        cell("a", 0.01, -0.01, 0.03),
        cell("b", 0.05, 0.02, 0.08),
        cell("c", -0.04, -0.06, -0.02),
    ]
    drawing = gains_over_baseline.gains_over_baseline(cells)
    (axes,) = drawing.figure.axes
    points = [container.lines[0] for container in axes.containers]
    assert [tuple(p.get_xdata()) for p in points] == [(5,), (1,), (-4,)]
    assert [p.get_markerfacecolor() == "none" for p in points] == [False, True, False]
    assert [t.get_text() for t in axes.get_yticklabels()] == ["b / crt", "a / crt", "c / crt"]
    spans = [c.lines[2][0].get_segments()[0][:, 0].tolist() for c in axes.containers]
    np.testing.assert_allclose(spans, [[2, 8], [-1, 3], [-6, -2]])
    assert drawing.title == "Against plain/crt: 1 of 3 better, 1 worse; most gained by b / crt, +5.0 points"
    assert gains_over_baseline.gains_over_baseline(cells[:1]) is None


def test_matrix_has_mean_and_sample_deviation_over_seeds():
    def at(sampler, seed, reached):
        settings = run_settings(sampler={"name": sampler})
        return toy(result(accuracy=(reached,), settings=settings, seed=seed))

    parts = [at("a", 0, 0.5), at("b", 0, 0.9), at("a", 1, 0.7)]
    cells = matrix.spreads(parts)
    assert cells["a", "joint"] == (pytest.approx(0.6), pytest.approx(np.std([0.5, 0.7], ddof=1)), 2)
    assert cells["b", "joint"] == (0.9, None, 1)
    shown = [text.get_text() for text in matrix.matrix(parts).figure.axes[0].texts]
    assert shown == ["60.0\n± 14.1 (2)", "90.0"]
    assert matrix.matrix(parts[:1]) is None
