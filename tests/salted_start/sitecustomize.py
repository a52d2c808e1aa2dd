"""Run by every Python process started under `pytest --salt-ids N`, which puts this folder on its path."""

import importlib.util
import os
from pathlib import Path

if os.environ.get("LONGTAIL_TESTS_SALT"):
    path = Path(__file__).resolve().parents[1] / "salting.py"
    spec = importlib.util.spec_from_file_location("longtail_tests_salting", path)
    salting = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(salting)
    salting.install()
