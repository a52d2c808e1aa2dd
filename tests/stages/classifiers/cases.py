"""Every classifier with its variants, and the toy data they are fitted on."""

import inspect

import numpy as np
import pytest

from longtail.stages.classifiers import CLASSIFIERS, Head

NAMES = CLASSIFIERS.names()
VARIANTS = [
    ("crt", {"solver": "sgd"}),
    ("crt", {"sampler": "square_root", "weight_decay": 0.01}),
    ("knn", {"feature": "none"}),
    ("knn", {"vote": "class_balanced", "feature": "l2"}),
    ("logit_adjustment", {"tau": "validation"}),
    ("marc", {"solver": "sgd"}),
    ("maxnorm", {"weight_decay": 0.01}),
    ("ncm", {"feature": "none"}),
    ("ncm", {"feature": "none", "distance": "cosine"}),
    ("ncm", {"feature": "l2", "distance": "euclidean"}),
    ("ncm", {"feature": "l2", "distance": "dot"}),
    ("ncm", {"distance": "cosine"}),
    ("lws", {"bias": "scaled"}),
    ("lws", {"weight_decay": 0.1}),
    ("lws", {"solver": "sgd"}),
    ("lws", {"solver": "sgd", "bias": "scaled", "classifier_rate": 0.2}),
    ("tau_norm", {"tau": 0.7}),
    ("tau_norm", {"tau": 0}),
]
CASES = [(name, {}) for name in NAMES] + VARIANTS
# scikit-learn's checks run on every name, and on variants that fit by other code than their default does.
CHECKED = [
    *((name, {}) for name in NAMES),
    ("crt", {"solver": "sgd"}),
    ("logit_adjustment", {"tau": "validation"}),
    ("marc", {"solver": "sgd"}),
    ("knn", {"vote": "class_balanced", "feature": "l2"}),
    ("lws", {"bias": "scaled"}),
    ("lws", {"solver": "sgd", "classifier_rate": 0.2}),
    ("tau_norm", {"tau": 0.7}),
]
every_name = pytest.mark.parametrize("name", NAMES)
every_case = pytest.mark.parametrize(("name", "params"), CASES, ids=lambda value: str(value).replace(" ", ""))
COUNTS = np.array([14, 6, 0, 1])  # an absent class and a single-sample one
D = 5


def make(name, **params):
    """A fresh estimator, seeded where it draws."""
    if "random_state" in inspect.signature(CLASSIFIERS.get(name)).parameters:
        params.setdefault("random_state", 0)
    return CLASSIFIERS.create(name, **params)


def blobs(counts, *, num_features=D, spread=1.0, seed=0, dtype=np.float32):
    """Shuffled features (N, D) around one random centre a class, and their row numbers (N,)."""
    rng = np.random.default_rng(seed)
    centers = 1.5 * np.random.default_rng(99).normal(size=(len(counts), num_features))
    y = rng.permutation(np.repeat(np.arange(len(counts)), counts))
    return (centers[y] + spread * rng.normal(size=(len(y), num_features))).astype(dtype), y


def random_head(num_classes=4, *, num_features=D, bias=True, seed=5, dtype=np.float32):
    rng = np.random.default_rng(seed)
    weight = rng.normal(size=(num_classes, num_features)) * rng.uniform(0.5, 2, size=(num_classes, 1))
    return Head(weight.astype(dtype), rng.normal(size=num_classes).astype(dtype) if bias else None)


X, Y = blobs(COUNTS)
X_VAL, Y_VAL = blobs([9, 9, 9, 9], seed=1)
X_NEW, _ = blobs([20, 20, 20, 20], seed=2)
HEAD = random_head()


def fitted(name, params, *, dtype=np.float32):
    return make(name, **params).fit(X.astype(dtype), Y, head=HEAD, validation=(X_VAL, Y_VAL))
