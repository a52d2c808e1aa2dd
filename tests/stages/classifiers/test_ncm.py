"""The nearest class mean."""

import numpy as np
import pytest
from sklearn.neighbors import NearestCentroid

from tests.stages.classifiers.cases import (
    HEAD,
    X_NEW,
    D,
    X,
    Y,
    blobs,
    make,
)


def naive_ncm(X_train, rows, num_classes, query, feature, distance):
    """Class by class and query by query, in float64."""

    def unit(v):
        length = np.sqrt((v**2).sum())
        return v / length if length > 0 else v

    center = X_train.astype(float).mean(0) if feature == "centered_l2" else 0.0

    def transform(x):
        x = x.astype(float) - center
        return x if feature == "none" else unit(x)

    scores = np.full((len(query), num_classes), -np.inf)
    for c in range(num_classes):
        members = [transform(x) for x in X_train[rows == c]]
        if not members:
            continue
        mean = np.mean(members, axis=0)
        for i, x in enumerate(query):
            f = transform(x)
            if distance == "euclidean":
                scores[i, c] = -((f - mean) ** 2).sum()
            else:
                scores[i, c] = f @ mean if distance == "dot" else unit(f) @ unit(mean)
    return scores


@pytest.mark.parametrize("feature", ["none", "l2", "centered_l2"])
@pytest.mark.parametrize("distance", ["euclidean", "cosine", "dot"])
@pytest.mark.parametrize("zero", [False, True])
def test_ncm_equals_the_naive_version(feature, distance, zero):
    train, query = X.copy(), X_NEW.copy()
    if zero:
        train[:2], query[:2] = 0, 0
        train[Y == 3] = 0  # a whole class at the origin
    estimator = make("ncm", feature=feature, distance=distance).fit(train, Y, head=HEAD)
    expected = naive_ncm(train, Y, 4, query, feature, distance)
    np.testing.assert_allclose(estimator.scores(query), expected, rtol=2e-6, atol=2e-6)


def test_ncm_equals_scikit_learns_nearest_centroid():
    X3, rows = blobs([40, 10, 3, 1], spread=3.0, dtype=np.float64)
    mine = make("ncm", feature="none").fit(X3, rows)
    query = np.random.default_rng(3).normal(size=(500, D)) * 4
    reference = NearestCentroid().fit(X3, rows)
    np.testing.assert_allclose(mine.centroids_, reference.centroids_, rtol=1e-12)
    np.testing.assert_array_equal(mine.predict(query), reference.predict(query))


def test_ncm_far_from_the_origin_loses_no_digits():
    X3, rows = blobs([20, 20, 20], spread=0.5, dtype=np.float64)
    near, far = make("ncm", feature="none").fit(X3, rows), make("ncm", feature="none").fit(X3 + 1e5, rows)
    np.testing.assert_allclose(far.scores(X3 + 1e5), near.scores(X3), rtol=1e-5, atol=1e-5)


def test_ncm_means_in_blocks_are_the_means_in_one(monkeypatch):
    whole = make("ncm").fit(X, Y, head=HEAD)
    monkeypatch.setattr("longtail.stages.blocks.BLOCK_BYTES", 8 * D * 4)
    blocks = make("ncm").fit(X, Y, head=HEAD)
    np.testing.assert_allclose(blocks.centroids_, whole.centroids_, atol=1e-12)
