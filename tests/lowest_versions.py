"""Prints pip constraints that pin every requirement of setup.cfg to the lowest version it allows."""

from __future__ import annotations

import configparser
import re
from pathlib import Path

SETUP = Path(__file__).parent.parent / "setup.cfg"
REQUIREMENT = re.compile(r"(?P<name>[A-Za-z0-9._-]+)(\[[^]]*\])?\s*>=\s*(?P<version>[0-9.]+)")


def lowest_versions(text: str) -> dict[str, str]:
    """The lowest version of each distribution that a setup.cfg holds all requirements of."""
    setup = configparser.ConfigParser(interpolation=None)
    setup.read_string(text)
    groups = [setup["options"]["install_requires"], *setup["options.extras_require"].values()]
    lowest: dict[str, str] = {}
    for requirement in REQUIREMENT.finditer("\n".join(groups)):
        name, version = requirement["name"].lower(), requirement["version"]
        lowest[name] = max(lowest.get(name, version), version, key=_numbers)
    return lowest


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(map(int, version.split(".")))


if __name__ == "__main__":
    for name, version in sorted(lowest_versions(SETUP.read_text(encoding="utf-8")).items()):
        print(f"{name}=={version}")
