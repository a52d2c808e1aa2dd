"""What ``import longtail`` offers, and how little it loads."""

from __future__ import annotations

import ast
import sys

import pytest

import longtail
from tests.house.installing import run
from tests.places import CHECKOUT

HEAVY = "print(*sorted({'torch', 'numpy', 'pydantic', 'yaml', 'click'} & set(sys.modules)))"


def test_public_names_are_these():
    registries = {"BACKBONES", "CLASSIFIERS", "DATASETS", "LOSSES", "SAMPLERS"}
    functions = {"train_representation", "extract_features", "evaluate"}
    assert set(longtail.__all__) == registries | functions | {"Features", "Head", "__version__"}


@pytest.mark.parametrize("name", longtail.__all__)
def test_every_public_name_is_there_and_listed(name):
    assert getattr(longtail, name) is not None
    assert name in dir(longtail)


def test_editors_see_the_names_that_run_time_has():
    """The imports under TYPE_CHECKING name the same modules as the table that is used at run time."""
    tree = ast.parse((CHECKOUT / "longtail" / "__init__.py").read_text(encoding="utf-8"))
    (block,) = [n for n in tree.body if isinstance(n, ast.If) and ast.unparse(n.test) == "TYPE_CHECKING"]
    imports = [node for node in block.body if isinstance(node, ast.ImportFrom)]
    seen = {alias.name: node.module for node in imports for alias in node.names}
    assert seen == longtail._MODULES
    assert {*seen, "__version__"} == set(longtail.__all__)


@pytest.mark.parametrize(
    "code",
    [
        "import longtail",
        "import longtail; longtail.__version__, dir(longtail)",
        "from longtail import LOSSES, SAMPLERS; assert LOSSES.names() and SAMPLERS.names()",
    ],
)
def test_importing_and_listing_load_nothing_heavy(code, tmp_path):
    assert run(sys.executable, "-c", f"import sys\n{code}\n{HEAVY}", cwd=tmp_path).strip() == ""


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("LOSES", "; did you mean 'LOSSES'?"),
        ("losses", "; did you mean 'LOSSES'?"),
        ("extract_feature", "; did you mean 'extract_features'?"),
        ("zebra", ""),
    ],
)
def test_unknown_name_is_an_error_with_the_nearest(name, hint):
    with pytest.raises(AttributeError) as error:
        getattr(longtail, name)
    assert str(error.value) == f"module 'longtail' has no attribute {name!r}{hint}"
