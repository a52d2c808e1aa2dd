"""Names and messages of others reach the terminal as text, whatever they hold."""

from __future__ import annotations

import json
import logging
import re
import warnings

import pytest
from click.shell_completion import ShellComplete

from longtail.pipeline.cli import cli
from longtail.pipeline.errors import in_words
from longtail.pipeline.verbs import console
from tests.command_line import SMALL, longtail, ok

HOSTILE = "\x1b[2Jé\x9b31m\u202e\r漢\x07"  # clears the screen, colours, turns the direction, overwrites
SHOWN = "\\u001b[2Jé\\u009b31m\\u202e\\u000d漢\\u0007"
OBEYED = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e]")


@pytest.mark.parametrize(
    "words",
    [
        ("show", HOSTILE),
        ("run", f"{HOSTILE}.yaml"),
        ("run", "digits_lt", f"seed='{HOSTILE}'"),
        ("run", "digits_lt", f"data.{HOSTILE}=1"),
        ("run", "digits_lt", f"representation.loss={HOSTILE}"),
        ("report", HOSTILE),
        ("report", "--split", HOSTILE),
        ("predict", "digits_lt", HOSTILE),
        ("export", "digits_lt", HOSTILE),
        ("init", HOSTILE),
        ("list", HOSTILE),
        (f"--{HOSTILE}",),
        (HOSTILE,),
        ("--import", f"{HOSTILE}.py", "list", "heads"),
    ],
)
def test_what_a_command_is_given_is_shown_and_not_obeyed(tmp_path, words):
    outcome = longtail("--root", tmp_path, *words)
    assert outcome.status in (1, 2)
    assert outcome.err and not OBEYED.search(outcome.out + outcome.err)


def test_a_configuration_is_shown_and_not_obeyed(tmp_path):
    path = tmp_path / "a.yaml"
    path.write_text(json.dumps({"data": "digits", "representation": {"loss": HOSTILE}, HOSTILE: 1}))
    outcome = longtail("run", path)
    assert outcome.status == 2 and not OBEYED.search(outcome.err) and SHOWN in outcome.err


def test_classes_and_pictures_are_shown_and_not_obeyed(tmp_path, monkeypatch):
    from PIL import Image

    monkeypatch.chdir(tmp_path)
    for name in ("a", HOSTILE):
        folder = tmp_path / "pictures" / name
        folder.mkdir(parents=True)
        for n in range(9):
            Image.new("L", (8, 8)).save(folder / f"{HOSTILE}{n}.png")
    (folder / "broken\x1b.png").write_bytes(b"not a picture")
    outcome = ok("init", "pictures")
    assert "broken\\u001b.png" in outcome.err and SHOWN in outcome.out
    assert not OBEYED.search(outcome.out + outcome.err)
    outcome = ok("show", "pictures.yaml")
    assert SHOWN in outcome.out and not OBEYED.search(outcome.out + outcome.err)


@pytest.mark.parametrize("bar", [False, True])
def test_log_and_warnings_are_shown_and_not_obeyed(capsys, monkeypatch, bar):
    if bar:
        import tqdm  # noqa: F401 - lines then leave its bar whole
    else:
        monkeypatch.delitem(console.sys.modules, "tqdm", raising=False)
    handler = console._StderrHandler()
    for level, text in ((logging.INFO, f"1 {HOSTILE}"), (logging.WARNING, f"2 {HOSTILE}")):
        handler.emit(logging.LogRecord("longtail", level, "", 0, "%s", (text,), None))
    text = warnings.formatwarning(f"3 {HOSTILE}", UserWarning, "a.py", 1, "")
    handler.emit(logging.LogRecord("py.warnings", logging.WARNING, "", 0, "%s", (text,), None))
    assert capsys.readouterr().err.splitlines() == [
        f"1 {SHOWN}", f"warning: 2 {SHOWN}", f"warning: 3 {SHOWN}",
    ]  # fmt: skip


def test_a_failure_is_cut_where_it_quotes_too_much(capsys):
    with pytest.raises(SystemExit):
        console.fail("x" * 10**6, 1)
    assert capsys.readouterr().err == f"error: {'x' * 2000}…\n"


def test_a_traceback_is_shown_and_not_obeyed(capsys, monkeypatch):
    monkeypatch.setattr(console, "_show_tracebacks", True)
    with pytest.raises(SystemExit):
        try:
            raise ValueError(HOSTILE)
        except ValueError as error:
            console.fail(str(error), 1)
    text = capsys.readouterr().err
    assert "Traceback" in text and not OBEYED.search(text)


def test_errors_of_the_system_begin_with_the_file():
    assert in_words(OSError(28, "No space left on device", "/x/DONE")) == "/x/DONE: No space left on device"
    assert in_words(OSError("text")) == "text" and in_words(ValueError("v")) == "v"


def test_names_that_a_shell_cannot_show_are_not_offered(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("é.yaml", f"a{HOSTILE}.yaml", "b\nc.yaml"):
        (tmp_path / name).touch()
    (tmp_path / f"folder{HOSTILE}").mkdir()
    shell = ShellComplete(cli, {}, "longtail", "_LONGTAIL_COMPLETE")
    offered = [item.value for item in shell.get_completions(["run"], "./")]
    assert offered == ["./é.yaml"]


def test_json_is_the_same_json(root):
    printed = ok("--root", root, "report", "--format", "json").out
    assert console.for_terminal(printed) == printed and len(json.loads(printed)) == 5
    assert SMALL  # the run that is reported
