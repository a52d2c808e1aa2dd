"""The program as a whole: bad input, pipes and signals."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from tests.command_line import (
    CLASSIFIERS,
    MAIN,
    SMALL,
    failed,
    in_process,
    longtail,
    ok,
)
from tests.places import CHECKOUT

# -- bad input -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments",
    [["trian"], ["--root", "r"], ["run"], ["show"], ["run", "digits_lt", "--bad"], ["list", "cats"],
     ["run", "digits_lt", "--format", "xml"], ["run", "digits_lt", "--split", "train"],
     ["--root", "/etc/passwd", "report"]],
)  # fmt: skip
def test_bad_usage_exits_with_2(arguments):
    lines = failed(2, *arguments)
    assert lines[0].startswith("Usage: longtail")
    assert lines[-1].startswith("Error: ")


def test_no_verb_prints_the_help_and_exits_with_2():
    assert "Commands:" in failed(2)


def test_every_problem_of_a_config_is_one_line(tmp_path):
    lines = failed(
        2,
        "--root",
        tmp_path / "r",
        "run",
        "digits_lt",
        "seed=-1",
        "sed=2",
        "classifiers=[crtt]",
        "evaluation.few=90",
    )
    assert sorted(lines) == [
        "error: digits_lt: classifiers.0: unknown classifier 'crtt'; did you mean 'crt'?",
        "error: digits_lt: evaluation.few: must be ≤ evaluation.many (50), got 90",
        "error: digits_lt: sed: unknown key; did you mean 'seed'?",
        "error: digits_lt: seed: must be an integer ≥ 0, got -1",
    ]
    assert not (tmp_path / "r").exists()


@pytest.mark.parametrize("verb", ["run", "joint", "represent", "extract", "classify", "show"])
def test_unknown_config_is_one_line_for_every_verb(tmp_path, verb):
    (line,) = failed(2, "--root", tmp_path, verb, "digits_tl")
    assert line.endswith("did you mean 'digits_lt'?")


def test_show_of_an_unknown_id_is_refused(tmp_path):
    assert failed(1, "--root", tmp_path, "show", "deadbeef") == [
        f"error: deadbeef: no id under {tmp_path} begins with it"
    ]


@pytest.mark.parametrize("recipe", ["features", "image_folder"])
@pytest.mark.parametrize("verb", ["run", "extract"])
def test_missing_data_is_one_line_and_leaves_nothing(tmp_path, verb, recipe):
    (line,) = failed(1, "--root", tmp_path / "r", verb, recipe, f"data.root={tmp_path}/gone")
    assert line.startswith("error: data.root: ") and f"{tmp_path}/gone" in line
    assert not (tmp_path / "r").exists()


def test_represent_of_features_says_there_is_nothing_to_train(tmp_path):
    np.savez(tmp_path / "f.npz", X=np.zeros((4, 2), np.float32), y=np.arange(4) % 2)
    (line,) = failed(1, "--root", tmp_path / "r", "represent", "features", f"data.root={tmp_path}/f.npz")
    assert "nothing to train" in line


def test_data_that_cannot_be_split_as_asked_is_one_line(tmp_path):
    *_, line = failed(1, "--root", tmp_path, "run", *SMALL, "data.max_count=5000")
    assert line.startswith("error: data.max_count: ") and "5000" in line


def test_device_that_is_not_there_is_one_line(tmp_path):
    (line,) = failed(2, "--root", tmp_path, "represent", *SMALL, "system.device=nonsense")
    assert line == "error: digits_lt: system.device: must be auto, cpu, cuda, cuda:N or mps, got 'nonsense'"
    *_, line = failed(1, "--root", tmp_path, "represent", *SMALL, "system.device=cuda:77")
    assert line.startswith("error: system.device: 'cuda:77' cannot be used here")


def test_root_that_cannot_be_written_is_one_line(tmp_path):
    (tmp_path / "file").touch()
    *_, line = failed(1, "--root", tmp_path / "file" / "root", "represent", *SMALL)
    assert line == f"error: {tmp_path / 'file'}: must be a folder, is a file"


def test_traceback_is_shown_when_asked_for(tmp_path, monkeypatch):
    monkeypatch.setenv("LONGTAIL_TRACEBACK", "1")
    outcome = longtail("--root", tmp_path, "report", "nonsense")
    assert outcome.status == 1 and "Traceback" in outcome.err and outcome.out == ""


def test_root_is_taken_from_the_environment(root, monkeypatch):
    monkeypatch.setenv("LONGTAIL_ROOT", str(root))
    assert len(json.loads(ok("report", "--format", "json").out)) == len(CLASSIFIERS)


# -- pipes -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("arguments", [["list"], ["run", *SMALL], ["--help"]])
def test_closed_pipe_gives_no_traceback(root, arguments):
    read, write = os.pipe()
    os.close(read)
    command = [sys.executable, "-c", MAIN, "--root", str(root), *arguments]
    with os.fdopen(write, "wb") as stdout:
        process = subprocess.run(
            command, stdout=stdout, stderr=subprocess.PIPE, text=True, cwd=CHECKOUT, timeout=60
        )
    assert process.stderr == ""
    assert process.returncode == 1


def test_closed_standard_output_gives_no_traceback(root):
    command = (
        f"{shlex.quote(sys.executable)} -c {shlex.quote(MAIN)} --root {shlex.quote(str(root))} report >&-"
    )
    process = subprocess.run(command, shell=True, capture_output=True, text=True, cwd=CHECKOUT, timeout=60)
    assert "Traceback" not in process.stderr


def test_output_is_utf8_free_of_control_codes_when_piped(root):
    process = in_process(MAIN, "--root", root, "report", env={**os.environ, "PYTHONUTF8": "1"})
    assert process.returncode == 0 and "\x1b" not in process.stdout + process.stderr


# -- signals ---------------------------------------------------------------------------------------------


def test_interrupt_says_one_line_and_the_run_shows_as_under_way(tmp_path):
    arguments = ["--root", tmp_path, "represent", *SMALL, "representation.epochs=2000", "system.compile=off"]
    process = subprocess.Popen(
        [sys.executable, "-c", MAIN, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=CHECKOUT,
    )
    deadline = time.monotonic() + 60
    while not list(tmp_path.glob("representations/*/history.jsonl")) and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert out == "" and "Traceback" not in err
    assert err.splitlines()[-1] == "error: stopped by signal 2; the same command continues"
    (folder,) = (tmp_path / "representations").iterdir()
    assert re.search(r"state: under way, [1-9]\d* epochs? done", ok("--root", tmp_path, "show", folder).out)
