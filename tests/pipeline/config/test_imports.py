"""Components from outside on the command line: as good as ours, remembered with a run, missed by name."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from PIL import Image

from tests.command_line import Outcome
from tests.outside_packages import install
from tests.places import CHECKOUT

COMPONENTS = '''
from longtail import BACKBONES, CLASSIFIERS
from longtail.stages.backbones.small import SmallCNN
from longtail.stages.classifiers.adjusted.joint import Joint
from longtail.stages.classifiers.adjusted.temperature import Temperature
from longtail.stages.losses import LOSSES as MY_LOSSES
from longtail.stages.losses.base import Loss, cross_entropy
from longtail.stages.parameters import ClassifierSpec, Positive


class Scaled(Loss):
    def __init__(self, class_counts, *, gamma: Positive = 4.0):
        super().__init__(class_counts)
        self.gamma = gamma

    def per_sample(self, logits, labels):
        return cross_entropy(self.mask(self.gamma * logits), labels)


@MY_LOSSES.register("my_cosine")
class OfCosines(Scaled):
    """Cross-entropy of scaled cosines.

    Source: nobody's.
    """

    head_kind = "cosine"


@MY_LOSSES.register("my_linear")
class OfLogits(Scaled):
    """Cross-entropy of scaled logits.

    Source: nobody's.
    """


@CLASSIFIERS.register("my_joint")
class MyJoint(Joint):
    """Stage one's head once more.

    Source: nobody's.
    """


@CLASSIFIERS.register("my_chooser")
class MyChooser(Temperature):
    """Always chooses, by what it inherits.

    Source: nobody's.
    """


@BACKBONES.register("my_cnn")
class MyCNN(SmallCNN):
    """The small one once more.

    Source: nobody's.
    """
'''
SMALL = ("digits_lt", "representation.epochs=1", "system.threads=1", "system.device=cpu")
MINE = (*SMALL, "representation.loss=my_cosine", "representation.backbone=my_cnn")


def longtail(*words: str, folder: Path, status: int = 0, **environment: str) -> tuple[str, str]:
    """(standard output, standard error) of a command in a process of its own, in `folder`."""
    path = os.pathsep.join([str(folder / "installed"), *sys.path])
    done = subprocess.run(
        [sys.executable, "-m", "longtail", *words], cwd=folder, capture_output=True, text=True, timeout=200,
        check=False, env={**os.environ, "PYTHONPATH": path, **environment},
    )  # fmt: skip
    assert done.returncode == status, done.stderr
    return done.stdout, done.stderr


IN_ONE_PROCESS = """
import json, sys
from tests.command_line import longtail
print(json.dumps([vars(longtail(*words)) for words in json.loads(sys.argv[1])]))
"""


def outcomes(*commands: tuple[str, ...], folder: Path) -> list[Outcome]:
    """What each of several commands does, one after the other in one new process, in `folder`."""
    path = os.pathsep.join([str(CHECKOUT), *sys.path])
    done = subprocess.run(
        [sys.executable, "-c", IN_ONE_PROCESS, json.dumps(commands)], cwd=folder, capture_output=True,
        text=True, timeout=200, check=False, env={**os.environ, "PYTHONPATH": path},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return [Outcome(**outcome) for outcome in json.loads(done.stdout)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A working folder with a file of components, and a run made with them."""
    place = tmp_path_factory.mktemp("outside")
    (place / "mine.py").write_text(COMPONENTS, encoding="utf-8")
    Image.new("L", (8, 8), 120).save(place / "picture.png")
    classifiers = "classifiers=[my_joint, ncm]"
    out, _ = longtail("--import", "mine.py", "--root", "root", "run", *MINE, classifiers, folder=place)
    assert "my_cnn" in out and "my_cosine" in out and "my_joint" in out
    return place


# -- as good as ours --------------------------------------------------------------------------------------


def test_components_are_listed_and_in_the_schema(folder):
    out, _ = longtail("--import", "mine.py", "list", "losses", folder=folder)
    listed = out.partition("  my_cosine\n")[2]
    assert listed.splitlines()[:3] == [
        "      Cross-entropy of scaled cosines.",
        "      · gamma: a number > 0, default 4.0",
        "      Source: nobody's.",
    ]
    schema = json.loads(longtail("--import", "mine.py", "show", "--schema", folder=folder)[0])
    names, *components = schema["$defs"]["losses"]["anyOf"]
    assert {"my_cosine", "my_linear", "ldam"} <= set(names["enum"])
    (mine,) = [c for c in components if c.get("properties", {}).get("name") == {"const": "my_cosine"}]
    assert mine["properties"]["gamma"]["default"] == 4.0
    assert "my_cosine" not in longtail("list", "losses", folder=folder)[0]


def test_settings_are_checked_with_the_nearest_name(folder):
    words = ("--import", "mine.py", "show", "digits_lt")
    _, err = longtail(*words, "representation.loss=my_cosin", folder=folder, status=2)
    assert err.endswith("representation.loss: unknown loss 'my_cosin'; did you mean 'my_cosine'?\n")
    loss = "representation.loss={name: my_cosine, gama: 1, gamma: 0}"
    _, err = longtail(*words, loss, folder=folder, status=2)
    assert [line.removeprefix("error: digits_lt: representation.loss.") for line in err.splitlines()] == [
        "gama: unknown parameter of loss my_cosine; did you mean 'gamma'?",
        "gamma: must be a number > 0, got 0",
    ]


def test_the_shell_completes_names_and_settings(folder):
    def completed(*words: str, last: str) -> list[str]:
        line = ["longtail", *words, last]
        shell = {"_LONGTAIL_COMPLETE": "bash_complete", "COMP_WORDS": " ".join(line)}
        out, err = longtail(folder=folder, **shell, COMP_CWORD=str(len(line) - 1))
        assert not err
        return [line.partition(",")[2] for line in out.splitlines()]

    words = ("--import", "mine.py", "show", "digits_lt")
    assert completed(*words, last="representation.loss=my") == [
        "representation.loss=my_cosine", "representation.loss=my_linear"
    ]  # fmt: skip
    assert completed("--import", "nothing.py", "show", "digits_lt", last="representation.loss=ldam") == [
        "representation.loss=ldam"
    ]


def test_verbs_that_train_nothing_load_no_heavy_library(folder):
    code = """
    import sys
    from longtail.pipeline.cli import cli
    run = ["--root", "root", "run", *%r, "classifiers=[my_joint, ncm]"]
    for words in (["list"], ["show", "--schema"], run):
        cli.main(["--import", "mine.py", *words], standalone_mode=False)
        assert not {"torch", "mine", "sklearn"} & set(sys.modules), words
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code % (list(MINE),))],
        cwd=folder, capture_output=True, text=True, timeout=100, check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


# -- facts ------------------------------------------------------------------------------------------------


NO_VALIDATION = "data.validation_per_class=0"


def dry_run(folder: Path, *settings: str, status: int) -> str:
    words = ("--import", "mine.py", "--root", "other", "run", *SMALL, NO_VALIDATION, *settings, "--dry-run")
    return longtail(*words, folder=folder, status=status)[1]


def test_a_new_cosine_loss_is_treated_as_ldam_is(folder):
    for loss in ("ldam", "my_cosine"):
        dry_run(folder, f"representation.loss={loss}", "classifiers=[tau_norm]", status=0)
    for loss in ("cross_entropy", "my_linear"):
        err = dry_run(folder, f"representation.loss={loss}", "classifiers=[tau_norm]", status=2)
        assert err.startswith("error: classifiers.0: tau_norm chooses on validation samples")


def test_a_new_classifier_that_always_chooses_is_treated_as_temperature_is(folder):
    names = ("temperature", "my_chooser", "my_joint")
    err = dry_run(folder, f"classifiers=[{', '.join(names)}]", status=2)
    assert [line.split()[:3] for line in err.splitlines()] == [
        ["error:", "classifiers.0:", "temperature"],
        ["error:", "classifiers.1:", "my_chooser"],
    ]


# -- remembered -------------------------------------------------------------------------------------------


def test_a_run_remembers_where_its_components_come_from(folder):
    results = [json.loads(p.read_text()) for p in (folder / "root").glob("classifiers/*/result.json")]
    imports = {result["classifier"]: result["imports"] for result in results}
    stage_one = {"backbones": {"my_cnn": "--import mine.py"}, "losses": {"my_cosine": "--import mine.py"}}
    assert imports["ncm"] == stage_one
    assert imports["my_joint"] == {**stage_one, "classifiers": {"my_joint": "--import mine.py"}}
    (provenance,) = (folder / "root").glob("representations/*/provenance.json")
    assert json.loads(provenance.read_text())["imports"] == stage_one


def test_a_run_is_used_with_its_import_and_names_it_without(folder):
    (run,) = (folder / "root" / "representations").iterdir()
    predict = ("--root", "root", "predict", run.name, "picture.png", "--classifier")
    export = ("--root", "root", "export", run.name, "model.pt2", "--classifier", "my_joint")
    imported = ("--import", "mine.py")
    used = outcomes((*imported, *predict, "my_joint"), (*imported, *export), folder=folder)
    assert [outcome.status for outcome in used] == [0, 0], used
    assert "picture.png" in used[0].out
    assert used[1].out.startswith("written: model.pt2")
    without = ((*predict, "my_joint"), (*predict, "ncm"), (*export, "--force"), ("--root", "root", "report"))
    *refused, report = outcomes(*without, folder=folder)
    for outcome in refused:
        assert outcome.status == 1
        assert outcome.err == (
            "error: backbone 'my_cnn' of this run came from --import mine.py; give that again\n"
        )
    assert report.status == 0 and "my_joint" in report.out


def test_a_run_that_goes_on_names_the_import_it_lacks(folder):
    (run,) = (folder / "root" / "representations").iterdir()
    more = ("representation.epochs=2", f"representation.init={run.name}")
    _, err = longtail("--root", "root", "represent", "digits_lt", *more, folder=folder, status=1)
    assert err == "error: loss 'my_cosine' of this run came from --import mine.py; give that again\n"


def test_worker_processes_know_the_components(folder):
    sweep = "sweep=[my_joint, {name: my_chooser, classifier: [joint, my_joint]}]"
    words = ("--import", "mine.py", "--root", "root", "sweep", *MINE, sweep, "--jobs", "2")
    out, err = longtail(*words, folder=folder)
    assert "my_chooser" in out and "Warning" not in err


# -- installed, and lost ----------------------------------------------------------------------------------


def test_an_installed_package_needs_no_option(folder, tmp_path):
    (tmp_path / "mine.py").write_text(COMPONENTS, encoding="utf-8")
    installed = tmp_path / "installed"
    install(installed, "acme_mine")
    (installed / "acme_mine.py").write_text(COMPONENTS, encoding="utf-8")
    install(installed, "acme_gone", "acme-gone")
    out, err = longtail("list", "losses", folder=tmp_path)
    assert "my_cosine" in out
    gone = "entry point losses of package acme-gone: there is no module 'acme_gone'"
    assert err == f"warning: {gone}; its components are left out\n"


def test_an_imperfect_file_stops_no_other_command(folder, tmp_path):
    (tmp_path / "half.py").write_text(
        COMPONENTS + '\n\n@MY_LOSSES.register("bad")\ndef bad(class_counts, *, gamma=1.0): ...\n'
    )
    line = COMPONENTS.count("\n") + 4
    reason = f"half.py:{line}: gamma: needs a rule, as in gamma: Positive = 1.0"
    words = ("--import", "half.py", "show", "digits_lt")
    out, err = longtail(*words, "representation.loss=my_cosine", folder=tmp_path)
    assert "name: my_cosine" in out
    assert err == f"warning: loss 'bad' is left out: {reason}\n"
    _, err = longtail(*words, "representation.loss=bad", folder=tmp_path, status=2)
    assert err.splitlines()[-1] == (
        f"error: digits_lt: representation.loss: loss 'bad' cannot be used: {reason}"
    )


def test_an_import_that_is_no_use_is_refused_with_all_reasons(tmp_path):
    words = ("--import", "nothing", "--import", "nothing.py", "list", "losses")
    out, err = longtail(*words, folder=tmp_path, status=2)
    assert (out, err.splitlines()) == (
        "",
        ["error: --import: there is no module 'nothing'", "error: --import: nothing.py: no such file"],
    )
