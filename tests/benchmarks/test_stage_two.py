"""Stage two at the size of the papers' data sets: ratios, each measured in one run, and memory."""

from __future__ import annotations

import multiprocessing
import tempfile
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.neighbors import NearestCentroid

from longtail.stages.classifiers import CLASSIFIERS
from longtail.stages.classifiers.tools import frozen_logits
from longtail.stages.classifiers.tools.paths import tau_path
from longtail.stages.data.profiles import class_counts
from longtail.stages.network import Head
from tests.benchmarks.measuring import best, most_anonymous, report, rivals

pytestmark = [pytest.mark.bench, pytest.mark.timeout(1800)]
SEED = 0
IMAGENET = {"N": 115_846, "D": 512, "C": 1000}


def long_tailed(count: int, classes: int, factor: float) -> np.ndarray:
    """Labels (count,) of an exponential profile."""
    shares = class_counts("exponential", classes, 10**6, factor)
    sizes = np.maximum(shares * count // shares.sum(), 1)
    sizes[0] += count - sizes.sum()
    return np.repeat(np.arange(classes), sizes)


def features(count: int, width: int) -> np.ndarray:
    return np.random.default_rng(SEED).standard_normal((count, width), dtype=np.float32)


@pytest.fixture(scope="module")
def imagenet():
    """Random features of ImageNet-LT's size with stage one's head: X, y, head."""
    rng = np.random.default_rng(1)
    X, y = features(IMAGENET["N"], IMAGENET["D"]), long_tailed(IMAGENET["N"], IMAGENET["C"], 256)
    weight = rng.standard_normal((IMAGENET["C"], IMAGENET["D"])) * rng.uniform(0.5, 2, (IMAGENET["C"], 1))
    return X, y, Head(weight.astype(np.float32) / 20, np.zeros(IMAGENET["C"], np.float32))


def test_exact_tau_path_over_its_product_and_over_a_grid(imagenet):
    X, _, head = imagenet
    X, weight = X[:20_000], head.weight
    y = np.random.default_rng(2).integers(0, IMAGENET["C"], len(X))
    norms = np.linalg.norm(weight, axis=1, keepdims=True)

    def product() -> None:
        (X @ weight.T).argmax(1)

    def grid() -> None:
        for tau in np.linspace(0, 1, 21):
            ((X @ (weight / norms**tau).T).argmax(1) == y).mean()

    ratio = 1 / rivals(lambda: tau_path(X, y, weight), product)
    report("exact τ path over its matrix product and one argmax", ratio)
    faster = rivals(lambda: tau_path(X, y, weight), grid, rounds=2)
    report("a 21-point grid of products over the exact τ path", faster)
    assert ratio < 3 and faster > 6


def test_lws_on_logits_over_lws_through_features(imagenet, monkeypatch):
    X, y, head = imagenet

    def fit(resident: int) -> None:
        monkeypatch.setattr(frozen_logits, "RESIDENT_BYTES", resident)
        CLASSIFIERS.create("lws").fit(X, y, head=head)

    ratio = rivals(lambda: fit(2**31), lambda: fit(0), rounds=1)
    report("LWS through features over LWS on logits", ratio)
    assert ratio > 1.5


def test_crt_by_sgd_over_its_matrix_products(imagenet):
    X, y, head = imagenet
    batch, W = torch.from_numpy(X[:512]), torch.from_numpy(head.weight)

    def products() -> None:
        for _ in range(100):
            logits = batch @ W.T
            logits.T @ batch

    rate = 100 * 4 * 512 * IMAGENET["D"] * IMAGENET["C"] / best(products, 3)
    limit = 10 * 4 * IMAGENET["N"] * IMAGENET["D"] * IMAGENET["C"] / rate
    took = best(lambda: CLASSIFIERS.create("crt", solver="sgd", random_state=0).fit(X, y, head=head), 1)
    report("cRT by sgd, 10 epochs, over its matrix-product limit", took / limit)
    report("  measured GEMM rate", rate / 1e9, " GFLOP/s")
    assert took < 2.5 * limit


def test_ncm_over_scikit_learns_nearest_centroid(imagenet):
    X, y, head = imagenet
    asked, y = X[:20_000], np.random.default_rng(4).permutation(y)  # NearestCentroid gathers class by class

    def ours() -> None:
        CLASSIFIERS.create("ncm", feature="none").fit(X, y, head=head).predict(asked)

    ratio = rivals(ours, lambda: NearestCentroid().fit(X, y).predict(asked), rounds=5)
    report("NearestCentroid over NCM, fit and predict", ratio)
    fitting = rivals(
        lambda: CLASSIFIERS.create("ncm", feature="none").fit(X, y, head=head),
        lambda: NearestCentroid().fit(X, y),
        rounds=5,
    )
    report("NearestCentroid over NCM, fit alone (predicting is one matrix product for both)", fitting)
    assert ratio > 1.3 and fitting > 3


# -- memory -------------------------------------------------------------------------------------------------


def _inaturalist(send, folder: str) -> None:
    """NCM and the τ path on a float16 map of iNaturalist's size; the most anonymous memory, GiB, of each."""
    count, width, classes, asked = 437_513, 2048, 8142, 24_426
    path, rng = Path(folder) / "X.npy", np.random.default_rng(0)
    X = np.lib.format.open_memmap(path, "w+", np.float16, (count, width))
    for start in range(0, count, 16_384):
        X[start : start + 16_384] = rng.standard_normal((min(16_384, count - start), width), np.float32)
    X.flush()
    del X
    X, y = np.load(path, mmap_mode="r"), long_tailed(count, classes, 500)
    weight = rng.standard_normal((classes, width), np.float32)
    labels = rng.integers(0, classes, asked)

    def in_gib(task) -> tuple[float, float]:
        most, seconds = most_anonymous(task)
        return most / 2**20, seconds

    work = {
        "NCM": lambda: CLASSIFIERS.create("ncm").fit(X, y, head=Head(weight, None)).predict(X[:asked]),
        "exact τ path": lambda: tau_path(X[:asked], labels, weight),
    }
    send.send({what: in_gib(task) for what, task in work.items()})


def test_inaturalists_size_fits_into_three_gibibytes():
    context = multiprocessing.get_context("spawn")
    receive, send = context.Pipe(duplex=False)
    with tempfile.TemporaryDirectory() as folder:
        process = context.Process(target=_inaturalist, args=(send, folder))
        process.start()
        measured = receive.recv()
        process.join()
    for what, (gib, seconds) in measured.items():
        report(f"{what}, iNaturalist's size: anonymous memory", gib, f" GiB, {seconds:.0f} s")
        assert gib < 3
