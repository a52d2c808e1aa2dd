"""Imports run one way: stages below all, then the rooms of the pipeline, each on those below it."""

from __future__ import annotations

import ast
import re

import pytest

from tests.house.imports import circles, import_graph, imported, module_name, sources
from tests.house.markdown import blocks, text_of
from tests.places import CHECKOUT

# From the ground up: a room may import those on the floors below it, never one on its own floor or above.
FLOORS = (
    ("stages.wording",),
    ("stages.parameters", "stages.blocks", "stages.priors", "stages.randomness", "stages.selection",
     "stages.softmax", "stages.linear_scores"),
    ("stages.registry", "stages.network", "stages.pixel_classifier"),
    ("stages.heads", "stages.losses", "stages.metrics", "stages.resampling", "stages.samplers"),
    ("stages.backbones", "stages.data"),
    ("stages.features", "stages.training"),
    ("stages.classifiers", "stages.meta_weights"),
    ("stages.representation",),
    ("pipeline.errors",),
    ("pipeline.files",),
    ("pipeline.config",),
    ("pipeline.store",),
    ("pipeline.process",),
    ("pipeline.training",),
    ("pipeline.tables", "pipeline.work"),
    ("pipeline.compare", "pipeline.init", "pipeline.serve"),
    ("pipeline.page",),
    ("pipeline.verbs",),
    ("pipeline.cli",),
)  # fmt: skip
MOST_FILES = 15


def room(module: str) -> str:
    """``pipeline.config`` for a module in that room; a file directly below a package is its own room."""
    return ".".join(module.split(".")[1:3])


def upward(graph: dict[str, frozenset[str]]) -> list[str]:
    """Imports that do not run down, as ``module -> module``."""
    floor = {name: height for height, row in enumerate(FLOORS) for name in row}
    return sorted(
        f"{name} -> {used}"
        for name, uses in graph.items()
        for used in uses
        if {room(name), room(used)} <= floor.keys()
        and room(name) != room(used)
        and floor[room(used)] >= floor[room(name)]
    )


def test_every_module_is_in_a_room():
    rooms = {name for row in FLOORS for name in row}
    around = {"", "__main__", "configs", "pipeline", "stages"}  # packages themselves, and how ours is started
    assert {room(name) for name in import_graph()} == {*rooms, *around}


def test_no_import_runs_up():
    assert upward(import_graph()) == []


def test_no_modules_import_each_other_in_a_circle():
    assert circles(import_graph()) == []


@pytest.mark.parametrize(
    ("graph", "up", "circle"),
    [
        ({"longtail.stages.data.a": ["longtail.pipeline.config.b"], "longtail.pipeline.config.b": []}, 1, 0),
        (
            {"longtail.stages.losses.a": ["longtail.stages.samplers.b"], "longtail.stages.samplers.b": []},
            1,
            0,
        ),
        ({"longtail.pipeline.store.a": ["longtail.pipeline.page.b"], "longtail.pipeline.page.b": []}, 1, 0),
        ({"longtail.pipeline.page.a": ["longtail.pipeline.store.b"], "longtail.pipeline.store.b": []}, 0, 0),
        ({"longtail.stages.a": ["longtail.stages.b"], "longtail.stages.b": ["longtail.stages.a"]}, 0, 2),
    ],
)
def test_an_import_that_runs_up_or_around_is_found(graph, up, circle):
    graph = {name: frozenset(uses) for name, uses in graph.items()}
    assert len(upward(graph)) == up and len(circles(graph)) == circle


def test_imports_inside_functions_and_of_modules_in_packages_count():
    graph = import_graph()
    assert "longtail.pipeline.page.page" in graph["longtail.pipeline.verbs.options"]  # in a function
    assert "longtail.pipeline.page.figures.matrix" in graph["longtail.pipeline.page.sections"]  # of a package


@pytest.mark.parametrize("path", sources("stages"), ids=module_name)
def test_stages_know_no_files_of_the_pipeline(path):
    tops = {name.split(".")[0] for name in imported(path)}
    assert not tops & {"yaml", "click", "tqdm", "safetensors", "tests"}
    assert not [name for name in imported(path) if name.startswith(("longtail.pipeline", "longtail.configs"))]


@pytest.mark.parametrize("path", [*sources(), *sorted((CHECKOUT / "tests").rglob("*.py"))], ids=str)
def test_only_one_import_name_is_used(path):
    """A bare ``import stages`` from the checkout's root would load every class a second time."""
    bare = {"stages", "pipeline", "configs"}
    assert not {name for name in imported(path) if name.split(".")[0] in bare}
    for line in path.read_text(encoding="utf-8").splitlines():  # code in strings, too
        assert not re.search(r"\b(from|import) (stages|pipeline|configs)\b(?!['\"`])", line), line


def test_no_folder_has_more_files_than_a_reader_can_take_in():
    for folder in {path.parent for path in sources()}:
        count = len(list(folder.glob("*.py")))
        assert count <= MOST_FILES, f"{folder.relative_to(CHECKOUT)} has {count} files"


@pytest.mark.parametrize("package", ["pipeline", "stages", "configs"])
def test_nothing_reads_or_writes_a_pickle_but_the_published_kind(package):
    for path in sources(package):
        names = imported(path)
        if "pickle" in names:  # for its exception; one file refines its reader
            text = path.read_text(encoding="utf-8")
            refined = (
                {"Unpickler"} if path == CHECKOUT / "stages" / "data" / "files" / "unpickle.py" else set()
            )
            assert set(re.findall(r"\bpickle\.(\w+)", text)) == {"UnpicklingError", *refined}, path
            assert "pickle as" not in text, path
            names -= {"pickle"}
        assert not {n.split(".")[0] for n in names} & {
            "pickle",
            "dill",
            "cloudpickle",
            "shelve",
            "marshal",
        }, path
        assert not names & {"joblib.dump", "joblib.load"}, path
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call):
                continue
            given = {k.arg: ast.unparse(k.value) for k in node.keywords}
            called = ast.unparse(node.func)
            if called in ("np.load", "numpy.load"):
                assert given.get("allow_pickle") == "False", f"{path}:{node.lineno}"
            if called == "torch.load":
                assert given.get("weights_only") == "True", f"{path}:{node.lineno}"
            assert called != "torch.save", f"{path}:{node.lineno}"


# -- what CONTRIBUTING says of the rooms ------------------------------------------------------------------


def floors(package: str) -> list[tuple[str, ...]]:
    """The rooms of a package from the top floor down, by their short names."""
    rows = [tuple(name.partition(".")[2] for name in row if name.startswith(package)) for row in FLOORS]
    return [row for row in reversed(rows) if row]


@pytest.mark.parametrize(("picture", "package"), [(0, "pipeline"), (1, "stages")])
def test_pictures_of_the_rooms_are_those_imports_are_checked_by(picture, package):
    lines = blocks(text_of("CONTRIBUTING.md"), "text")[picture].splitlines()
    assert [tuple(line.split()) for line in lines] == floors(package)


def test_every_room_is_described():
    rooms = text_of("CONTRIBUTING.md").split("## The rooms")[1].split("\n## ")[0]
    described = re.findall(r"^\| `(\w+)` \| .{10,} \|$", rooms, re.MULTILINE)
    assert described == [
        name for package in ("pipeline", "stages") for row in floors(package) for name in row
    ]
