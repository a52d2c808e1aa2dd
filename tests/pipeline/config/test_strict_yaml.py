"""YAML 1.2's core schema: what it reads, what it refuses, and that what it writes it reads back."""

from __future__ import annotations

import math
import os

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from longtail.pipeline.config.strict_yaml import (
    MOST_ALIASES,
    MOST_BYTES,
    MOST_DEPTH,
    MOST_DIGITS,
    MOST_VALUES,
    dump,
    load,
)
from longtail.pipeline.errors import ConfigError
from tests.counted_work import at_most


def same(one, other) -> bool:
    """Equal in value, type, order and sign of zero."""
    return repr(one) == repr(other)


def refusal(text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        load(text, "my.yaml")
    message = str(caught.value)
    assert message.startswith("my.yaml: ") and "\n" not in message
    return message


# -- scalars ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0", 0), ("-7", -7), ("+7", 7), ("007", 7),
        ("0o17", 15), ("0x1F", 31), ("0xff", 255),
        ("1e-3", 0.001), ("1E+3", 1000.0), ("5e-4", 0.0005), ("4e-06", 4e-6), ("1.", 1.0), (".5", 0.5),
        ("-1.5e2", -150.0), ("-0.0", -0.0),
        (".inf", math.inf), ("-.INF", -math.inf), ("+.Inf", math.inf), (".nan", math.nan), (".NaN", math.nan),
        ("true", True), ("True", True), ("TRUE", True), ("false", False), ("False", False), ("FALSE", False),
        ("~", None), ("null", None), ("Null", None), ("NULL", None), ("", None),
    ],
)  # fmt: skip
def test_plain_scalar_follows_the_core_schema(text, value):
    assert same(load(f"a: {text}"), {"a": value})


@pytest.mark.parametrize(
    "text",
    ["no", "No", "yes", "YES", "on", "off", "y", "n", "tRUE", "nULL", "1_000", "0b11", "0O17", "-0x1F",
     "-0o17", "1:30", "12:30:45", "2001-12-14", "1.2.3", "1e", "e3", ".", "+", "inf", "nan", "=", "<<"],
)  # fmt: skip
def test_plain_scalar_of_no_other_kind_is_a_string(text):
    assert load(f"a: {text}") == {"a": text}


@pytest.mark.parametrize("text", ["1", "1e-3", "true", "null", "~", ".inf", "0x1F", ""])
@pytest.mark.parametrize("quote", ["'", '"'])
def test_quoted_scalar_stays_a_string(text, quote):
    assert load(f"a: {quote}{text}{quote}") == {"a": text}


def test_block_scalar_stays_a_string():
    assert load("a: |-\n  1\nb: >-\n  true\n") == {"a": "1", "b": "true"}


def test_merge_key_is_an_ordinary_key():
    assert load("a: &a {x: 1}\nb:\n  <<: *a\n") == {"a": {"x": 1}, "b": {"<<": {"x": 1}}}


def test_alias_repeats_its_anchor_as_an_independent_copy():
    loaded = load("a: &a {x: [1]}\nb: *a\n")
    assert loaded == {"a": {"x": [1]}, "b": {"x": [1]}}
    loaded["a"]["x"].append(2)
    assert loaded["b"] == {"x": [1]}


@pytest.mark.parametrize("text", ["", "# only a comment\n", "---\n"])
def test_empty_document_is_null(text):
    assert load(text) is None


def test_number_of_too_many_digits_is_refused_with_its_line():
    for digits in ("9" * 5000, "0x" + "f" * 5000, "0." + "1" * 5000):
        assert f"line 2: a number must have at most {MOST_DIGITS} digits" in refusal(f"a: 1\nb: {digits}\n")
    assert load("9" * MOST_DIGITS) == 10**MOST_DIGITS - 1


# -- refusals -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "line", "key"),
    [("a: 1\nb: 2\na: 3\n", 3, "a"), ("o: {x: 1, 'x': 1}\n", 1, "x"), ("l:\n- k: 1\n  k: 1\n", 3, "k")],
)
def test_duplicate_key_is_refused_with_its_line(text, line, key):
    assert refusal(text) == f"my.yaml: line {line}: duplicate key {key!r}"


@pytest.mark.parametrize(
    ("text", "shown"),
    [("1: a", "1"), ("null: a", "None"), ("true: a", "True"), ("1.5: a", "1.5"), ("? [x]\n: a", "['x']")],
)
def test_key_that_is_no_string_is_refused(text, shown):
    assert refusal(text) == f"my.yaml: line 1: keys must be strings, got {shown}"


def test_key_that_only_looks_like_a_boolean_is_a_string():
    assert load("no: 1\non: 2\n'1': 3\n") == {"no": 1, "on": 2, "1": 3}


@pytest.mark.parametrize(
    "tagged",
    ["!!python/object/apply:os.mkdir [{path}]", "!!python/object/new:os.mkdir [{path}]",
     "!!python/name:os.system", "!!python/module:antigravity", "!!binary aGk=", "!!str 1", "!!float 1",
     "!!set {{a}}", "!!timestamp 2001-12-14", "!foo 1", "! 1", "!<tag:yaml.org,2002:int> 1"],
)  # fmt: skip
def test_tag_is_refused_and_runs_nothing(tagged, tmp_path):
    path = tmp_path / "made-by-a-config"
    message = refusal("seed: 0\na:\n- " + tagged.format(path=path) + "\n")
    assert message.startswith("my.yaml: line 3: tags are not allowed, got ")
    assert not path.exists()


def test_tag_directive_does_not_smuggle_a_tag_in(tmp_path):
    path = tmp_path / "made-by-a-config"
    text = f"%TAG ! tag:yaml.org,2002:python/object/apply:\n---\n!os.mkdir [{path}]\n"
    assert "tags are not allowed" in refusal(text)
    assert not path.exists()


def bomb(width: int, depth: int) -> str:
    lines = ["a0: &a0 boom"]
    for n in range(1, depth):
        lines.append(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * width)}]")
    return "\n".join(lines)


def test_alias_bomb_within_the_alias_limit_is_refused_with_little_work():
    text = bomb(9, 12)  # 99 aliases, 9^11 strings
    assert text.count("*") <= MOST_ALIASES
    with at_most(10**6):
        assert f"more than {MOST_VALUES} values once aliases are expanded" in refusal(text)


def test_alias_bomb_with_many_aliases_is_refused_with_little_work():
    text = bomb(100, 50)
    with at_most(50_000):
        assert f"more than {MOST_ALIASES} aliases" in refusal(text)


def test_aliases_up_to_the_limit_are_read():
    def text(count: int) -> str:
        return "a: &a 1\nb: [" + ", ".join(["*a"] * count) + "]"

    assert load(text(MOST_ALIASES))["b"] == [1] * MOST_ALIASES
    assert "aliases" in refusal(text(MOST_ALIASES + 1))


@pytest.mark.parametrize("text", ["a: &x [*x]", "a: &x {b: *x}", "&x a: &y [1, {b: [*y]}]", "&x [[[*x]]]"])
def test_alias_that_contains_itself_is_refused(text):
    assert refusal(text) == "my.yaml: line 1: an alias contains itself"


def test_alias_to_an_unknown_anchor_is_refused_with_its_line():
    assert refusal("a: 1\nb: *gone\n") == "my.yaml: line 2: found undefined alias 'gone'"


@pytest.mark.parametrize("piece", ["[", "{a: ", "- ", "? "])
def test_deep_nesting_is_refused_with_little_work(piece):
    with at_most(150_000):
        assert refusal(piece * 100_000) == f"my.yaml: line 1: nested more than {MOST_DEPTH} deep"


def test_nesting_up_to_the_limit_is_read():
    assert load("[" * MOST_DEPTH + "]" * MOST_DEPTH) is not None
    assert "deep" in refusal("[" * (MOST_DEPTH + 1) + "]" * (MOST_DEPTH + 1))


def test_nesting_made_deep_by_aliases_is_refused():
    deep = "[" * 90 + "{}" + "]" * 90
    lines = ["- &a0 " + deep.format("1"), *(f"- &a{n} " + deep.format(f"*a{n - 1}") for n in range(1, 90))]
    assert refusal("\n".join(lines)) == "my.yaml: is nested too deeply"


def test_more_values_than_the_limit_are_refused_with_little_work():
    with at_most(10**7):  # the whole of it would take a hundred million
        assert f"more than {MOST_VALUES} values" in refusal("[" + "1," * (MOST_BYTES // 2 - 1) + "]")
    assert len(load("[" + "1," * (MOST_VALUES - 1) + "]")) == MOST_VALUES - 1


def test_text_over_the_size_limit_is_refused_unread():
    assert refusal("a: b # " + "x" * MOST_BYTES) == f"my.yaml: must be at most {MOST_BYTES} bytes"
    assert "bytes" in refusal("# " + "é" * (MOST_BYTES // 2))  # bytes, not characters
    assert load("a: b # " + "x" * (MOST_BYTES - 10)) == {"a": "b"}


def test_several_documents_are_refused_with_the_line_of_the_second():
    assert refusal("a: 1\n---\nb: 2\n") == "my.yaml: line 2: but found another document"


@pytest.mark.parametrize(
    ("text", "line"),
    [("a: 1\nb: [1, 2\n", 3), ("a: 1\n\tb: 2\n", 2), ("a: b: c\n", 1), ("a: 'x\n", 2), ("a: 1\n  b: 2\n", 2)],
)
def test_malformed_text_is_refused_on_one_line_with_its_number(text, line):
    assert f"my.yaml: line {line}: " in refusal(text)


@pytest.mark.parametrize("text", ["\0", "a: \x07", "a: \ud800"])
def test_unprintable_character_is_refused_on_one_line(text):
    assert "character" in refusal(text)


# -- writing ------------------------------------------------------------------------------------------------

AWKWARD = [
    "", " ", "no", "yes", "on", "null", "Null", "~", "true", "1", "-1", "1e-3", "4e-06", "0o17", "0x1F",
    ".inf", ".nan", "1_000", "1:30", "2001-12-14", "=", "<<", "- a", "a: b", "#", "a #b", "&a", "*a", "!a",
    "|", ">", "%a", "@", "`", "?", "? a", "---", "...", "a\nb", "a\n", "\n", "\t", "a\r\nb", "'", '"', "\\",
    "\x85", "a\x85b", "\u2028", "a\u2029", "\ufeff", "\x00", "\x7f", "é", "\U0001f600", "{", "[a", "a,b",
    " a ", "x" * 300 + " y",
]  # fmt: skip
TEXT = st.text() | st.sampled_from(AWKWARD)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=200, deadline=None, database=None)
@given(VALUES)
@example(AWKWARD)
@example({text: text for text in AWKWARD})
@example([4e-6, 1e16, 1e22, 5e-324, -0.0, 0.1 + 0.2, math.inf, -math.inf, 1.0])
@example([[], {}, [[]], {"a": {}, "b": []}])
def test_dump_then_load_gives_the_same_value(value):
    assert same(load(dump(value)), value)


def test_dump_of_not_a_number_is_read_back():
    assert math.isnan(load(dump([math.nan]))[0])


def test_dump_writes_a_repeated_object_out_each_time():
    shared = {"x": 1}
    assert dump([shared, shared]) == "- x: 1\n- x: 1\n"


def test_dump_refuses_what_yaml_has_no_word_for():
    with pytest.raises(Exception, match="cannot represent"):
        dump({"a": os})
