"""One wheel and one installation of it, for every test of what is installed."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

from tests.house.imports import FOLDERS
from tests.house.installing import run
from tests.places import CHECKOUT


@pytest.fixture(scope="session")
def wheel(tmp_path_factory) -> Path:
    """A wheel of a copy of the tree, so that nothing is left in the checkout."""
    pytest.importorskip("setuptools", "70.1", reason="building without isolation needs setuptools >= 70.1")
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    source.mkdir()
    for name in (*FOLDERS, "setup.cfg", "pyproject.toml", "README.md", "LICENSE"):
        original = CHECKOUT / name
        if original.is_dir():
            shutil.copytree(original, source / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(original, source)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    run(*pip, "wheel", source, "--no-deps", "--no-build-isolation", "--no-index", "-w", folder, cwd=folder)
    (path,) = folder.glob("*.whl")
    return path


@pytest.fixture(scope="session")
def installed(wheel) -> Path:
    """The folder the wheel is installed in."""
    target = wheel.parent / "installed"
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    run(*pip, "install", "--no-deps", "--no-index", "--target", target, wheel, cwd=wheel.parent)
    return target
