"""Components of other packages: announced by an entry point, or imported by name or as a file."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from tests.outside_packages import install

LOSS = '''
"""Losses from elsewhere."""

{first}
from longtail.stages.losses import LOSSES
from longtail.stages.losses.base import Loss, cross_entropy
from longtail.stages.parameters import Positive


@LOSSES.register("{name}")
class Elsewhere(Loss):
    """Cross-entropy of scaled cosines.

    Source: nobody's.
    """

    head_kind = "cosine"

    def __init__(self, class_counts, *, gamma: Positive = 4.0):
        super().__init__(class_counts)
        self.gamma = gamma

    def per_sample(self, logits, labels):
        return cross_entropy(self.mask(self.gamma * logits), labels)
'''


def write(path: Path, name: str, first: str = "import torch") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(LOSS.format(name=name, first=first), encoding="utf-8")
    return path


def python(code: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """A fresh process with `folder` on its search path."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(folder), *sys.path])}
    command = [sys.executable, "-c", textwrap.dedent(code)]
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=120, check=False
    )


def answer(code: str, folder: Path) -> tuple[object, str]:
    """The JSON a process prints, and what it says on standard error."""
    done = python(code, folder)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout), done.stderr


LOOK = """
import json, sys
from longtail import LOSSES
from longtail.stages.registry import outside
for module in {modules}:
    outside.add(module)
c = LOSSES.describe({name!r})
assert {name!r} in LOSSES.names() and LOSSES.check({name!r}, {{"gamma": 2}}) == {{"gamma": 2.0}}
print(json.dumps([c.module, c.origin, c.summary, c.source, c.facts, [str(p) for p in c.parameters.values()],
                  "torch" in sys.modules]))
"""


def test_a_package_announces_components_by_an_entry_point(tmp_path):
    write(tmp_path / "acme" / "losses.py", "acme", first="import torch")
    (tmp_path / "acme" / "__init__.py").write_text("import torch  # nobody needs it to read names\n")
    install(tmp_path, "acme.losses")
    (module, origin, summary, source, facts, parameters, torch), warnings = answer(
        LOOK.format(modules=[], name="acme"), tmp_path
    )
    assert (module, origin) == ("acme.losses", "package acme-losses")
    assert (summary, source, parameters) == ("Cross-entropy of scaled cosines.", "nobody's.", ["gamma=4.0"])
    assert facts["head_kind"] == "cosine" and facts["corrects_prior"] is False  # longtail's base says so
    assert not torch and not warnings


@pytest.mark.parametrize("given", ["mine.py", "mine"])
def test_a_module_or_file_is_added_by_name(tmp_path, given):
    write(tmp_path / "mine.py", "mine")
    (module, origin, *_, torch), warnings = answer(LOOK.format(modules=[given, given], name="mine"), tmp_path)
    assert (module, origin, torch, warnings) == ("mine", f"--import {given}", False, "")


def test_a_package_has_the_components_of_all_its_files(tmp_path):
    write(tmp_path / "acme" / "deep" / "one.py", "one")
    write(tmp_path / "acme" / "__init__.py", "zero")
    write(tmp_path / "acme" / "_private.py", "private")
    code = """
    import json, sys
    from longtail import LOSSES
    from longtail.stages.registry import outside
    outside.add("acme")
    own = [n for n in LOSSES.names() if LOSSES.describe(n).origin]
    assert "acme" not in sys.modules
    gamma = LOSSES.create("one", [3, 2]).gamma
    print(json.dumps([own, gamma, sorted(name for name in sys.modules if "acme" in name)]))
    """
    (own, gamma, imported), _ = answer(code, tmp_path)
    assert own == ["one", "zero"] and gamma == 4.0
    assert imported == ["acme", "acme.deep", "acme.deep.one"]


def test_a_component_is_imported_and_built_when_it_is_used(tmp_path):
    write(tmp_path / "folder" / "mine.py", "mine")
    code = """
    import json, sys
    from longtail import LOSSES
    from longtail.stages.registry import outside
    outside.add("folder/mine.py")
    assert "mine" not in sys.modules
    loss = LOSSES.create("mine", [5, 3], gamma=2)
    print(json.dumps([type(loss).__module__, loss.gamma, type(loss) is LOSSES.get("mine")]))
    """
    assert answer(code, tmp_path)[0] == ["mine", 2.0, True]


@pytest.mark.parametrize(
    ("module", "reason"),
    [
        ("acme.nothing", "there is no module 'acme.nothing'"),
        ("acme.plain", "acme.plain registers no component"),
        ("longtail.stages.losses.ldam", "longtail.stages.losses.ldam is longtail's own"),
    ],
)
def test_an_entry_point_that_is_no_use_is_warned_of_and_nothing_else_stops(tmp_path, module, reason):
    (tmp_path / "acme").mkdir()
    (tmp_path / "acme" / "plain.py").write_text("x = 1\n")
    install(tmp_path, module)
    install(tmp_path, "fine", "fine-losses")
    write(tmp_path / "fine.py", "fine")
    (names, again), warnings = answer(
        """
        import json
        from longtail import LOSSES, SAMPLERS
        print(json.dumps([sorted({"ldam", "fine"} & set(LOSSES.names())), SAMPLERS.names()]))
        """,
        tmp_path,
    )
    assert names == ["fine", "ldam"] and "power" in again
    message = f"entry point losses of package acme-losses: {reason}; its components are left out"
    assert warnings.count("Warning: ") == warnings.count(message) == 1


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("class Bad(:\n", "3: is not Python (invalid syntax)"),
        ("def bad(*, a=1): ...\n", "3: a: needs a rule"),
    ],
)
def test_a_mistake_in_an_announced_module_costs_its_names(tmp_path, text, reason):
    (tmp_path / "acme.py").write_text(f"from longtail import LOSSES\n@LOSSES.register('bad')\n{text}")
    install(tmp_path, "acme")
    (error,), warnings = answer(
        """
        import json
        from longtail import LOSSES
        assert "ldam" in LOSSES.names()
        try:
            LOSSES.describe("bad")
        except ValueError as error:
            print(json.dumps([str(error)]))
        """,
        tmp_path,
    )
    assert error.startswith(f"loss 'bad' cannot be used: acme.py:{reason}")
    assert warnings.count(f"loss 'bad' is left out: acme.py:{reason}") == 1


def test_a_module_that_fails_when_it_is_imported_is_named(tmp_path):
    write(tmp_path / "mine.py", "mine", first="raise RuntimeError('no GPU here')")
    done = python(
        """
        from longtail import LOSSES
        from longtail.stages.registry import outside
        outside.add("mine.py")
        LOSSES.create("mine", [3])
        """,
        tmp_path,
    )
    last = done.stderr.splitlines()[-1]
    assert last == (
        "ImportError: loss 'mine': mine (--import mine.py) cannot be imported: RuntimeError: no GPU here"
    )


def test_a_module_that_does_not_register_what_it_says_is_named(tmp_path):
    (tmp_path / "mine.py").write_text(
        "from longtail import LOSSES\n"
        "@LOSSES.register('mine')\ndef mine(class_counts): ...\n"
        "LOSSES._objects.clear()\n"
    )
    done = python(
        """
        from longtail import LOSSES
        from longtail.stages.registry import outside
        outside.add("mine.py")
        LOSSES.create("mine", [3])
        """,
        tmp_path,
    )
    assert done.stderr.splitlines()[-1] == "ImportError: loss 'mine': importing mine does not register it"


def test_names_of_longtail_and_of_earlier_modules_are_not_taken(tmp_path):
    write(tmp_path / "first.py", "mine")
    write(tmp_path / "second.py", "mine")
    write(tmp_path / "third.py", "ldam")
    (module, own), warnings = answer(
        """
        import json
        from longtail import LOSSES
        from longtail.stages.registry import outside
        for name in ("first.py", "second.py", "third.py"):
            outside.add(name)
        print(json.dumps([LOSSES.describe("mine").module, LOSSES.describe("ldam").module]))
        """,
        tmp_path,
    )
    assert (module, own) == ("first", "longtail.stages.losses.ldam")
    assert "loss 'mine' is left out: second.py: first.Elsewhere has that name already" in warnings
    assert (
        "loss 'ldam' is left out: third.py: longtail.stages.losses.ldam.LDAM has that name already"
        in warnings
    )


@pytest.mark.parametrize(
    ("module", "reason"),
    [
        ("nothing", "there is no module 'nothing'"),
        ("mine", None),
        ("nothing.py", "nothing.py: no such file"),
        ("", "there is no module ''"),
        ("a b", "there is no module 'a b'"),
        ("my-own.py", "my-own.py: a file to import must be named like a module, in letters, digits and _"),
        ("json.py", "json.py: there is another module json ("),
        ("sys.py", "sys.py: there is another module sys (built"),
        ("plain.py", "plain registers no component"),
        ("bad.py", "bad.py:1: is not Python (invalid syntax)"),
    ],
)
def test_what_cannot_be_added_is_refused_with_the_reason(tmp_path, module, reason):
    write(tmp_path / "mine.py", "mine")
    for name in ("my-own", "json", "sys"):
        write(tmp_path / f"{name}.py", "mine")
    (tmp_path / "plain.py").write_text("x = 1\n")
    (tmp_path / "bad.py").write_text("def f(: LOSSES.register\n")
    done = subprocess.run(
        [sys.executable, "-c", f"from longtail.stages.registry import outside; outside.add({module!r})"],
        cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p), "PYTHONSAFEPATH": "1"},
    )  # fmt: skip
    last = done.stderr.splitlines()[-1]
    expected = "there is no module 'mine'; did you mean mine.py?" if reason is None else reason
    assert done.returncode == 1
    kind, _, message = last.partition(": ")
    assert kind.rpartition(".")[2] in ("ValueError", "Unreadable") and message.startswith(expected)
