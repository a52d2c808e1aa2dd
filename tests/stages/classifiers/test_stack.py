"""Heads trained in a stack are the heads trained alone."""

from __future__ import annotations

import numpy as np
import pytest

from longtail.pipeline.compare.sweep import run_sweep
from longtail.pipeline.store.store import Store
from longtail.pipeline.work import classifying
from longtail.stages.classifiers import CLASSIFIERS
from longtail.stages.classifiers.tools import stack as stacking
from longtail.stages.classifiers.tools.stack import fit_stack, stack_key
from longtail.stages.network import Head

GRID = [
    {"lr": lr, "momentum": momentum, "weight_decay": decay}
    for lr, momentum, decay in [
        (0.2, 0.9, 5e-4),
        (0.05, 0.9, 5e-4),
        (0.2, 0.0, 5e-4),
        (0.2, 0.9, 1e-2),
        (0.1, 0.5, 0),
    ]
]


def problem(counts=(60, 25, 8, 1), d=6, seed=0):
    rng = np.random.default_rng(seed)
    y = np.repeat(np.arange(len(counts)), counts)
    return (rng.normal(size=(len(y), d)) + rng.normal(size=(len(counts), d))[y]).astype(np.float32), y


def heads(**shared):
    return [
        CLASSIFIERS.create("crt", solver="sgd", batch_size=32, epochs=4, random_state=3, **{**p, **shared})
        for p in GRID
    ]


@pytest.mark.parametrize("validated", [False, True])
@pytest.mark.parametrize("sampler", ["class_balanced", "progressively_balanced"])
@pytest.mark.parametrize("viewed", [False, True])
def test_a_head_in_a_stack_is_the_head_alone(validated, sampler, viewed):
    X, y = problem()
    extra = {"validation": problem(seed=1)} if validated else {}
    if viewed:
        extra["views"] = [problem(seed=s)[0] for s in (2, 3)]
    alone = [e.fit(X, y, **extra) for e in heads(sampler=sampler)]
    stacked = heads(sampler=sampler)
    fit_stack(stacked, X, y, **extra)
    for one, other in zip(alone, stacked, strict=True):
        np.testing.assert_allclose(other.head_.weight, one.head_.weight, atol=1e-5)
        np.testing.assert_allclose(other.head_.bias, one.head_.bias, atol=1e-5)
        assert other.best_epoch_ == one.best_epoch_
        np.testing.assert_array_equal(other.classes_, one.classes_)
        np.testing.assert_array_equal(other.class_counts_, one.class_counts_)


def test_absent_classes_take_no_part_in_a_stack():
    X, y = problem((30, 20, 10))
    head = Head(np.zeros((5, 6)), np.zeros(5))
    alone = [e.fit(X, y, head=head) for e in heads()]
    stacked = heads()
    fit_stack(stacked, X, y, head=head)
    for one, other in zip(alone, stacked, strict=True):
        np.testing.assert_allclose(other.scores(X)[:, :3], one.scores(X)[:, :3], atol=1e-4)
        assert np.isneginf(other.scores(X)[:, 3:]).all()


def test_groups_that_fit_the_cache_give_the_same_heads(monkeypatch):
    X, y = problem()
    whole, split = heads(), heads()
    fit_stack(whole, X, y)
    monkeypatch.setattr(stacking, "STACK_BYTES", 2 * 32 * 4 * 4)  # two heads at a time
    fit_stack(split, X, y)
    for one, other in zip(whole, split, strict=True):
        np.testing.assert_allclose(other.head_.weight, one.head_.weight, atol=1e-6)


def test_only_heads_that_share_batches_are_stacked():
    def key(**params):
        return stack_key(CLASSIFIERS.create("crt", random_state=0, **{"solver": "sgd", **params}))

    assert key(lr=0.1) == key(weight_decay=1e-2) == key(momentum=0.5) != None  # noqa: E711
    assert len({key(), key(batch_size=64), key(epochs=3), key(sampler="square_root")}) == 4
    assert key(solver="lbfgs") is None
    assert stack_key(CLASSIFIERS.create("ncm")) is None


def test_a_diverging_head_is_named(recwarn):
    X, y = problem()
    with pytest.raises(ValueError, match=r"crt: training diverged in epoch \d; lower lr \(1e\+30\)"):
        fit_stack([CLASSIFIERS.create("crt", solver="sgd", lr=1e30, random_state=0)], X * 1e8, y)


def test_a_sweep_stacks_what_it_can_and_finds_what_single_fits_find(digits, store, tmp_path, monkeypatch):
    config = digits("sweep=[{name: crt, solver: sgd, lr: [0.05, 0.2], weight_decay: [1e-4, 1e-2]}, ncm]")
    stacked = run_sweep(config, store)
    calls = []
    together = classifying.fit_together
    monkeypatch.setattr(
        classifying, "fit_together", lambda *a, **k: (calls.append(len(a[2])), together(*a, **k))[1]
    )
    run_sweep(config, Store(tmp_path / "again"))
    assert calls == [4]
    monkeypatch.setattr(classifying, "stacks", lambda config, specs: [[spec] for spec in specs])
    alone = run_sweep(config, Store(tmp_path / "alone"))
    for one, other in zip(stacked.trials, alone.trials, strict=True):
        assert one["run"] == other["run"]
        assert one["metrics"]["val"]["accuracy"] == pytest.approx(
            other["metrics"]["val"]["accuracy"], abs=0.011
        )
