"""Words that messages share."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import pytest

from longtail.stages.wording import (
    as_written,
    counted,
    excerpt,
    file_kind,
    for_terminal,
    listed,
    looked_for,
    printable,
    searched,
)


@pytest.mark.parametrize(
    ("items", "options", "text"),
    [
        ([], {}, ""),
        ("abcde", {}, "a, b, c, d, e"),
        (range(7), {}, "0, 1, 2, 3, 4 and 2 more"),
        (range(7), {"shown": 2}, "0, 1 and 5 more"),
        ("ab", {"total": 9, "shown": 2}, "a, b and 7 more"),
    ],
)
def test_a_list_names_the_first_few_and_counts_the_rest(items, options, text):
    assert listed(items, **options) == text


@pytest.mark.parametrize(
    ("arguments", "text"),
    [((1, "epoch"), "1 epoch"), ((0, "epoch"), "0 epochs"), ((2, "class", "classes"), "2 classes")],
)
def test_a_number_agrees_with_its_noun(arguments, text):
    assert counted(*arguments) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(True, "true"), (False, "false"), (None, "null"), (1, "1"), ("no", "'no'"), ([True], "[True]")],
)
def test_a_setting_is_shown_as_it_is_written(value, text):
    assert as_written(value) == text


def test_a_path_that_leads_nowhere_is_shown_in_full(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    assert looked_for("gone") == f"'gone' ({os.getcwd()}/gone, which is not there)"
    assert looked_for("file") == f"'file' ({os.getcwd()}/file, which is a file)"
    (tmp_path / "link").symlink_to("gone")
    os.mkfifo(tmp_path / "fifo")
    assert looked_for("link") == f"'link' ({os.getcwd()}/link, which is a link to nothing)"
    assert looked_for("fifo") == f"'fifo' ({os.getcwd()}/fifo, which is a FIFO)"
    assert searched([Path("data"), Path("/x")]) == f"data, /x; relative ones start in {os.getcwd()}"
    assert searched([Path("/x"), Path("/y")]) == "/x, /y"
    assert looked_for("/gone") == "'/gone' (which is not there)"
    assert looked_for("~/no such") == f"'~/no such' ({os.path.expanduser('~')}/no such, which is not there)"


@pytest.mark.parametrize(
    ("mode", "words"),
    [
        (stat.S_IFREG, "a file"),
        (stat.S_IFDIR, "a folder"),
        (stat.S_IFSOCK, "a socket"),
        (stat.S_IFBLK, "a device"),
        (stat.S_IFCHR | 0o644, "a device"),
    ],
)
def test_kinds_of_files_have_names(mode, words):
    assert file_kind(mode) == words


def test_a_long_text_is_cut_short():
    assert excerpt("abc", 3) == "abc" and excerpt("abcd", 3) == "abc…" and excerpt(10**50) == f"{10**39}…"


OBEYED = [
    "\x00",
    "\a",
    "\b",
    "\r",
    "\x1b",
    "\x7f",
    "\x85",
    "\x9b",
    "\u202e",
    "\u2066",
    "\u200f",
    "\u2028",
    "\udc80",
]


@pytest.mark.parametrize("character", OBEYED)
def test_what_a_terminal_would_obey_is_escaped(character):
    assert for_terminal(f"a{character}b") == f"a\\u{ord(character):04x}b"
    assert json.loads(for_terminal(json.dumps([character], ensure_ascii=False))) == [character]


@pytest.mark.parametrize(
    "text", ["é", "漢字", "👩\u200d🔬", "می\u200cخواهم", "a\u00a0b", "→ ± ─ ✓", "a\tb\nc", "\\x1b", "\u0301"]
)
def test_what_can_be_read_stays(text):
    assert for_terminal(text) == text


def test_a_name_stays_on_its_line():
    assert printable("a\nb\tc\x1b\udcffé") == "a\\u000ab\\u0009c\\u001b?é"
