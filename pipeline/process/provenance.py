"""Who computed what, where: command, machine, versions and environment, kept with a run."""

from __future__ import annotations

import importlib.metadata
import logging
import os
import platform
import sys
import time
from pathlib import Path
from typing import Any

from longtail.pipeline.errors import Damaged
from longtail.pipeline.files.checked_json import read_json
from longtail.pipeline.process.environment import Environment

log = logging.getLogger("longtail")


def provenance(environment: Environment) -> dict[str, Any]:
    """What ``provenance.json`` keeps of this process, computing in `environment`."""
    return {
        "command": ["longtail", *sys.argv[1:]],
        "began": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "platform": platform.platform(),
        "processor": platform.machine(),
        "cores": os.cpu_count(),
        "versions": versions(),
        "environment": environment.as_dict(),
    }


def versions() -> dict[str, str]:
    """Versions of Python and of the packages numbers depend on."""
    result = {"python": platform.python_version()}
    for package in ("longtail", "torch", "torchvision", "numpy", "scikit-learn", "faiss-cpu"):
        try:
            result[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            result[package] = "not installed as a package"
    return result


def earlier_environment(path: Path) -> dict[str, Any] | None:
    """The environment in a run's ``provenance.json``; None if there is no such file, or it cannot be read."""
    try:
        environment = read_json(path)["environment"]
    except FileNotFoundError:
        return None
    except (Damaged, KeyError, TypeError):
        log.warning("%s: damaged; it is written again", path)
        return None
    return environment if isinstance(environment, dict) else None
