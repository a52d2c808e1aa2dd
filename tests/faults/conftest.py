"""What the fault tests share: an undisturbed run to compare with, and the closing table of figures."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.faults.processes import Operation, context, succeed
from tests.faults.roots import essence

HERE = Path(__file__).parent
ROWS: pytest.StashKey[list[tuple[str, int, int]]] = pytest.StashKey()
RUN = [
    "run", "digits_lt", "representation.epochs=2", "representation.batch_size=128",
    "classifiers=[joint, crt, ncm]", "system.threads=1", "system.device=cpu", "system.compile=off",
    "system.checkpoint_minutes=1e-9",
]  # fmt: skip


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config, items):
    """`-m faults` runs everything in this folder, but for the small form of what has a full one."""
    if config.option.markexpr == "faults":
        for item in items:
            small = hasattr(item, "callspec") and item.callspec.params.get("full") is False
            if HERE in item.path.parents and not small:
                item.add_marker("faults")


@pytest.hookimpl
def pytest_terminal_summary(terminalreporter, config):
    rows = config.stash.get(ROWS, [])
    if rows and config.option.markexpr == "faults":
        width = max(len(name) for name, _, _ in rows)
        terminalreporter.section("faults")
        terminalreporter.write_line(f"{'fault':{width}}  points tried  survived  lost")
        for name, tried, lost in [*rows, ("all", sum(r[1] for r in rows), sum(r[2] for r in rows))]:
            terminalreporter.write_line(f"{name:{width}}  {tried:12}  {tried - lost:8}  {lost:4}")


@pytest.fixture
def survey(request) -> Callable[[str, Iterable[Any], Callable[[Any], object]], None]:
    """``survey(fault, points, check)``: try ``check(point)`` at each, count, then fail for the lost."""

    def over(fault: str, points: Iterable[Any], check: Callable[[Any], object]) -> None:
        tried, lost = 0, []
        for point in points:
            tried += 1
            try:
                check(point)
            except Exception as error:  # a point that is lost must not hide the others
                lost.append(f"{point}: {type(error).__name__}: {error}")
        request.config.stash.setdefault(ROWS, []).append((fault, tried, len(lost)))
        assert tried and not lost, f"{fault}: lost {len(lost)} of {tried}:\n" + "\n".join(lost[:8])

    return over


@pytest.fixture(autouse=True)
def leave_nothing_behind(tmp_path):
    """Roots add up: each test's are removed when it ends."""
    yield
    shutil.rmtree(tmp_path, ignore_errors=True)


@pytest.fixture(scope="session", autouse=True)
def warm():
    """The fork server with its imports done: the first command takes no longer than the others."""
    process = context().Process(target=int)
    process.start()
    process.join()


@dataclass(frozen=True)
class Whole:
    """A run that nothing disturbed."""

    command: list[str]
    root: Path
    operations: list[Operation]
    essence: dict[str, Any]


@pytest.fixture(scope="session")
def whole(tmp_path_factory):
    """Two epochs on digits with a checkpoint after every step, extraction and three classifiers."""
    folder = tmp_path_factory.mktemp("whole")
    found = succeed(folder / "root", RUN)
    yield Whole(RUN, folder / "root", found.operations, essence(folder / "root"))
    shutil.rmtree(folder, ignore_errors=True)
