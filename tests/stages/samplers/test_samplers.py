"""Samplers: one contract for every registered name, then what each of them promises exactly."""

import doctest
import importlib
import inspect
import random
import re
import subprocess
import sys
from decimal import Decimal, localcontext
from itertools import islice

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.data import DataLoader

from longtail.stages.samplers import SAMPLERS

COUNTS = [40, 0, 12, 5, 1]  # an empty class and a single-sample one
NEEDED = {"progressively_balanced": {"epochs": 5}, "deferred": {"start_epoch": 2}}
CASES = [(name, NEEDED.get(name, {})) for name in SAMPLERS.names()] + [
    ("class_balanced", {"samples_per_class": 1}),
    ("power", {"q": 0}),
    ("uniform_batch", {"per_class": 3}),
    ("deferred", {"start_epoch": 2, "then": {"name": "uniform_batch", "per_class": 2}}),
    ("deferred", {"start_epoch": 2, "then": {"name": "progressively_balanced", "epochs": 5}}),
]
every_name = pytest.mark.parametrize("name", SAMPLERS.names())
every_case = pytest.mark.parametrize(("name", "params"), CASES, ids=lambda value: str(value).replace(" ", ""))
counts_strategy = st.lists(st.integers(0, 9), min_size=1, max_size=6).filter(any)


def labels_of(counts, seed=0):
    return np.random.default_rng(seed).permutation(np.repeat(np.arange(len(counts)), counts))


LABELS = labels_of(COUNTS)


def make(name, labels=LABELS, num_classes=5, *, seed=0, **params):
    return SAMPLERS.create(name, labels, num_classes, seed=seed, **params)


def drawn_items(sampler, epoch=0):
    """The sequence of dataset indices drawn from each class present, as a dict."""
    stream = sampler.epoch_indices(epoch)
    return {c: stream[sampler.labels[stream] == c] for c in sampler.present}


def assert_cycles(items, members):
    """`items` walk `members` in whole shuffles, the last one possibly cut short."""
    for begin in range(0, len(items), len(members)):
        lap = items[begin : begin + len(members)].tolist()
        assert len(set(lap)) == len(lap)
        assert set(lap) <= set(members.tolist())


# -- the contract -----------------------------------------------------------------------------------------


@every_case
def test_epoch_is_a_function_of_seed_and_epoch(name, params):
    first, second = make(name, seed=3, **params), make(name, seed=3, **params)
    for epoch in (4, 0):  # another order of epochs, and drawing twice, change nothing
        second.set_epoch(epoch)
        list(second)
    for epoch in range(5):
        second.set_epoch(epoch)
        assert first.epoch_indices(epoch).tolist() == list(second) == list(second)


@every_case
def test_epochs_and_seeds_differ(name, params):
    streams = [make(name, seed=s, **params).epoch_indices(e).tolist() for s in (0, 1, 2) for e in range(4)]
    assert len({tuple(stream) for stream in streams}) == len(streams)


@every_case
def test_resume_at_any_start_equals_the_tail(name, params):
    sampler = make(name, **params)
    for epoch in (1, 3):
        sampler.set_epoch(epoch)
        whole = list(sampler)
        for start in range(len(sampler) + 1):
            sampler.set_epoch(epoch, start)
            assert list(sampler) == whole[start:]
            assert len(sampler) == len(whole)


@every_case
def test_ranks_slices_together_are_the_stream(name, params):
    ranks, start = 3, 7
    whole = make(name, **params).epoch_indices(1).tolist()
    together = [None] * (len(whole) - start)
    for rank in range(ranks):  # every process builds its own sampler
        sampler = make(name, **params)
        sampler.set_epoch(1, start)
        together[rank::ranks] = islice(iter(sampler), rank, None, ranks)
        assert together[rank::ranks] == sampler.indices()[rank::ranks].tolist()
    assert together == whole[start:]


@every_case
def test_stream_is_python_ints_in_range(name, params):
    sampler = make(name, **params)
    for epoch in range(4):
        sampler.set_epoch(epoch)
        stream = list(sampler)
        assert {type(index) for index in stream} == {int}
        assert 0 <= min(stream) <= max(stream) < len(LABELS)
        assert sampler.indices().dtype == np.int64
        assert sampler.indices().shape == (len(sampler),) == (len(stream),)


@every_case
@pytest.mark.parametrize("num_samples", [1, 30, 58, 200])
def test_num_samples_sets_the_length(name, params, num_samples):
    sampler = make(name, num_samples=num_samples, **params)
    batch = sampler.required_batch_size or 1
    assert len(sampler) == max(num_samples // batch, 1) * batch
    assert {len(sampler.epoch_indices(epoch)) for epoch in range(4)} == {len(sampler)}


@every_case
def test_epoch_is_n_draws_by_default(name, params):
    sampler = make(name, **params)
    batch = sampler.required_batch_size or 1
    assert len(sampler) == len(LABELS) // batch * batch


@every_case
def test_no_global_generator_is_touched(name, params):
    np.random.seed(5)  # noqa: NPY002
    before = np.random.get_state()[1].tolist(), torch.get_rng_state().tolist(), random.getstate()  # noqa: NPY002
    first = list(make(name, **params))
    after = np.random.get_state()[1].tolist(), torch.get_rng_state().tolist(), random.getstate()  # noqa: NPY002
    assert before == after
    np.random.seed(6)  # noqa: NPY002
    assert list(make(name, **params)) == first


@every_case
def test_probabilities_are_a_distribution_over_present_classes(name, params):
    sampler = make(name, **params)
    for epoch in range(6):
        p = sampler.class_probabilities(epoch)
        assert p.shape == (len(COUNTS),)
        assert p.dtype == np.float64
        assert p.sum() == pytest.approx(1, abs=1e-12)
        assert ((p > 0) == (np.array(COUNTS) > 0)).all()


@every_case
@pytest.mark.parametrize("epoch", [0, 2, 4])
def test_frequencies_follow_class_probabilities(name, params, epoch):
    sampler = make(name, num_samples=30_000, **params)
    n, p = len(sampler), sampler.class_probabilities(epoch)
    drawn = np.bincount(LABELS[sampler.epoch_indices(epoch)], minlength=len(COUNTS))
    five_sigma = 5 * np.sqrt(n * p * (1 - p))  # 0 for the empty class
    assert (np.abs(drawn - n * p) <= five_sigma).all()


@every_case
@pytest.mark.parametrize("epoch", [0, 4])
def test_samples_of_a_class_are_drawn_alike(name, params, epoch):
    sampler = make(name, num_samples=30_000, **params)
    for c, items in drawn_items(sampler, epoch).items():
        drawn = np.bincount(items, minlength=len(LABELS))[np.flatnonzero(c == LABELS)]
        expected = len(items) / COUNTS[c]
        assert (np.abs(drawn - expected) <= 5 * np.sqrt(expected)).all()


@every_case
def test_one_sample_in_all_is_drawn(name, params):
    sampler = make(name, [2], 4, num_samples=12, **params)
    for epoch in (0, 3):
        assert set(sampler.epoch_indices(epoch).tolist()) == {0}
        assert sampler.class_probabilities(epoch).tolist() == [0, 0, 1, 0]


@every_name
def test_tensors_and_array_likes_give_the_same_stream(name):
    params = NEEDED.get(name, {})
    expected = list(make(name, **params))
    read_only = LABELS.astype(np.int8)
    read_only.flags.writeable = False
    for labels in (LABELS.tolist(), torch.as_tensor(LABELS), read_only, LABELS.astype(np.uint64)):
        assert list(make(name, labels, **params)) == expected


@every_name
def test_labels_are_left_as_they_are(name):
    labels = LABELS.astype(np.uint8)  # the type samplers keep labels in: no copy is made
    list(make(name, labels, **NEEDED.get(name, {})))
    assert (labels == LABELS).all()


@every_name
def test_parameters_in_the_source_are_those_of_the_signature(name):
    described = SAMPLERS.describe(name)
    actual = {
        p.name: p.default
        for p in inspect.signature(SAMPLERS.get(name)).parameters.values()
        if p.kind is p.KEYWORD_ONLY
    }
    assert actual.pop("seed") is inspect.Parameter.empty
    assert actual.pop("num_samples") is None
    for fixed in described.fixed:
        actual.pop(fixed)
    assert {p.name: p.default for p in described.parameters.values()} == actual


@every_name
def test_docstring_has_summary_source_and_working_example(name):
    described = SAMPLERS.describe(name)
    assert described.summary.endswith(".")
    assert re.search(r"\b(19|20)\d\d\b", described.source)
    module = importlib.import_module(described.module)
    example = doctest.DocTestFinder(recurse=False).find(SAMPLERS.get(name), globs=vars(module))[0]
    assert example.examples
    assert doctest.DocTestRunner().run(example).failed == 0


def test_listing_samplers_loads_no_numeric_library():
    code = (
        "import sys; from longtail.stages.samplers import SAMPLERS;"
        "[SAMPLERS.describe(n) for n in SAMPLERS.names()];"
        "print({'numpy', 'torch'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"labels": []}, "labels: must be one integer a sample, shape (N,) with N ≥ 1, got shape (0,)"),
        (
            {"labels": [[0, 1]]},
            "labels: must be one integer a sample, shape (N,) with N ≥ 1, got shape (1, 2)",
        ),
        ({"labels": [0.0, 1.0]}, "labels: must be integers, got float64"),
        ({"labels": [0, 3]}, "labels: must lie in 0..2 (num_classes − 1), got 3"),
        ({"labels": [-1, 2]}, "labels: must lie in 0..2 (num_classes − 1), got -1"),
        ({"num_classes": 0}, "num_classes: must be an integer ≥ 1, got 0"),
        ({"seed": -1}, "seed: must be an integer ≥ 0, got -1"),
        ({"num_samples": 0}, "num_samples: must be an integer ≥ 1, got 0"),
        ({"num_samples": 2.5}, "num_samples: must be an integer ≥ 1, got 2.5"),
    ],
)
def test_bad_argument_is_named_with_rule_and_value(arguments, message):
    good = {"labels": [0, 1, 2], "num_classes": 3, "seed": 0}
    for name in SAMPLERS.names():
        merged = {**good, **NEEDED.get(name, {}), **arguments}
        with pytest.raises(ValueError, match=re.escape(message)):
            make(name, merged.pop("labels"), merged.pop("num_classes"), **merged)


def test_set_epoch_refuses_positions_outside_the_epoch():
    sampler = make("power")
    with pytest.raises(ValueError, match="start: must be ≤ 58, the length of an epoch, got 59"):
        sampler.set_epoch(0, 59)
    with pytest.raises(ValueError, match="start: must be an integer ≥ 0, got -1"):
        sampler.set_epoch(0, -1)
    with pytest.raises(ValueError, match="epoch: must be an integer ≥ 0, got -1"):
        sampler.set_epoch(-1)
    assert (sampler.epoch, sampler.start) == (0, 0)


# -- instance_balanced ------------------------------------------------------------------------------------


def test_instance_balanced_epoch_is_a_permutation():
    stream = make("instance_balanced").epoch_indices(0)
    assert sorted(stream.tolist()) == list(range(len(LABELS)))
    assert stream.tolist() != list(range(len(LABELS)))


def test_instance_balanced_beyond_n_is_fresh_shuffles_in_a_row():
    n = len(LABELS)
    stream = make("instance_balanced", num_samples=2 * n + 9).epoch_indices(0).tolist()
    assert sorted(stream[:n]) == sorted(stream[n : 2 * n]) == list(range(n))
    assert stream[:n] != stream[n : 2 * n]
    assert len(set(stream[2 * n :])) == 9


# -- class_balanced ---------------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(counts=counts_strategy, k=st.integers(1, 6), num_samples=st.integers(1, 120), epoch=st.integers(0, 3))
def test_class_balanced_walks_classes_and_items_in_shuffled_cycles(counts, k, num_samples, epoch):
    labels = labels_of(counts)
    sampler = make("class_balanced", labels, len(counts), num_samples=num_samples, samples_per_class=k)
    classes = labels[sampler.epoch_indices(epoch)]
    visits = classes[::k]
    assert (np.repeat(visits, k)[:num_samples] == classes).all()
    assert_cycles(visits, np.unique(labels))
    for c, items in drawn_items(sampler, epoch).items():
        assert_cycles(items, np.flatnonzero(labels == c))


def test_class_balanced_classes_differ_by_at_most_one_visit():
    sampler = make("class_balanced", num_samples=1003)
    drawn = np.bincount(LABELS[sampler.indices()], minlength=len(COUNTS))[sampler.present]
    assert sampler.samples_per_class == 4
    assert np.ptp(drawn) <= 4


def test_class_balanced_cycles_are_shuffled_afresh():
    sampler = make("class_balanced", num_samples=4000)
    laps = drawn_items(sampler)[2][: 12 * 20].reshape(20, 12)
    assert len({tuple(lap) for lap in laps.tolist()}) == 20
    visits = LABELS[sampler.indices()][::4].reshape(-1, 4)
    assert len({tuple(visit) for visit in visits.tolist()}) == 24  # every order of four classes in 250 cycles


# -- power ------------------------------------------------------------------------------------------------


def test_square_root_probabilities_are_hand_computed():
    labels = np.repeat([0, 1, 3], [16, 4, 1])
    expected = [4 / 7, 2 / 7, 0, 1 / 7]
    assert make("square_root", labels, 4).class_probabilities(0) == pytest.approx(expected, rel=1e-15)


def test_square_root_is_power_one_half():
    assert list(make("square_root")) == list(make("power", q=0.5))


def test_power_one_is_class_frequency():
    expected = np.array(COUNTS) / sum(COUNTS)
    assert make("power", q=1).class_probabilities(0) == pytest.approx(expected, rel=1e-15)


def test_power_zero_is_uniform_and_leaves_empty_classes_out():
    assert make("power", q=0).class_probabilities(0).tolist() == [0.25, 0, 0.25, 0.25, 0.25]


def test_power_of_a_large_exponent_stays_finite():
    p = make("power", np.repeat([0, 1], [100_000, 10]), 2, q=500).class_probabilities(0)
    assert p.tolist() == [1, 0]


def test_power_draws_with_replacement():
    stream = make("power", [0] * 50, 1).indices()
    assert len(set(stream.tolist())) < 50


def test_power_refuses_a_negative_exponent():
    with pytest.raises(ValueError, match=re.escape("sampler power.q: must be a number ≥ 0, got -1")):
        make("power", q=-1)


def test_power_reaches_items_above_2_to_the_24():
    n = 2**24 + 10
    labels = np.zeros(n, np.int8)
    labels[-10:] = 1
    sampler = make("power", labels, 2, num_samples=400, q=0)
    stream = sampler.indices()
    assert sorted(set(stream[stream >= 2**24].tolist())) == list(range(2**24, n))
    assert (labels[stream] == 0).sum() > 100
    assert stream[stream < 2**24].max() > 2**23


# -- effective_number -------------------------------------------------------------------------------------


def test_effective_number_of_beta_zero_is_class_frequency():
    p = make("effective_number", beta=0).class_probabilities(0)
    assert p == pytest.approx(np.array(COUNTS) / sum(COUNTS), rel=1e-15)


def test_effective_number_of_beta_near_one_is_uniform():
    p = make("effective_number", beta=float(np.nextafter(1, 0))).class_probabilities(0)
    assert p == pytest.approx([0.25, 0, 0.25, 0.25, 0.25], rel=1e-12)


@pytest.mark.parametrize("beta", [0.5, 0.9, 0.9999, 1 - 1e-7, 1 - 1e-12])
def test_effective_number_probabilities_equal_fifty_digit_arithmetic(beta):
    counts = [1_000_000, 5_000, 20, 1]
    with localcontext() as context:
        context.prec = 50
        exact = [n / ((1 - Decimal(beta) ** n) / (1 - Decimal(beta))) for n in counts]
        expected = [float(mass / sum(exact)) for mass in exact]
    sampler = make("effective_number", np.repeat(np.arange(4), counts), 4, beta=beta)
    assert sampler.class_probabilities(0) == pytest.approx(expected, rel=1e-12)


# -- progressively_balanced -------------------------------------------------------------------------------


def test_progressively_balanced_goes_from_frequency_to_uniform():
    sampler = make("progressively_balanced", epochs=5)
    frequency, uniform = np.array(COUNTS) / 58, np.array([0.25, 0, 0.25, 0.25, 0.25])
    for epoch, progress in enumerate([0, 0.25, 0.5, 0.75, 1, 1]):  # beyond the last epoch it stays
        expected = (1 - progress) * frequency + progress * uniform
        assert sampler.class_probabilities(epoch) == pytest.approx(expected, rel=1e-14)


def test_progressively_balanced_over_one_epoch_is_class_frequency():
    p = make("progressively_balanced", epochs=1).class_probabilities(0)
    assert p == pytest.approx(np.array(COUNTS) / 58, rel=1e-15)


@pytest.mark.parametrize("epoch", [0, 2, 4])
def test_progressively_balanced_walks_each_class_in_cycles(epoch):
    sampler = make("progressively_balanced", epochs=5, num_samples=500)
    for c, items in drawn_items(sampler, epoch).items():
        assert_cycles(items, np.flatnonzero(c == LABELS))


def test_progressively_balanced_needs_epochs():
    with pytest.raises(ValueError, match=r"^epochs: must be an integer ≥ 1, .*, got null$"):
        make("progressively_balanced")


# -- uniform_batch ----------------------------------------------------------------------------------------


@settings(max_examples=100, deadline=None)
@given(
    counts=counts_strategy,
    s=st.integers(1, 8),
    num_samples=st.none() | st.integers(1, 150),
    epoch=st.integers(0, 3),
)
def test_uniform_batch_composition_is_exact(counts, s, num_samples, epoch):
    labels = labels_of(counts)
    sampler = make("uniform_batch", labels, len(counts), num_samples=num_samples, per_class=s)
    present = np.unique(labels)
    size = s * len(present)
    assert sampler.batch_size == sampler.required_batch_size == size
    assert len(sampler) == max(1, (num_samples or len(labels)) // size) * size

    stream = sampler.epoch_indices(epoch)
    used = np.bincount(stream, minlength=len(labels))
    for batch in stream.reshape(-1, size):
        in_batch = np.bincount(batch, minlength=len(labels))
        for c in present:
            uses = in_batch[labels == c]
            assert uses.sum() == s
            assert np.ptp(uses) <= 1  # so none comes twice while s ≤ n, and a wrapping cycle is even
    assert all(np.ptp(used[labels == c]) <= 1 for c in present)


def test_uniform_batch_seam_of_a_cycle_repeats_no_sample():
    sampler = make("uniform_batch", np.repeat([0, 1], [1000, 5]), 2, per_class=3)
    batches = sampler.indices().reshape(-1, 6)
    rare = [batch[batch >= 1000].tolist() for batch in batches]
    assert len(rare) == 167
    assert all(len(set(batch)) == 3 for batch in rare)
    assert len({frozenset(batch) for batch in rare}) == 10  # every 3 of 5: no fixed grouping


def test_uniform_batch_shuffles_inside_a_batch():
    orders = LABELS[make("uniform_batch", num_samples=400).indices()].reshape(-1, 4)
    assert len({tuple(order) for order in orders.tolist()}) > 15


def test_uniform_batch_through_a_data_loader_keeps_its_batches():
    sampler = make("uniform_batch", per_class=2)
    loader = DataLoader(torch.as_tensor(LABELS), sampler=sampler, batch_size=sampler.required_batch_size)
    batches = [np.bincount(batch, minlength=5).tolist() for batch in loader]
    assert batches == [[2, 0, 2, 2, 2]] * 7


def test_only_uniform_batch_restricts_the_batch_size():
    needed = {name: make(name, **NEEDED.get(name, {})).required_batch_size for name in SAMPLERS.names()}
    assert {name for name, size in needed.items() if size is not None} == {"uniform_batch"}


# -- deferred ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("then", ["class_balanced", {"name": "power", "q": 0.25}])
def test_deferred_is_one_sampler_before_and_another_after(then):
    spec = {"name": then} if isinstance(then, str) else dict(then)
    sampler = make("deferred", start_epoch=2, then=then, num_samples=70)
    before, after = make("instance_balanced", num_samples=70), make(spec.pop("name"), num_samples=70, **spec)
    for epoch, expected in enumerate([before, before, after, after]):
        assert sampler.epoch_indices(epoch).tolist() == expected.epoch_indices(epoch).tolist()
        assert (sampler.class_probabilities(epoch) == expected.class_probabilities(epoch)).all()


def test_deferred_default_is_class_balanced():
    sampler = make("deferred", start_epoch=0)
    assert list(sampler) == list(make("class_balanced"))


def test_deferred_uniform_batch_keeps_one_batch_size_and_length():
    sampler = make("deferred", start_epoch=1, then={"name": "uniform_batch", "per_class": 3})
    assert sampler.required_batch_size == 12
    assert len(sampler) == 48
    assert len(set(sampler.epoch_indices(0).tolist())) == 48  # shuffled without replacement
    counts = np.bincount(LABELS[sampler.epoch_indices(1)], minlength=5)
    assert counts.tolist() == [12, 0, 12, 12, 12]


def test_deferred_progressively_balanced_counts_the_epochs_of_the_run():
    then = {"name": "progressively_balanced", "epochs": 5}
    sampler = make("deferred", start_epoch=3, then=then)
    expected = make("progressively_balanced", epochs=5).class_probabilities(3)
    assert (sampler.class_probabilities(3) == expected).all()


@pytest.mark.parametrize(
    ("then", "message"),
    [
        ("progressively_balanced", "then.epochs: must be an integer ≥ 1"),
        (
            "clas_balanced",
            "then: unknown sampler 'clas_balanced'; did you mean 'class_balanced'?",
        ),
        ({"q": 0}, "then: a component must be a name or {name, ...parameters}, got {'q': 0}"),
        ({"name": "power", "q": -1, "seed": 3}, "then.q: must be a number ≥ 0, got -1; then.seed: unknown"),
        ({"name": "deferred"}, "then.start_epoch: is required"),
    ],
)
def test_deferred_reports_problems_of_then_under_its_name(then, message):
    with pytest.raises(ValueError, match="^" + re.escape(message)):
        make("deferred", start_epoch=1, then=then)


def test_deferred_needs_a_start_epoch():
    with pytest.raises(ValueError, match=re.escape("sampler deferred.start_epoch: is required")):
        make("deferred")
