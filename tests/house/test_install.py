"""Installed from a wheel or in place, the program is complete and finds its recipes from anywhere."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from configparser import ConfigParser
from pathlib import Path

import pytest

from tests.house.imports import FOLDERS
from tests.house.installing import run
from tests.places import CHECKOUT

RECIPES = sorted(p.relative_to(CHECKOUT).as_posix() for p in (CHECKOUT / "configs").rglob("*.yaml"))


def place_in_wheel(path: Path) -> str:
    """Where a file of the checkout lies in the wheel: all below ``longtail/``."""
    inside = path.relative_to(CHECKOUT)
    return (inside if inside.parts[0] == "longtail" else Path("longtail", inside)).as_posix()


@pytest.fixture
def elsewhere(tmp_path) -> Path:
    """A working directory with a ``configs`` folder of its own, which is not ours."""
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs" / "mine.yaml").write_text("data: digits\n")
    return tmp_path


def test_wheel_holds_every_module_and_recipe(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    expected = {
        place_in_wheel(path)
        for folder in FOLDERS
        for path in (CHECKOUT / folder).rglob("*")
        if path.suffix in (".py", ".yaml", ".md", ".html", ".css", ".js") or path.name == "py.typed"
    }
    assert RECIPES and {f"longtail/{name}" for name in RECIPES} <= expected
    assert not expected - names
    top = {name.split("/")[0] for name in names}
    assert {name for name in top if not name.endswith(".dist-info")} == {"longtail"}


def test_setup_cfg_names_every_package():
    parser = ConfigParser()
    parser.read(CHECKOUT / "setup.cfg")
    packages = parser["options"]["packages"].split()
    folders = {path.parent for folder in FOLDERS for path in (CHECKOUT / folder).rglob("__init__.py")}
    expected = {place_in_wheel(folder).replace("/", ".") for folder in folders}
    assert packages == sorted(expected)
    places = dict(line.split(" = ") for line in parser["options"]["package_dir"].split("\n") if line)
    assert places == {place_in_wheel(CHECKOUT / name).replace("/", "."): name for name in FOLDERS}


def test_wheel_has_the_console_script(wheel):
    with zipfile.ZipFile(wheel) as archive:
        (name,) = [n for n in archive.namelist() if n.endswith(".dist-info/entry_points.txt")]
        parser = ConfigParser()
        parser.read_string(archive.read(name).decode())
    assert dict(parser["console_scripts"]) == {"longtail": "longtail.pipeline.cli:main"}


def test_wheel_finds_its_own_recipes_from_anywhere(installed, elsewhere):
    code = (
        "from longtail.pipeline.config.recipes import find, shipped\n"
        "print(*[find(name) for name in shipped()], sep='\\n')"
    )
    out = run(sys.executable, "-c", code, cwd=elsewhere, PYTHONPATH=str(installed))
    assert sorted(out.split()) == sorted(str(installed / "longtail" / name) for name in RECIPES)


def test_wheel_runs_from_anywhere(installed, elsewhere):
    def longtail(*arguments: str) -> str:
        command = [sys.executable, "-m", "longtail", *arguments]
        return run(*command, cwd=elsewhere, PYTHONPATH=str(installed))

    listed = [line.split(":")[0].strip() for line in longtail("list", "configs").splitlines()]
    assert listed == [Path(name).relative_to("configs").with_suffix("").as_posix() for name in RECIPES]
    assert "class counts (369 training samples, 10 classes)" in longtail("show", "digits_lt")
    assert "  power\n" in longtail("list", "samplers")


def test_console_script_of_the_wheel_runs(installed, elsewhere):
    out = run(installed / "bin" / "longtail", "--version", cwd=elsewhere, PYTHONPATH=str(installed))
    assert out.startswith("longtail, version ")


def test_editable_install_finds_recipes_from_anywhere(elsewhere):
    out = run(sys.executable, "-m", "longtail", "list", "configs", cwd=elsewhere)
    listed = [line.split(":")[0].strip() for line in out.splitlines()]
    assert listed == [Path(name).relative_to("configs").with_suffix("").as_posix() for name in RECIPES]
    assert "class counts" in run(sys.executable, "-m", "longtail", "show", "digits_lt", cwd=elsewhere)


def test_no_source_file_is_ignored_by_git():
    if shutil.which("git") is None or not (CHECKOUT / ".git").exists():
        pytest.skip("not a git checkout")
    files = [
        path.relative_to(CHECKOUT).as_posix()
        for package in (*FOLDERS, "tests")
        for path in sorted((CHECKOUT / package).rglob("*"))
        if path.suffix in (".py", ".yaml", ".md", ".typed")
    ]
    ignored = subprocess.run(
        ["git", "check-ignore", "--no-index", "--stdin"],
        input="\n".join(files),
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
    )
    assert ignored.returncode in (0, 1), ignored.stderr
    assert ignored.stdout.split() == []
