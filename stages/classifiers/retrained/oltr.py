"""Dynamic meta-embedding."""

from __future__ import annotations

import numpy as np
from sklearn.utils.validation import check_is_fitted

from longtail.stages.blocks import row_blocks
from longtail.stages.classifiers import CLASSIFIERS
from longtail.stages.classifiers.base import Classifier
from longtail.stages.classifiers.tools.linear import fit_plain_head
from longtail.stages.classifiers.tools.sgd import Model, SgdSettings, fit_sgd, numpy_scores
from longtail.stages.classifiers.tools.weighting import WeightedCrossEntropy
from longtail.stages.linear_scores import linear_scores, unit_rows
from longtail.stages.network import Head
from longtail.stages.parameters import BatchSize, Epochs, Fraction, NonNegative, Positive
from longtail.stages.randomness import generator

# Liu 2019's released code: MetaEmbeddingClassifier, CosNormClassifier, DiscCentroidsLoss and its weight.
REACH, SCALE, MARGIN, REPEL, MEMORY_WEIGHT = 10.0, 16.0, 10.0, 0.01, 0.01
SMALLEST = 1e-12  # a distance: a class's only sample lies on its centroid
LEARNED = (
    "centroids",
    "hallucinator_weight",
    "hallucinator_bias",
    "selector_weight",
    "selector_bias",
    "weight",
)


@CLASSIFIERS.register("oltr")
class OLTR(Classifier):
    """OLTR: features enriched from a memory of class centroids M (C, D), scored by a cosine classifier.

    v' = (10/max(min_j ‖v − M_j‖, 1e-12))·(v + tanh(W_s v + b_s) ⊙ (softmax(H v + b_H) M)) and
    z_j = 16·(v'/(1 + ‖v'‖))·(w_j/‖w_j‖). Minimises CE + .01·L over class_balanced batches (four of a class at
    a time), L = ½ mean_i ‖v_i − M_{y_i}‖² + .01·max(0, 10 − Σ_{i, j≠y_i} ‖v_i − M_j‖²/(B·K)), K the classes
    present. M learns from L alone, CE takes it as given. Absent classes are left out of the softmaxes, the
    nearest centroid and L; their centroid is 0. Keeps the best epoch by validation balanced accuracy, the
    last without validation; uses one of the augmented views an epoch, in turn.

    M starts at the class means, H at stage one's head, W_s and b_s uniform in ±1/√D as a linear layer.
    Deviations: the modulated attention needs feature maps and is no part of a fit on frozen features; w
    starts at stage one's rows, not at random, because a few epochs on few samples do not bring random rows
    home; L's gradient is its own, where the code divides a centroid's by its samples in the batch plus one;
    one rate for everything and 10 epochs under a cosine (the code: .01 for the memory and .1 for the rest,
    60 epochs by steps).

    Fitted: ``centroids_`` M, ``hallucinator_weight_`` H, ``hallucinator_bias_``, ``selector_weight_`` W_s
    (D, D), ``selector_bias_``, ``weight_`` w (C, D), ``best_epoch_``.

    Source: Liu 2019 (arXiv 1904.05160), section 3; constants, weight decay and batch its released code's.
    """

    uses_views = True

    def __init__(
        self,
        *,
        lr: Positive = 0.01,
        momentum: Fraction = 0.9,
        weight_decay: NonNegative = 5e-4,
        batch_size: BatchSize = 256,
        epochs: Epochs = 10,
        random_state=None,
    ):
        self.lr = lr
        self.momentum = momentum
        self.weight_decay = weight_decay
        self.batch_size = batch_size
        self.epochs = epochs
        self.random_state = random_state

    def _fit(self, X, rows, head, validation, views=None):
        import torch

        from longtail.stages.samplers import SAMPLERS

        head = head or fit_plain_head(X, rows, len(self.classes_))
        settings = SgdSettings.of(self)
        present = self.class_counts_ > 0
        seen = torch.from_numpy(present)
        loss = WeightedCrossEntropy(present.astype(np.float64), "batch")

        def objective(p, features, labels):
            fixed = p | {"centroids": p["centroids"].detach()}
            memory = memory_loss(p["centroids"], features, labels, seen)
            return loss(embedded_scores(fixed, features, seen), labels) + MEMORY_WEIGHT * memory

        model = Model(
            "oltr",
            starting_point(X, rows, head, self.class_counts_, settings.seed),
            objective,
            scores=lambda arrays, X: numpy_scores(lambda p, v: embedded_scores(p, v, seen), arrays, X),
        )
        sampler = SAMPLERS.create("class_balanced", rows, len(self.classes_), seed=settings.seed)
        learned, self.best_epoch_ = fit_sgd(
            model, views or [X], rows, sampler, settings, validation=validation
        )
        for name in LEARNED:
            setattr(self, f"{name}_", learned[name])

    def _scores(self, X) -> np.ndarray:
        import torch

        seen = torch.from_numpy(self.class_counts_ > 0)
        arrays = {name: getattr(self, f"{name}_") for name in LEARNED}
        return numpy_scores(lambda p, v: embedded_scores(p, v, seen), arrays, X)

    def as_module(self):
        """:meth:`scores` as a torch module of float32 features (B, D): no matrix, the memory goes with it."""
        from longtail.stages.classifiers.tools.modules import Scored

        check_is_fitted(self)
        arrays = {name: getattr(self, f"{name}_") for name in LEARNED}
        seen = (self.class_counts_ > 0).astype(np.float32)
        return Scored(
            lambda p, v: embedded_scores(p, v, p["seen"] > 0),
            arrays | {"seen": seen},
            self.class_counts_ == 0,
        )


def starting_point(X, rows, head: Head, class_counts: np.ndarray, seed: int) -> dict[str, np.ndarray]:
    """What training starts from, by name: class means, stage one's head, a random selector."""
    num_classes, num_features = head.weight.shape
    centroids, length = np.zeros((num_classes, num_features)), 0.0
    for block in row_blocks(len(X), num_features):
        features = X[block].astype(np.float64)
        np.add.at(centroids, rows[block], features)
        length += np.linalg.norm(features, axis=1).sum() / len(X)
    weight, bias = head.weight, np.zeros(num_classes) if head.bias is None else head.bias
    if head.cosine:  # of features of mean length, the linear map H gives the cosine head's logits
        weight = unit_rows(weight) / max(length, SMALLEST)
    rng, bound = generator(seed, "oltr selector"), num_features**-0.5
    return {
        "centroids": centroids / np.maximum(class_counts, 1)[:, None],
        "hallucinator_weight": head.scale * weight,
        "hallucinator_bias": head.scale * bias,
        "selector_weight": rng.uniform(-bound, bound, (num_features, num_features)),
        "selector_bias": rng.uniform(-bound, bound, num_features),
        "weight": head.weight,
    }


def squared_distances(features, centroids):
    """‖v_i − M_j‖², (B, C), of features (B, D) and centroids (C, D)."""
    cross = features @ centroids.T
    return (features.square().sum(1)[:, None] - 2 * cross + centroids.square().sum(1)).clamp_min(0.0)


def embedded_scores(p, features, seen):
    """Logits (B, C) of features (B, D); `seen` (C,) bool, the classes that take part."""
    far = squared_distances(features, p["centroids"]).masked_fill(~seen, np.inf)
    nearest = far.min(1, keepdim=True).values.sqrt().clamp_min(SMALLEST)  # (B, 1)
    recalled = features @ p["hallucinator_weight"].T + p["hallucinator_bias"]
    recalled = recalled.masked_fill(~seen, -np.inf).softmax(1) @ p["centroids"]
    chosen = (features @ p["selector_weight"].T + p["selector_bias"]).tanh()
    enriched = features + chosen * recalled
    # v'/(1 + ‖v'‖) of v' = (10/nearest)·enriched, without the overflow of 10/1e-12
    length = enriched.norm(dim=1, keepdim=True)
    return linear_scores(enriched / (nearest / REACH + length), unit_rows(p["weight"]), scale=SCALE)


def memory_loss(centroids, features, labels, seen):
    """Centroids drawn to their own class's features (B, D) and kept from the others': a scalar."""
    from torch.nn.functional import one_hot

    attract = (features - centroids[labels]).square().sum(1).mean() / 2
    own = one_hot(labels, len(centroids)).bool()
    apart = squared_distances(features, centroids).masked_fill(own | ~seen, 0.0).sum()
    return attract + REPEL * (MARGIN - apart / (len(labels) * int(seen.sum()))).clamp_min(0.0)
