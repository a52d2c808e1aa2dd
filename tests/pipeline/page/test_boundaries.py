"""Decision boundaries: geometry by hand, and the verb on two-dimensional features."""

from __future__ import annotations

import json

import numpy as np
import pytest

pytest.importorskip("matplotlib", reason="figures need the extra `report`")
pytest.importorskip("jinja2", reason="figures need the extra `report`")

from longtail.pipeline.config.loading import load_config
from longtail.pipeline.page.figures.decision_boundaries import (
    Panel,
    decision_boundaries,
    rare_share,
    regions,
    window,
)
from longtail.stages.backbones import BACKBONES
from longtail.stages.classifiers import CLASSIFIERS
from longtail.stages.features import Features
from longtail.stages.network import Head, LinearHead, Network
from tests.command_line import longtail

BOUNDS = (-1.0, 2.0, -1.0, 2.0)
HEAD = Head(np.array([[2.0, 0.0], [0.0, 1.0]]), None)  # the frequent class's weight is twice as long
X, Y = np.array([[1.0, 0.0], [1.0, 0.2], [0.0, 1.0]]), np.array([0, 0, 1])


def fitted(name, **params):
    return CLASSIFIERS.create(name, **params).fit(X, Y, head=HEAD)


@pytest.mark.parametrize(("tau", "slope"), [(0.0, 2.0), (0.5, 2**0.5), (1.0, 1.0)])
def test_the_border_of_two_classes_turns_as_tau_grows(tau, slope):
    """2x·2^−τ = y: twice the length wins twice the slope at τ = 0, none of it at τ = 1."""
    won = regions(fitted("tau_norm", tau=tau), BOUNDS)
    x, y = np.meshgrid(*[np.linspace(-1, 2, len(won.classes))] * 2)
    clear = np.abs(y - slope * x) > 1e-6
    np.testing.assert_array_equal(won.classes[clear], (y > slope * x).astype(int)[clear])


@pytest.mark.parametrize(("name", "params"), [("joint", {}), ("cosine", {}), ("ncm", {"feature": "none"})])
def test_regions_are_what_is_predicted_and_margins_say_by_how_much(name, params):
    estimator = fitted(name, **params)
    won = regions(estimator, BOUNDS)
    xs = np.linspace(-1, 2, len(won.classes))
    for row, column in ((0, 0), (10, 200), (120, 119), (239, 3), (77, 239)):
        point = np.array([[xs[column], xs[row]]], np.float32)
        assert won.classes[row, column] == estimator.predict(point)[0]
    for c, ahead in won.margins.items():
        assert ((ahead > 0) <= (won.classes == c)).all() and ((ahead < 0) <= (won.classes != c)).all()


def test_classes_without_training_samples_hold_nothing():
    head = Head(np.array([[2.0, 0.0], [0.0, 1.0], [9.0, 9.0]]), None)
    won = regions(CLASSIFIERS.create("joint").fit(X, Y, head=head), BOUNDS)
    assert set(np.unique(won.classes)) == set(won.margins) == {0, 1}


def test_rare_share_is_the_part_of_the_rarer_half():
    assert rare_share(np.array([[0, 0], [1, 2]]), [90, 5, 30]) == 0.25  # two of three count as frequent
    assert rare_share(np.array([[0, 1], [1, 3]]), [4, 3, 2, 1]) == 0.25


def test_window_holds_samples_and_origin():
    left, right, bottom, top = window(np.array([[3.0, 5.0], [4.0, 6.0]]))
    assert left < 0 < 4 < right and bottom < 0 < 6 < top


def test_title_compares_the_first_panel_with_the_most_generous():
    shown = [Panel("joint", fitted("joint"), 0.75), Panel("τ = 1", fitted("tau_norm", tau=1.0), None)]
    drawing = decision_boundaries(shown, Features(X, Y), [2, 1], ["a", "b"], data="toys")
    shares = [100 * rare_share(regions(p.estimator, window(X)).classes, [2, 1]) for p in shown]
    expected = "The rarer half of the classes holds {:.0f} % of the plane with joint, {:.0f} % with τ = 1"
    assert drawing.title == expected.format(*shares) and shares[0] < shares[1]
    assert [axes.get_title("left") for axes in drawing.figure.axes] == ["joint: 75 %", "τ = 1"]


# -- the verb ---------------------------------------------------------------------------------------------


@pytest.fixture
def plane(tmp_path):
    """An archive of three classes of two features."""
    rng = np.random.default_rng(0)
    y = np.repeat([0, 1, 2], [80, 40, 30])
    centres = np.array([[4.0, 0.0], [-3.0, 3.0], [-1.0, -3.0]])
    path = tmp_path / "plane.npz"
    np.savez(path, X=centres[y] + rng.normal(size=(150, 2)), y=y)
    return path


def test_six_panels_are_drawn_test_is_not_read_and_nothing_is_done_twice(plane, tmp_path, monkeypatch):
    monkeypatch.setattr("longtail.pipeline.page.figures.decision_boundaries.STEPS", 60)
    command = ["--root", tmp_path / "root", "boundaries", "features", f"data.root={plane}", "--out"]
    before = None
    for name in ("b.svg", "b.png", "b.html"):
        outcome = longtail(*command, tmp_path / name)
        assert outcome.status == 0, outcome.err
        written = {p: p.stat().st_mtime_ns for p in (tmp_path / "root").glob("classifiers/*/result.json")}
        assert before in (None, written)
        before = written
    results = [json.loads(p.read_text()) for p in written]
    assert len(results) == 6 and all(set(result["metrics"]) == {"val"} for result in results)
    text = (tmp_path / "b.svg").read_text()
    for name in ("joint", "τ = 0:", "τ = 0.5", "τ = 1:", "cosine", "class means"):
        assert f">{name}" in text
    assert (tmp_path / "b.png").read_bytes().startswith(b"\x89PNG")
    page = (tmp_path / "b.html").read_text()
    assert page.count("<svg") == 1 and 'role="img"' in page and 'href="data:image/png' in page
    assert "http" not in page.replace("http-equiv", "")


def test_other_widths_are_refused_before_training_with_what_to_do(tmp_path):
    outcome = longtail("--root", tmp_path / "root", "boundaries", "digits_lt", "--out", tmp_path / "b.svg")
    assert outcome.status == 1 and "drawn on 2 features, got 64" in outcome.err
    assert "'representation.backbone={name: small_cnn, bottleneck: 2}'" in outcome.err
    assert not (tmp_path / "root" / "representations").exists() and not (tmp_path / "b.svg").exists()


def test_features_of_another_width_are_refused(tmp_path):
    np.savez(tmp_path / "wide.npz", X=np.random.default_rng(0).normal(size=(60, 3)), y=np.arange(60) % 3)
    arguments = ["boundaries", "features", f"data.root={tmp_path / 'wide.npz'}", "--out", tmp_path / "b.svg"]
    outcome = longtail("--root", tmp_path / "root", *arguments)
    assert outcome.status == 1 and "drawn on 2 features, got 3; project those of the file" in outcome.err


def test_a_file_name_of_another_kind_is_refused(tmp_path):
    outcome = longtail("--root", tmp_path / "root", "boundaries", "--out", tmp_path / "b.pdf")
    assert outcome.status == 1 and "--out: must end in .svg, .png, .html, got" in outcome.err


# -- the bottleneck ---------------------------------------------------------------------------------------


def test_bottleneck_is_linear_after_the_mean_over_positions():
    import torch

    backbone = BACKBONES.create("small_cnn", in_channels=1, bottleneck=2).eval()
    images = torch.rand(3, 1, 8, 8)
    pooled = backbone.layers(images).mean((2, 3))
    expected = pooled @ backbone.bottleneck.weight.T + backbone.bottleneck.bias
    torch.testing.assert_close(backbone(images), expected)
    assert backbone.num_features == 2 and BACKBONES.create("small_cnn").num_features == 64


def test_bottleneck_learns_with_the_last_block():
    network = Network(BACKBONES.create("small_cnn", bottleneck=2), LinearHead(2, 3))
    network.train_only("last_block")
    learning = {name for name, p in network.backbone.named_parameters() if p.requires_grad}
    assert {"bottleneck.weight", "bottleneck.bias", "layers.6.weight"} <= learning
    assert "layers.0.weight" not in learning


def test_recipe_has_two_features_and_no_bottleneck_keeps_its_identity():
    assert load_config("boundaries").representation.backbone.params == {"bottleneck": 2}
    assert load_config("digits_lt").representation.backbone.minimal() == {"name": "small_cnn"}
