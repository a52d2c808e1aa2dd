"""Every id salted, so that no test can lean on how ids happen to sort (`pytest --salt-ids N`).

The number stands in the environment, where `tests/salted_start/sitecustomize.py` finds it when another Python
process starts; the program itself knows nothing of it.
"""

from __future__ import annotations

import hashlib
import importlib.abc
import importlib.util
import os
import sys

VARIABLE = "LONGTAIL_TESTS_SALT"
MODULE = "longtail.pipeline.store.identity"


def salt(module) -> None:
    """Replace ``make_id`` of the loaded `module` by one whose ids depend on the salt as well, once."""
    if hasattr(module.make_id, "salt"):
        return
    plain, number = module.make_id, os.environ[VARIABLE]

    def salted_id(stage, settings):
        own = plain(stage, settings)
        return hashlib.sha256(f"{number} {own}".encode()).hexdigest()[: len(own)]

    salted_id.salt = number
    module.make_id = salted_id


class SaltingFinder(importlib.abc.MetaPathFinder):
    """Finds the module of ids as Python would, and salts it once it is loaded."""

    def find_spec(self, name, path=None, target=None):
        if name != MODULE:
            return None
        sys.meta_path.remove(self)  # or it would find itself
        spec = importlib.util.find_spec(name)
        load = spec.loader.exec_module

        def load_and_salt(module) -> None:
            load(module)
            salt(module)

        spec.loader.exec_module = load_and_salt
        return spec


def install() -> None:
    """Salt ids in this process, whether the module of ids is loaded already or not."""
    if MODULE in sys.modules:
        salt(sys.modules[MODULE])
    elif not any(type(finder).__name__ == SaltingFinder.__name__ for finder in sys.meta_path):
        sys.meta_path.insert(0, SaltingFinder())
