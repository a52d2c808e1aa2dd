"""Limits of the shot groups that `init` proposes: no group is empty where that is possible."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from longtail.pipeline.config.sections import Evaluation
from longtail.pipeline.init.thresholds import thresholds
from longtail.stages.metrics.shots import GROUPS, shot_group


def group_sizes(counts: list[int], many: int, few: int) -> list[int]:
    groups = [shot_group(count, many, few) for count in counts]
    return [groups.count(group) for group in GROUPS]


@pytest.mark.parametrize(
    ("counts", "many", "few", "sizes"),
    [
        ((150, 50, 15), 100, 20, [1, 1, 1]),
        ((90, 50, 15), 50, 50, [1, 1, 1]),
        ((900, 500, 200, 150, 120, 110), 200, 150, [2, 2, 2]),
        ((22, 6, 1, 1), 6, 6, [1, 1, 2]),
        ((30, 8, 1, 1), 8, 8, [1, 1, 2]),
        ((150, 120, 15), 120, 120, [1, 1, 1]),
        ((150, 15), 100, 20, [1, 0, 1]),
        ((30, 1), 15, 15, [1, 0, 1]),
        ((2, 1), 2, 2, [0, 1, 1]),
        ((9, 9), 9, 9, [0, 2, 0]),
        ((1, 1, 1, 2, 3), 2, 2, [1, 1, 3]),
        ((5, 5, 5, 5, 4, 3), 4, 4, [4, 1, 1]),
    ],
)
def test_limits_of_known_counts(counts, many, few, sizes):
    assert thresholds(counts)[:2] == (many, few)
    assert group_sizes(counts, many, few) == sizes


def check(counts: list[int]) -> None:
    """What holds for any counts: valid settings, as many groups as there can be, a reason that is true."""
    many, few, why = thresholds(counts)
    Evaluation(many=many, few=few)
    sizes, distinct = group_sizes(counts, many, few), sorted(set(counts))
    if len(distinct) > 2:
        assert all(sizes)
    elif len(distinct) == 2:
        assert sizes[2] and (sizes[0] or distinct[1] == distinct[0] + 1)
    if "literature" not in why:
        assert why.startswith(
            f"Of {len(counts)} classes {sizes[0]} many, {sizes[1]} medium, {sizes[2]} few: "
        )
        assert ("group stays empty" in why) == (not all(sizes))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(1, 400) | st.integers(1, 4), min_size=2, max_size=40))
def test_no_group_is_empty_where_that_is_possible(counts):
    check(counts)


@pytest.mark.parametrize("classes", [2, 3, 100, 1000, 10_000])
def test_no_group_is_empty_for_long_tails_of_any_length(classes):
    check(np.random.default_rng(classes).pareto(1.2, classes).astype(int).clip(0, 10**6).__add__(1).tolist())
