"""Naive objectives and gradients that tests of classifiers compare with."""

import numpy as np
from sklearn.linear_model import LogisticRegression


def softmax_cross_entropy(scores, rows):
    """−log softmax(scores)_y of each row, float64, written the long way."""
    scores = np.asarray(scores, np.float64)
    top = scores.max(1)
    return top + np.log(np.exp(scores - top[:, None]).sum(1)) - scores[np.arange(len(rows)), rows]


def numeric_gradient(function, point, step=1e-5):
    point = np.asarray(point, np.float64)
    gradient = np.empty(point.size)
    for i in range(point.size):
        shift = np.zeros(point.size)
        shift[i] = step
        shift = shift.reshape(point.shape)
        gradient[i] = (function(point + shift) - function(point - shift)) / (2 * step)
    return gradient


def logistic_regression(X, rows, weight_decay, class_weight=None):
    """scikit-learn's coefficients (C, D + 1), the bias penalised too, by Newton's method."""
    reference = LogisticRegression(
        class_weight=class_weight,
        C=1 / (len(X) * weight_decay),
        fit_intercept=False,
        solver="newton-cholesky",
        tol=1e-12,
    )
    return reference.fit(np.c_[X, np.ones(len(X))], rows).coef_
