"""The arrows of the design, read from every import in the package, and that opening a plot loads no torch."""

import ast
import graphlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import landscape

ROOT = Path(landscape.__file__).parent
PATHS = sorted(ROOT.rglob("*.py"))


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(path): path for path in PATHS}


def for_types(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING")


def by_name(node: ast.AST) -> bool:
    loads = isinstance(node, ast.Call) and ast.unparse(node.func) in ("importlib.import_module", "__import__")
    return loads and isinstance(node.args[0], ast.Constant)


def imports(tree: ast.AST, module: str, *, lazy: bool = False) -> Iterator[tuple[str, bool]]:
    """Yield (imported module, inside a function?) for every import that runs, wherever it stands."""
    for node in ast.iter_child_nodes(tree):
        if for_types(node):
            assert isinstance(node, ast.If)
            for other in node.orelse:
                yield from imports(ast.Module([other], []), module, lazy=lazy)
            continue
        if isinstance(node, ast.Import):
            yield from ((alias.name, lazy) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}: a relative import"
            assert node.module is not None
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                yield (full if full in MODULES else node.module), lazy
        elif by_name(node):
            yield str(node.args[0].value), lazy
        inner = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        yield from imports(node, module, lazy=lazy or inner)


IMPORTS = {name: list(imports(ast.parse(path.read_text(encoding="utf-8")), name)) for name, path in MODULES.items()}


def within(module: str, *packages: str) -> bool:
    return any(module == package or module.startswith(package + ".") for package in packages)


def reached(start: str, *, lazily: bool = False) -> set[str]:
    """Return every module of the package, and every other, that importing `start` runs into (parents included)."""
    found, todo = set(), [start]
    while todo:
        name = todo.pop()
        if name in found:
            continue
        found.add(name)
        parent = name.rpartition(".")[0]
        todo += [parent] if parent in MODULES else []
        todo += [other for other, lazy in IMPORTS.get(name, []) if lazily or not lazy]
    return found


TORCH = ("torch", "torchvision", "safetensors")
FORBIDDEN = {  # modules → what none of their imports, lazy or not, may name
    ("landscape.results",): (*TORCH, "scipy", "h5py", "plotly", "sklearn"),
    ("landscape.stats", "landscape.seeding"): (
        *TORCH,
        "h5py",
        "plotly",
        "landscape.analysis",
        "landscape.cli",
        "landscape.data",
        "landscape.export",
        "landscape.models",
        "landscape.storage",
        "landscape.training",
    ),
    (
        "landscape.storage",
        "landscape.figures",
        "landscape.export",
    ): (
        *TORCH,
        "landscape.analysis",
        "landscape.training",
        "landscape.models",
        "landscape.data",
    ),
    ("landscape.analysis.linalg",): ("torch.nn", "landscape.analysis.objective", "landscape.analysis.operators"),
    ("landscape.analysis.objective",): ("landscape.analysis.operators", "landscape.analysis.curvature"),
    ("landscape.analysis",): (
        "landscape.training",
        "landscape.storage.result_file",
        "landscape.figures",
        "landscape.storage.hdf5",
    ),
    ("landscape.workflow",): ("landscape.cli", "landscape.figures", "landscape.export"),
    ("landscape.cli.options",): (*TORCH, "landscape.analysis", "landscape.workflow", "landscape.training"),
    ("landscape.training",): (
        "landscape.analysis",
        "landscape.storage.result_file",
        "landscape.figures",
        "landscape.storage.hdf5",
    ),
}


@pytest.mark.parametrize("importers", FORBIDDEN, ids=lambda importers: importers[0].removeprefix("landscape."))
def test_no_arrow_points_back(importers: tuple[str, ...]) -> None:
    chosen = [name for name in MODULES if within(name, *importers)]
    assert chosen
    wrong = [
        f"{name} imports {other}"
        for name in chosen
        for other, _ in IMPORTS[name]
        if within(other, *FORBIDDEN[importers])
    ]
    assert wrong == []


@pytest.mark.parametrize("importers", FORBIDDEN, ids=lambda importers: importers[0].removeprefix("landscape."))
def test_nor_through_other_modules(importers: tuple[str, ...]) -> None:
    for name in MODULES:
        if within(name, *importers):
            wrong = [other for other in reached(name) if within(other, *FORBIDDEN[importers])]
            assert wrong == [], name


def test_results_are_a_leaf_of_numpy_alone() -> None:
    names = {other for name in MODULES if within(name, "landscape.results") for other, _ in IMPORTS[name]}
    foreign = {name for name in names if name.partition(".")[0] not in sys.stdlib_module_names}
    assert {name for name in foreign if not within(name, "numpy", "landscape.results")} == set()


LEAVES = ("landscape", "landscape.errors", "landscape.results", "landscape.version")
ALLOWED = {  # folders → what of the package they may import beside themselves
    "landscape.storage": LEAVES,
    "landscape.export": (*LEAVES, "landscape.stats", "landscape.storage", "landscape.figures"),
    "landscape.figures": (*LEAVES, "landscape.stats", "landscape.storage"),
}


def ours(module: str) -> list[str]:
    """Return the modules of the package that a module imports, lazily too."""
    return [other for other, _ in IMPORTS[module] if within(other, "landscape")]


@pytest.mark.parametrize("folder", ALLOWED)
def test_what_shows_and_stores_results_imports_little_else(folder: str) -> None:
    wrong = [
        f"{name} imports {other}"
        for name in MODULES
        if within(name, folder)
        for other in ours(name)
        if other not in ALLOWED[folder] and not within(other, folder, *ALLOWED[folder][len(LEAVES) :])
    ]
    assert wrong == []


def test_only_execution_imports_an_engine() -> None:
    wrong = [
        f"{name} imports {other}"
        for name in MODULES
        if not within(name, "landscape.execution")
        for other, _ in IMPORTS[name]
        if within(other, "ray", "joblib", "loky", "multiprocessing", "torch.multiprocessing")
    ]
    assert wrong == []
    users = [name for name, path in MODULES.items() if "ProcessPoolExecutor" in path.read_text(encoding="utf-8")]
    assert users == ["landscape.execution.processes"]


def circle(graph: dict[str, set[str]]) -> list[str]:
    """Return the nodes of a circle in a graph, the first one repeated at the end; empty if there is none."""
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        return list(error.args[1])
    return []


def test_no_circle_between_files() -> None:
    assert circle({name: set(ours(name)) - {name} for name in MODULES}) == []


PACKAGES = sorted({name.rpartition(".")[0] for name in MODULES if "." in name})


@pytest.mark.parametrize("package", PACKAGES)
def test_no_circle_between_the_folders_and_files_of_a_package(package: str) -> None:
    """Look at a package's own files and folders, each with all that is in it."""

    def child(module: str) -> str | None:
        return module.removeprefix(f"{package}.").partition(".")[0] if module.startswith(f"{package}.") else None

    graph: dict[str, set[str]] = {}
    for name in MODULES:
        importer = child(name)
        if importer is not None:
            graph.setdefault(importer, set()).update(
                other for other in map(child, ours(name)) if other is not None and other != importer
            )
    assert circle(graph) == []


def test_circles_are_seen() -> None:
    assert circle({"a": {"b"}, "b": {"c"}, "c": set()}) == []
    assert set(circle({"a": {"b"}, "b": {"c"}, "c": {"b"}})) == {"b", "c"}


FIGURES = ("style", "grouping", "plots", "blocks", "kinds", "report")  # each imports only those before it


@pytest.mark.parametrize("position", range(len(FIGURES)), ids=FIGURES)
def test_figures_import_only_the_folders_before_theirs(position: int) -> None:
    later = tuple(f"landscape.figures.{name}" for name in FIGURES[position + 1 :])
    wrong = [
        f"{name} imports {other}"
        for name in MODULES
        if within(name, f"landscape.figures.{FIGURES[position]}")
        for other, _ in IMPORTS[name]
        if within(other, *later, "landscape.figures.figure", "landscape.export")
    ]
    assert wrong == []


def test_nobody_imports_the_command_line_but_itself() -> None:
    wrong = [
        name
        for name, found in IMPORTS.items()
        if not within(name, "landscape.cli", "landscape.__main__")
        and any(within(other, "landscape.cli") for other, _ in found)
    ]
    assert wrong == []


def test_the_reader_of_imports_sees_what_it_must() -> None:
    """A check of this file's own eyes: plain, from, lazy, in a class, by name, and not those for type checkers."""
    source = """
import torch.nn as nn
from landscape import results
from typing import TYPE_CHECKING
if TYPE_CHECKING:
    import plotly
else:
    import h5py
class A:
    def f(self):
        with open("x"):
            from landscape.figures.figure import figure
        importlib.import_module("landscape.cli")
"""
    found = list(imports(ast.parse(source), "x"))
    assert found == [
        ("torch.nn", False),
        ("landscape.results", False),
        ("typing", False),
        ("h5py", False),
        ("landscape.figures.figure", True),
        ("landscape.cli", True),
    ]


def test_opening_a_plot_loads_no_torch() -> None:
    code = (
        "import sys; import landscape, landscape.storage.result_file, landscape.figures.report.page; "
        "print([m for m in ('torch', 'torchvision', 'landscape.analysis', 'landscape.training') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "[]"


def test_every_public_name_is_where_it_is_said_to_be() -> None:
    for name in landscape.__all__:
        assert getattr(landscape, name) is not None
    assert set(landscape.__all__) == {*landscape._HOMES, "__version__"}
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        landscape.nothing  # noqa: B018
