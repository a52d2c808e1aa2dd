"""Classifiers as one matrix and as torch modules: the scores they give, whatever they are written as."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch
from sklearn.exceptions import NotFittedError

from longtail.stages.classifiers import CLASSIFIERS, Head
from longtail.stages.classifiers.tools.linear_form import LinearForm
from tests.stages.classifiers.cases import CASES, HEAD, X_NEW, X_VAL, Y_VAL, X, Y, make

NOT_LINEAR = ("disalign", "knn", "oltr")
MORE = [
    ("ncm", {"feature": feature, "distance": distance})
    for feature in ("none", "l2", "centered_l2")
    for distance in ("euclidean", "cosine", "dot")
]
WRAPPED = [
    ("temperature", {"classifier": "lws"}),
    ("temperature", {"classifier": "disalign"}),
    ("resampled", {"classifier": "ncm", "method": "random_over"}),
    ("pc_softmax", {"target": [1, 0, 1, 2]}),
]
KINDS = [case for case in CASES if case != ("resampled", {})] + MORE + WRAPPED
HEADS = {
    "plain": HEAD,
    "scaled, no bias": Head(HEAD.weight, None, 3.0),
    "cosine": Head(HEAD.weight, HEAD.bias, 16.0, cosine=True),
    None: None,
}
every_kind = pytest.mark.parametrize(("name", "params"), KINDS, ids=lambda v: str(v).replace(" ", ""))


def fitted(name, params, head=HEAD):
    validation = (X_VAL, Y_VAL)
    if head is None:  # labels of any type; validation's have to be among them
        validation = (X_VAL[np.isin(Y_VAL, Y)], Y_VAL[np.isin(Y_VAL, Y)])
        if "target" in params:
            params = {"target": params["target"][: len(np.unique(Y))]}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return make(name, **params).fit(X, Y, head=head, validation=validation)


def is_linear(name, params):
    return name not in NOT_LINEAR and params.get("classifier") not in NOT_LINEAR


def queries() -> np.ndarray:
    """New samples, one of them zero, which has no direction."""
    return np.concatenate([X_NEW, np.zeros((1, X_NEW.shape[1]), np.float32)])


def assert_close(exported, scores):
    """Equal to 1e-5 of the scores' size; −∞ where they are −∞."""
    assert exported.shape == scores.shape
    np.testing.assert_array_equal(np.isneginf(exported), np.isneginf(scores))
    finite = np.isfinite(scores)
    scale = np.abs(scores[finite]).max()
    np.testing.assert_allclose(exported[finite], scores[finite], rtol=0, atol=1e-5 * scale)


@pytest.mark.parametrize("head", HEADS)
@every_kind
def test_linear_form_scores_as_the_classifier_does(name, params, head):
    classifier = fitted(name, params, HEADS[head])
    if not is_linear(name, params):
        with pytest.raises(ValueError, match=r"not linear|neither a linear form"):
            classifier.linear_form()
        return
    scores = classifier.scores(queries())
    assert_close(classifier.linear_form().scores(queries()), scores)
    if head is not None:
        assert np.isneginf(scores[:, 2]).all()  # class 2 has no training sample


@every_kind
def test_module_scores_as_the_classifier_does(name, params):
    classifier = fitted(name, params)
    if name == "knn":
        with pytest.raises(ValueError, match=r"knn: .*every other classifier has"):
            classifier.as_module()
        return
    module = classifier.as_module()
    with torch.inference_mode():
        exported = module(torch.from_numpy(queries()))
    assert exported.dtype == torch.float32
    assert_close(exported.numpy(), classifier.scores(queries()))
    assert not list(module.parameters()), "fitted arrays are buffers: nothing is left to train"


def test_unfitted_classifiers_have_neither():
    for name in ("crt", "oltr", "disalign", "temperature"):
        with pytest.raises(NotFittedError):
            make(name).as_module()
        with pytest.raises((NotFittedError, ValueError)):
            make(name).linear_form()


def test_euclidean_form_keeps_its_digits_far_from_the_origin():
    far = (X + 1000).astype(np.float32)
    classifier = make("ncm", feature="none").fit(far, Y)
    new = (X_NEW + 1000).astype(np.float32)
    with torch.inference_mode():
        exported = classifier.as_module()(torch.from_numpy(new)).numpy()
    assert_close(exported, classifier.scores(new))


def test_form_by_hand():
    form = LinearForm(np.array([[1.0, 0], [0, 2]]), np.array([0.5, 0]), center=np.array([1.0, 0]), unit=True)
    np.testing.assert_allclose(form.scores([[4, 4], [1, 0]]), [[0.6 + 0.5, 1.6], [0.5, 0]])
    np.testing.assert_allclose(form.scaled([2, 1], 1).scores([[4, 4]]), [[3.2, 2.6]])
    np.testing.assert_array_equal(form.without(np.array([True, False])).scores([[1, 0]]), [[-np.inf, 0]])


def test_every_registered_classifier_is_tried():
    assert {name for name, _ in KINDS} == set(CLASSIFIERS.names())
