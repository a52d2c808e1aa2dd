"""What tests share: small configurations, finished runs, and throw-away output roots."""

from __future__ import annotations

import gc
import json
import logging
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import configuration, settings

pytest.register_assert_rewrite(
    "tests.command_line", "tests.finished_runs", "tests.shared_folders", "tests.training_runs",
    "tests.faults", "tests.pipeline", "tests.stages",
)  # fmt: skip

from tests import salting  # noqa: E402
from tests.places import CHECKOUT, files_below  # noqa: E402
from tests.shared_folders import SharedFolders  # noqa: E402

HERE = Path(__file__).parent
SETTINGS_OF_THE_PERSON = ("LONGTAIL_ROOT", "LONGTAIL_TRACEBACK", "COLUMNS", "NO_COLOR", "FORCE_COLOR")


def pytest_addoption(parser):
    text = "change every id, and with it the order of results, by a salt"
    parser.addoption("--salt-ids", type=int, metavar="N", help=text)
    text = "fail if there are files in the checkout afterwards that were not there before"
    parser.addoption("--leave-nothing", action="store_true", help=text)


def pytest_configure(config):
    """Make a run depend on nothing of the person or of an earlier run; salt ids when asked to."""
    for name in SETTINGS_OF_THE_PERSON:
        os.environ.pop(name, None)
    home = tempfile.TemporaryDirectory()  # what hypothesis remembers is for no checkout and no later run
    config.add_cleanup(home.cleanup)
    configuration.set_hypothesis_home_dir(home.name)
    explore = config.getoption("hypothesis_seed", None) is not None  # else each run has the same examples
    settings.register_profile("longtail", database=None, deadline=None, derandomize=not explore)
    settings.load_profile("longtail")
    if config.option.salt_ids is not None:
        os.environ[salting.VARIABLE] = str(config.option.salt_ids)
        path = [str(HERE / "salted_start"), os.environ.get("PYTHONPATH", "")]
        os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, path))
        salting.install()


def pytest_collection_modifyitems(config, items):
    """Skip under a salt what is about ids as they are."""
    if config.option.salt_ids is None:
        return
    for item in items:
        marker = item.get_closest_marker("literal_ids")
        if marker:
            item.add_marker(pytest.mark.skip(reason=marker.kwargs["reason"]))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers():
    """What ``-n auto`` means: a worker for each core this process may use, up to eight."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(cores, 8)


def pytest_ignore_collect(collection_path, config):
    """Leave benchmarks alone, and the libraries they import, unless they are asked for."""
    return True if collection_path == HERE / "benchmarks" and "not bench" in config.option.markexpr else None


@pytest.hookimpl(wrapper=True)
def pytest_collection():
    """Collect tests without the garbage collector: next to all that is made lives to the end."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()


def pytest_collection_finish():
    """Have the garbage collector pass over what lives to the end: libraries and thousands of tests."""
    gc.collect()
    gc.freeze()


# -- what a run leaves in the checkout --------------------------------------------------------------------

BEFORE: pytest.StashKey[set[str]] = pytest.StashKey()
LEFT_BEHIND: pytest.StashKey[list[str]] = pytest.StashKey()


def pytest_sessionstart(session):
    if session.config.option.leave_nothing and "PYTEST_XDIST_WORKER" not in os.environ:
        session.config.stash[BEFORE] = files_below(CHECKOUT)


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session):
    if BEFORE in session.config.stash:
        left = sorted(files_below(CHECKOUT) - session.config.stash[BEFORE])
        session.config.stash[LEFT_BEHIND] = left
        if left and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter, config):
    if config.stash.get(LEFT_BEHIND, []):
        terminalreporter.section("left in the checkout")
        for name in config.stash[LEFT_BEHIND]:
            terminalreporter.write_line(name)


# -- configurations and stores ----------------------------------------------------------------------------


@pytest.fixture
def store(tmp_path):
    from longtail.pipeline.store.store import Store

    return Store(tmp_path / "root")


@pytest.fixture
def logged(caplog):
    """What the program's log says, from INFO on."""
    logger = logging.getLogger("longtail")
    logger.addHandler(caplog.handler)
    with caplog.at_level("INFO", logger="longtail"):
        yield caplog
    logger.removeHandler(caplog.handler)


@pytest.fixture(scope="session")
def digits():
    """``digits(*overrides)``: the shipped digits recipe for two epochs on one thread."""
    from longtail.pipeline.config.loading import load_config

    def make(*overrides: str):
        fixed = ["representation.epochs=2", "system.threads=1", "system.device=cpu"]
        return load_config("digits_lt", [*fixed, *overrides])

    return make


# -- shared folders: made once, changed by none -----------------------------------------------------------


@pytest.fixture(scope="session")
def shared(tmp_path_factory):
    """``shared.make(name, fill)``: a folder that ``fill(folder)`` makes once for all tests and workers."""
    base = tmp_path_factory.getbasetemp()
    folders = SharedFolders((base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "shared")
    yield folders
    folders.check_content()


@pytest.fixture(autouse=True)
def shared_folders_stay_as_they_are(request):
    """Fails the test after which a file in a shared folder is another."""
    yield
    if "shared" in request.fixturenames:
        request.getfixturevalue("shared").check_state()


@pytest.fixture
def copy_of(tmp_path) -> Callable[[Path], Path]:
    """``copy_of(root)``: a copy for a test that writes, times included."""

    def copy(root: Path, name: str = "copy") -> Path:
        return Path(shutil.copytree(root, tmp_path / name))

    return copy


@pytest.fixture(scope="session")
def digits_run(shared):
    """(root, outcome) of the digits recipe: two epochs and its five classifiers, run by the command line."""
    from tests.command_line import SMALL, Outcome, ok

    def fill(folder: Path) -> None:
        outcome = ok("--root", folder / "root", "run", *SMALL)
        (folder / "outcome.json").write_text(json.dumps(vars(outcome)))

    folder = shared.make("digits_run", fill)
    return folder / "root", Outcome(**json.loads((folder / "outcome.json").read_text()))


@pytest.fixture(scope="session")
def short_run(shared, digits) -> Path:
    """The root of one epoch on digits and two classifiers: the least that is a finished run."""
    from longtail.pipeline.store.store import Store
    from longtail.pipeline.work.execute import run_stage_two
    from tests.command_line import SHORT

    return (
        shared.make("short_run", lambda folder: run_stage_two(digits(*SHORT), Store(folder / "root")))
        / "root"
    )


@pytest.fixture(scope="session")
def page(shared, digits) -> Path:
    """What `longtail report --html` writes of ``root`` beside it: five classifiers on each of two runs."""
    from longtail.pipeline.store.store import Store
    from longtail.pipeline.work.execute import run_stage_two
    from tests.command_line import ok

    def fill(folder: Path) -> None:
        for sampler in ("instance_balanced", "class_balanced"):
            run_stage_two(digits(f"representation.sampler={sampler}"), Store(folder / "root"))
        ok("--root", folder / "root", "report", "--html", folder / "page.html")

    return shared.make("page", fill) / "page.html"


@pytest.fixture
def stop_at_save(monkeypatch):
    """``stop_at_save(3, 10)``: training dies, KeyboardInterrupt, right after its 3rd and 10th checkpoint."""
    from longtail.pipeline.training.checkpoint import Checkpoints

    def arrange(*numbers: int) -> None:
        save, calls = Checkpoints.save, []

        def save_then_die(self, *args, **options):
            path = save(self, *args, **options)
            calls.append(path)
            if len(calls) in numbers:
                raise KeyboardInterrupt
            return path

        monkeypatch.setattr(Checkpoints, "save", save_then_die)

    return arrange
