"""Batches of pictures in memory, and what augmentation does to them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from longtail.stages.data.pictures.augment import Augment, draw_crops, draw_mixture
from longtail.stages.data.pictures.in_memory import ImageArrays


@pytest.fixture
def pictures() -> ImageArrays:
    rng = np.random.default_rng(1)
    part = ImageArrays(rng.integers(0, 256, (12, 5, 6, 3), dtype=np.uint8), np.arange(12) % 3)
    return part.normalized_like(part)


def test_batch_is_pixels_minus_mean_over_std_by_index(pictures):
    rows = [7, 0, 7]
    pixels = pictures.images.numpy()[rows].astype(np.float64)
    expected = (pixels - pictures.mean.numpy()) / pictures.std.numpy()
    images = pictures.batch(rows)
    assert images.dtype == torch.float32
    np.testing.assert_allclose(images.numpy(), expected.transpose(0, 3, 1, 2), atol=1e-6)


def test_augmenting_with_nothing_gives_exactly_the_batch(pictures):
    rows = np.array([3, 1, 11])
    images, mixture = pictures.augmented(rows, Augment(), np.random.default_rng(0))
    assert mixture is None
    assert torch.equal(images, pictures.batch(rows))


@pytest.mark.parametrize(
    "augment", [Augment(pad=2), Augment(flip=True), Augment(pad=1, flip=True), Augment(2, True, 0.7)]
)
def test_augmented_matches_one_picture_at_a_time(pictures, augment):
    rows = np.array([5, 2, 2, 9, 0, 11, 4, 4])
    images, mixture = pictures.augmented(rows, augment, np.random.default_rng(3))

    rng = np.random.default_rng(3)
    height, width = pictures.images.shape[1:3]
    top_rows, left_cols = draw_crops(len(rows), height, width, augment, rng)
    mixed = draw_mixture(len(rows), augment, rng)
    expected = []
    for i, row in enumerate(rows):
        image = pictures.images[row].numpy().astype(np.float64)
        p = augment.pad
        image = np.pad(image, ((p, p), (p, p), (0, 0)))
        flipped = left_cols[i][0] > left_cols[i][-1]
        top, left = top_rows[i].min(), left_cols[i].min()
        image = image[top : top + height, left : left + width]
        image = image[:, ::-1] if flipped else image
        expected.append((image - pictures.mean.numpy()) / pictures.std.numpy())
    expected = np.stack(expected).transpose(0, 3, 1, 2)
    if mixed is None:
        assert mixture is None
    else:
        assert mixture.share == mixed.share
        expected = mixed.share * expected + (1 - mixed.share) * expected[mixture.partner]
    np.testing.assert_allclose(images.numpy(), expected, atol=1e-5)


def test_drawn_crops_reach_every_place_and_both_directions():
    rows, cols = draw_crops(2000, 4, 4, Augment(pad=2, flip=True), np.random.default_rng(0))
    assert sorted(set(rows[:, 0].tolist())) == sorted(set(cols.min(1).tolist())) == [0, 1, 2, 3, 4]
    flipped = cols[:, 0] > cols[:, -1]
    assert 0.45 < flipped.mean() < 0.55
    assert (np.abs(np.diff(cols, axis=1)) == 1).all() and (np.diff(rows, axis=1) == 1).all()


def test_mixup_pairs_are_a_permutation_and_the_share_is_beta():
    rng = np.random.default_rng(0)
    drawn = [draw_mixture(6, Augment(mixup=0.5), rng) for _ in range(2000)]
    assert all(sorted(m.partner.tolist()) == list(range(6)) for m in drawn)
    shares = np.array([m.share for m in drawn])
    assert abs(shares.mean() - 0.5) < 0.03
    assert abs(shares.var() - 0.125) < 0.01  # of Beta(a, a): 1/(4(2a + 1))


def test_images_of_another_type_are_refused():
    with pytest.raises(ValueError, match=r"uint8 \(N, H, W, C\)"):
        ImageArrays(np.zeros((2, 3, 3, 1), np.float32), [0, 1])
