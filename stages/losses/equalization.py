"""Equalization losses: rare classes are spared the discouraging gradients of other classes' samples."""

from __future__ import annotations

import torch

from longtail.stages.losses import LOSSES
from longtail.stages.losses.base import Loss, binary_cross_entropy, cross_entropy
from longtail.stages.parameters import Fraction


class RareClassLoss(Loss):
    """Base of losses that spare rare classes: ``rare`` (C,) bool, n_c/N < threshold."""

    rare: torch.Tensor

    def __init__(self, class_counts, threshold: float, gamma: float):
        super().__init__(class_counts)
        self.gamma = gamma
        rare = self.class_counts / self.class_counts.sum() < threshold
        self.register_buffer("rare", torch.from_numpy(rare), persistent=False)


@LOSSES.register("equalization")
class Equalization(RareClassLoss):
    """Σ_j w_j BCE(z_j, [j = y]), w_j = 1 − β·[f_j < threshold]·(1 − [j = y]), f_j = n_j/N.

    A sample does not push down the logits of rare classes. β is drawn once a batch from Bernoulli(gamma);
    gamma 1 is the released code. logits (B, C), labels (B,) → scalar, summed over the classes with training
    samples. The head's bias starts at −log(C−1) and is not decayed.

    Source: Tan 2020 (arXiv 2003.05176), section 3 (gamma 1, threshold .005 here); drawn a batch in Sinha 2020
    (2010.01824), released code (CIFAR-100 threshold .005, gamma .9; CIFAR-10 and MNIST threshold .03).

    >>> loss = LOSSES.create("equalization", [990, 10], threshold=0.05)
    >>> round(loss(torch.tensor([[0.0, 0.0]]), torch.tensor([0])).item(), 4)  # class 1 is left alone
    0.6931
    """

    prior_bias = True

    def __init__(self, class_counts, *, threshold: Fraction = 0.005, gamma: Fraction = 1.0):
        super().__init__(class_counts, threshold, gamma)

    def per_sample(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        each, targets = binary_cross_entropy(self.widened(logits), labels)
        if self.gamma == 1 or self.generator(of_batch=True).random() < self.gamma:
            each = each * (1 - self.rare.to(each.dtype) * (1 - targets))
        return self.over_present(each)


@LOSSES.register("softmax_equalization")
class SoftmaxEqualization(RareClassLoss):
    """−log(e^{z_y}/Σ_k w_k e^{z_k}), w_k = 1 − β_k·[f_k < threshold]·(1 − [k = y]), f_k = n_k/N.

    β_k ~ Bernoulli(gamma) for each sample and class: now and then a rare class is left out of the softmax.
    logits (B, C), labels (B,) → scalar. Classes without training samples take no part.

    Source: Tan 2020 (arXiv 2003.05176), equation 8, and its settings on CIFAR-100-LT.
    """

    def __init__(self, class_counts, *, threshold: Fraction = 0.005, gamma: Fraction = 0.9):
        super().__init__(class_counts, threshold, gamma)

    def per_sample(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        logits = self.mask(logits)
        drawn = torch.from_numpy(self.generator().random(logits.shape) < self.gamma)
        spared = drawn.to(logits.device) & self.rare
        spared = spared.scatter(1, labels[:, None], False)
        return cross_entropy(logits.masked_fill(spared, -torch.inf), labels)
