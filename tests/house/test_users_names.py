"""Beside a user's own configs, pipeline, stages and tests: theirs stay theirs, ours are in longtail."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.house.installing import run
from tests.places import CHECKOUT

NAMES = ("configs", "pipeline", "stages", "tests")
PUBLIC = (
    "BACKBONES, CLASSIFIERS, DATASETS, LOSSES, SAMPLERS, Features, Head, evaluate, extract_features, "
    "train_representation"
)

CONFIG = """
data: {name: image_folder, root: pictures, image_size: 8, mode: gray, in_memory: false,
       test_fraction: 0.25, validation_fraction: 0.25}
representation: {backbone: small_cnn, epochs: 1, batch_size: 8, augment: {pad: 1, flip: false}}
classifiers: [joint, ncm]
system: {workers: 2, threads: 1, device: cpu, compile: "off"}
"""

# Each script prints, last, a JSON list: the files of our modules, and whose the user's modules are.
SCRIPT = f"""
import json, os, sys
from importlib import import_module

def our_files():
    ours = [module for name, module in sys.modules.items() if name.split(".")[0] == "longtail"]
    return sorted(module.__file__ for module in ours if module.__file__)

def owners():
    return [getattr(import_module(name), "OWNER", None) for name in {NAMES}]

def longtail(*arguments):
    from longtail.pipeline.cli import main
    try:
        main(arguments)
    except SystemExit as stop:
        assert stop.code == 0, arguments
"""

LIST = f"""{SCRIPT}
print(owners())
longtail("list", "samplers")
print(json.dumps([our_files(), owners()]))
"""

# Pictures decoded by two workers, a sweep on two processes, an estimator sent to a process and back, and a
# worker that is started afresh instead of forked.
WORK = f"""{SCRIPT}
def predicted(estimator, X):
    return estimator, estimator.predict(X).tolist(), our_files(), os.getpid()

if __name__ == "__main__":
    import multiprocessing
    import numpy as np
    from joblib import Parallel, delayed
    from longtail import {PUBLIC}
    from longtail.stages.data import Request

    longtail("--root", "root", "run", "mine.yaml")
    longtail("--root", "root", "sweep", "mine.yaml", "--jobs", "2", "sweep=[knn, ncm, cosine]")

    X, y = np.eye(4), np.array([0, 0, 1, 1])
    estimator = CLASSIFIERS.create("ncm").fit(X, y)
    ((copy, labels, files, process),) = Parallel(n_jobs=2)([delayed(predicted)(estimator, X)])
    assert process != os.getpid()
    assert type(copy) is type(estimator) and labels == estimator.predict(X).tolist()

    multiprocessing.set_start_method("spawn", force=True)
    data = DATASETS.create("image_folder", root="pictures", image_size=8, in_memory=False, workers=1,
                           test_fraction=0.25, validation_fraction=0.25)
    requests = [Request(np.arange(2), ()), Request(np.arange(3), ())]
    assert [len(images) for images, _ in data.train.stream(requests, None)] == [2, 3]
    print(json.dumps([sorted({{*our_files(), *files}}), owners()]))
"""


@pytest.fixture(params=["packages", "folders"])
def folder(request, tmp_path) -> Path:
    """A user's folder with modules named like our folders: packages, or plain folders and a pipeline.py."""
    for name in NAMES:
        (tmp_path / name).mkdir()
        if request.param == "packages":
            (tmp_path / name / "__init__.py").write_text("OWNER = 'user'\n")
    (tmp_path / "pipeline.py").write_text("OWNER = 'user'\n")
    return tmp_path


@pytest.fixture
def owners(request, folder) -> list[str | None]:
    """Whose each of NAMES is; a plain folder says nothing, and pipeline.py comes before it."""
    packages = (folder / "configs" / "__init__.py").exists()
    return ["user"] * len(NAMES) if packages else [None, "user", None, None]


@pytest.fixture(params=["editable", "wheel"])
def install(request) -> tuple[Path, Path, list[str]]:
    """(the folder our modules lie below, the console script, what PYTHONPATH has to name)."""
    if request.param == "editable":
        return CHECKOUT, Path(sys.executable).with_name("longtail"), []
    installed = request.getfixturevalue("installed")
    return installed / "longtail", installed / "bin" / "longtail", [str(installed)]


def check(printed: str, ours: Path, owners: list[str | None]) -> None:
    """Every one of our modules that was loaded lies below `ours`, and the user's are the user's."""
    files, theirs = json.loads(printed.splitlines()[-1])
    assert len(files) > 20
    assert [file for file in files if not Path(file).is_relative_to(ours)] == []
    assert theirs == owners


def test_script_and_command_line_use_our_modules_and_leave_the_users(folder, owners, install):
    ours, console_script, paths = install
    (folder / "list.py").write_text(LIST)
    for first in ([], ["."]):
        environment = {"PYTHONPATH": os.pathsep.join([*first, *paths])}
        check(run(sys.executable, "list.py", cwd=folder, **environment), ours, owners)
        for start in ([console_script], [sys.executable, "-m", "longtail"]):
            assert "  power\n" in run(*start, "list", "samplers", cwd=folder, **environment)


@pytest.mark.parametrize("folder", ["packages"], indirect=True)
def test_worker_processes_use_our_modules_and_find_estimators_by_name(folder, owners, install):
    ours, _, paths = install
    rng = np.random.default_rng(0)
    for label in "ab":
        (folder / "pictures" / label).mkdir(parents=True)
        for n in range(8):
            Image.fromarray(rng.integers(0, 255, (8, 8), np.uint8)).save(folder / f"pictures/{label}/{n}.png")
    (folder / "mine.yaml").write_text(CONFIG)
    (folder / "work.py").write_text(WORK)
    printed = run(sys.executable, "work.py", cwd=folder, PYTHONPATH=os.pathsep.join(paths))
    check(printed, ours, owners)
    assert "test accuracy in %" in printed and "cosine" in printed
