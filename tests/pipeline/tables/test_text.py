"""Cells as text, by hand."""

from __future__ import annotations

import csv
import io
import statistics

import pytest

from longtail.pipeline.tables.spread import spread
from longtail.pipeline.tables.text import aligned_table, csv_text, json_text, markdown_table

LINES = [["classifier", "few"], ["ncm", "9.0"], ["joint (linear)", "–"]]


def test_columns_of_a_table_are_aligned_the_first_to_the_left():
    assert aligned_table(LINES).splitlines() == [
        "classifier      few",
        "─" * 19,
        "ncm             9.0",
        "joint (linear)    –",
    ]


def test_a_markdown_cell_neither_ends_early_nor_opens_a_tag():
    assert markdown_table([["class", "n"], ["a|b<i>", "1"]]).splitlines() == [
        "",
        "| class | n |",
        "|---|---:|",
        "| a\\|b\\<i> | 1 |",
    ]


def test_csv_is_read_back_with_undefined_cells_empty():
    text = csv_text([["name", "few"], ['a "quoted", name\nof two lines', None], ["b", 0.5]])
    assert not text.endswith("\n")
    assert list(csv.reader(io.StringIO(text))) == [
        ["name", "few"],
        ['a "quoted", name\nof two lines', ""],
        ["b", "0.5"],
    ]


FORMULAS = (
    "=1+1",
    "=cmd|' /C calc'!A0",
    "+1+1",
    "-1+1",
    "-a",
    "−1+1",
    "@SUM(A1)",
    "\t=1",
    "\n=1",
    "＝1",
    "=",
    "-",
)


@pytest.mark.parametrize("text", FORMULAS)
def test_a_csv_cell_that_a_spreadsheet_would_compute_is_text(text):
    lines = csv.reader(io.StringIO(csv_text([["class"], [text]]), newline=""))
    assert list(lines) == [["class"], [f"'{text}"]]


@pytest.mark.parametrize(
    ("cell", "written"),
    [
        (-0.25, "-0.25"), (-3, "-3"), (-1e-07, "-1e-07"), ("-0.25", "-0.25"), ("-1.5e-07", "-1.5e-07"),
        ("+.5", "+.5"), ("a=1", "a=1"), (" =1", " =1"), ("'=1", "'=1"), ("", '""'), (None, '""'),
        ("\r=1", "\\u000d=1"), ("a\r=1", "a\\u000d=1"),
    ],
)  # fmt: skip
def test_a_csv_cell_that_is_a_number_or_plain_text_stays(cell, written):
    assert csv_text([[cell]]) == written


def test_json_refuses_what_json_does_not_have():
    assert json_text({"é": None}) == '{\n "é": null\n}'
    with pytest.raises(ValueError, match="not JSON compliant"):
        json_text([float("nan")])


@pytest.mark.parametrize(
    ("values", "text"),
    [([0.5, 0.7, None], "60.0 ± 14.1 (2)"), ([0.25], "25.0"), ([None, None], "–"), ([], "–")],
)
def test_a_spread_leaves_out_what_is_undefined(values, text):
    result, known = spread(values), [value for value in values if value is not None]
    assert result.percent() == text and result.n == len(known)
    assert result.std == (pytest.approx(statistics.stdev(known)) if len(known) > 1 else None)


def test_a_spread_has_the_digits_and_the_break_asked_for():
    assert spread([0.5, 0.7]).percent(2, between="\n") == "60.00\n± 14.14 (2)"
