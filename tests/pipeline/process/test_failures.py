"""How a command ends whatever happens: a line, a status, and the standard streams it was given."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import tempfile

import pytest

from longtail.pipeline.errors import ConfigError, FitFailed, in_words, out_of_memory
from longtail.pipeline.process.standard_streams import PLAIN, PLAIN_FORMS, prepare_streams
from tests.command_line import MAIN, failed, longtail
from tests.places import CHECKOUT

FULL = pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no /dev/full")


def command(words: list[str], *, redirect: str = "", **environment: str) -> subprocess.CompletedProcess:
    """A ``longtail`` command in a process of its own, its streams redirected as a shell does."""
    line = ["sh", "-c", f'exec "$0" "$@" {redirect}', sys.executable, "-c", MAIN, *words]
    return subprocess.run(
        line, capture_output=True, cwd=CHECKOUT, timeout=120, env={**os.environ, **environment}
    )


# -- standard streams -------------------------------------------------------------------------------------


@pytest.mark.parametrize("redirect", ["2>&-", pytest.param("2>/dev/full", marks=FULL)])
def test_standard_error_that_takes_nothing_fails_no_work(redirect):
    plain, disturbed = command(["list", "heads"]), command(["--import", "nothing_there", "list", "heads"])
    assert plain.returncode == 0 and disturbed.returncode == 2
    assert command(["list", "heads"], redirect=redirect).returncode == 0
    again = command(["--import", "nothing_there", "list", "heads"], redirect=redirect)
    assert again.returncode == 2 and again.stdout == again.stderr == b""


@FULL
def test_a_warning_for_a_full_standard_error_fails_no_work():
    code = """
import logging, sys
from longtail.pipeline import cli
plain = cli.cli.main
def main(*args, **options):
    logging.getLogger("longtail").warning("for nobody")
    return plain(*args, **options)
cli.cli.main = main
cli.main(sys.argv[1:])
"""
    line = ["sh", "-c", 'exec "$0" "$@" 2>/dev/full', sys.executable, "-c", code, "list", "heads"]
    process = subprocess.run(line, capture_output=True, cwd=CHECKOUT, timeout=120)
    assert process.returncode == 0 and b"cosine" in process.stdout


@FULL
def test_full_standard_output_is_an_error_that_names_it():
    process = command(["list", "heads"], redirect=">/dev/full")
    assert process.returncode == 1
    assert process.stderr == b"error: standard output: No space left on device\n"
    assert command(["list", "heads"], redirect=">/dev/full 2>&1").returncode == 1


@pytest.mark.parametrize("encoding", ["latin-1", "cp1252", "utf-8"])
def test_an_encoding_without_a_character_fails_no_command(encoding):
    process = command(["show", "digits_lt", "seed=-1"], PYTHONIOENCODING=encoding)
    sign = "≥" if encoding == "utf-8" else ">="
    assert process.returncode == 2
    assert process.stderr.decode(encoding) == f"error: digits_lt: seed: must be an integer {sign} 0, got -1\n"
    process = command(["list", "classifiers"], PYTHONIOENCODING=encoding)
    assert process.returncode == 0 and f"a number {sign} 0" in process.stdout.decode(encoding)


@pytest.fixture
def encoded(monkeypatch):
    """``encoded(text, encoding)``: the bytes that standard output gets of a text."""

    def encode(text: str, encoding: str) -> bytes:
        stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
        monkeypatch.setattr("sys.stdout", stream)
        prepare_streams()
        stream.write(text)
        stream.flush()
        return stream.buffer.getvalue()

    return encode


def test_characters_that_an_encoding_lacks_are_written_plainly(encoded):
    assert encoded("τ ≥ 10⁹ ─ ü", "latin-1") == "tau >= 10^9 - ü".encode("latin-1")
    assert encoded("τ ≥ ü", "utf-8") == "τ ≥ ü".encode()
    text = encoded('{"class": "日本"}', "latin-1").decode("ascii")
    assert json.loads(text) == {"class": "日本"}
    assert encoded("a\udcffb", "utf-8") == b"a\\udcffb"


def test_plain_forms_can_be_written_anywhere():
    assert all(form.isascii() and not character.isascii() for character, form in PLAIN_FORMS.items())
    with pytest.raises(UnicodeDecodeError):
        b"\xff".decode("ascii", PLAIN)


# -- failures ---------------------------------------------------------------------------------------------


def failing(monkeypatch, error: BaseException) -> None:
    """Have any command fail."""

    def fail(*args, **options):
        raise error

    monkeypatch.setattr("longtail.pipeline.cli.cli.main", fail)


def test_a_bug_is_one_line_and_a_file_with_its_traceback(monkeypatch, tmp_path):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    failing(monkeypatch, RecursionError("maximum recursion\ndepth exceeded"))
    (line,) = failed(70, "list")
    (file,) = tmp_path.iterdir()
    assert line == (
        "error: a mistake in longtail: RecursionError: maximum recursion depth exceeded "
        f"(the traceback is in {file})"
    )
    text = file.read_text()
    assert "Traceback" in text and "raise error" in text


def test_a_bug_is_one_line_where_no_file_can_be_written(monkeypatch, tmp_path):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "nothing"))
    failing(monkeypatch, AssertionError())
    (line,) = failed(70, "list")
    assert line.startswith(
        "error: a mistake in longtail: AssertionError: (its traceback could not be written"
    )
    assert line.endswith("longtail --debug shows it)")


@pytest.mark.parametrize(
    ("error", "status", "line"),
    [
        (MemoryError(), 1, "out of memory; a smaller"),
        (MemoryError("Unable to allocate 7 EiB"), 1, "out of memory: Unable to allocate 7 EiB; a smaller"),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't"), 1, "out of memory: [enforce fail]"),
        (RuntimeError("can't start new thread"), 1, "out of memory: can't start new thread; a smaller"),
        (OSError(12, "Cannot allocate memory"), 1, "out of memory: [Errno 12] Cannot"),
        (ConfigError("wrong"), 2, "wrong"),
        (FitFailed("crt: no"), 1, "crt: no"),
        (KeyboardInterrupt(), 130, "stopped"),
        (ValueError(), 1, "ValueError"),
    ],
    ids=repr,
)
def test_failures_a_person_can_act_on_have_a_line_and_a_status(monkeypatch, error, status, line):
    failing(monkeypatch, error)
    (written,) = failed(status, "list")
    assert written.startswith(f"error: {line}")


def test_other_errors_are_not_taken_for_memory():
    errors = (RuntimeError("size mismatch"), KeyError("memory"), OverflowError("too large"))
    assert [out_of_memory(error) for error in errors] == [in_words(error) for error in errors] == [None] * 3


def test_debug_shows_the_traceback(monkeypatch):
    outcome = longtail("--debug", "show", "digits_lt", "seed=-1")
    assert outcome.status == 2 and "Traceback" in outcome.err
    assert outcome.err.splitlines()[-1].startswith("error: digits_lt: seed: must be")
    assert "Traceback" not in longtail("show", "digits_lt", "seed=-1").err


@pytest.mark.parametrize(
    "words", [["seed=" + "9" * 5000], ["seed=0x" + "f" * 5000], ["a." * 3000 + "b=1"], ["seed=" + "[" * 5000]]
)
def test_overrides_that_are_too_much_are_refused(words):
    (line,) = failed(2, "show", "digits_lt", *words)
    assert "override's key must have at most 100 dots" in line or "digits" in line or "nested" in line


def test_a_label_of_5000_digits_is_refused_with_its_line(tmp_path):
    (tmp_path / "train.txt").write_text(f"a.png {'9' * 5000}\n")
    data = f"data={{name: image_list, root: {tmp_path}, train: {tmp_path / 'train.txt'}}}"
    (line,) = failed(1, "--root", tmp_path / "root", "run", "digits_lt", data)
    assert "train.txt, line 1: label must be an integer ≥ 0, got '999" in line and len(line) < 400


def test_a_list_in_json_nested_deep_is_refused(tmp_path):
    for text in ("[" * 100_000, '{"images": ' + "9" * 5000 + "}"):
        (tmp_path / "train.json").write_text(text)
        data = f"data={{name: image_list, root: {tmp_path}, train: {tmp_path / 'train.json'}}}"
        (line,) = failed(1, "--root", tmp_path / "root", "run", "digits_lt", data)
        assert "train.json: must hold images" in line and len(line) < 400
