"""Does the house stand as it says? Folders, sizes, names, imports, dependencies, docstrings, and files pages name."""

import ast
import re
import sys
import tomllib
from collections import Counter, defaultdict
from collections.abc import Iterator
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path
from types import ModuleType

import grimp
import pytest
from house_picture import BEGIN, END, PAGE, drawn

import edgesim

ROOT = Path(__file__).parent.parent
PACKAGES = ("edgesim", "real_runtime", "experiments")
MODULES = sorted(path.relative_to(ROOT) for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
# Where the name to install is not the name to import.
IMPORTED_AS = {"hydra-core": "hydra", "scikit-learn": "sklearn", "pyyaml": "yaml"}

# Modules of a folder, __init__ aside; more may stand where each file is one contribution: a noun, a planner, a figure.
MODULES_OF_A_FOLDER, CONTRIBUTIONS_OF_A_FOLDER = 15, 20
OF_CONTRIBUTIONS = {"edgesim", "edgesim/planners/literature", "experiments/figures"}
LINES_OF_A_MODULE, LINES_OF_A_CLASS = 300, 200


@cache
def tree_of(path: Path) -> ast.Module:
    """The module's syntax tree."""
    return ast.parse((ROOT / path).read_text())


def classes_of(path: Path) -> Iterator[ast.ClassDef]:
    """All classes of a module, nested ones too."""
    return (node for node in ast.walk(tree_of(path)) if isinstance(node, ast.ClassDef))


def test_no_folder_holds_more_than_a_reader_can_survey() -> None:
    sizes = Counter(str(path.parent) for path in MODULES if path.name != "__init__.py")
    crowded = {
        folder: size
        for folder, size in sizes.items()
        if size > (CONTRIBUTIONS_OF_A_FOLDER if folder in OF_CONTRIBUTIONS else MODULES_OF_A_FOLDER)
    }
    assert not crowded


def test_no_module_and_no_class_is_too_long_to_read_at_once() -> None:
    modules = {str(path): len((ROOT / path).read_text().splitlines()) for path in MODULES}
    classes = {
        f"{path}:{node.name}": node.end_lineno - node.lineno + 1 for path in MODULES for node in classes_of(path)
    }
    assert {path: lines for path, lines in modules.items() if lines > LINES_OF_A_MODULE} == {}
    assert {name: lines for name, lines in classes.items() if lines > LINES_OF_A_CLASS} == {}


def test_no_class_name_stands_twice_in_the_library() -> None:
    """Private or not: whoever searches for a class finds one."""
    homes = defaultdict(list)
    for path in MODULES:
        if path.parts[0] == "edgesim":
            for node in classes_of(path):
                homes[node.name.lstrip("_")].append(str(path))
    assert {name: paths for name, paths in homes.items() if len(paths) > 1} == {}


@pytest.fixture(scope="module")
def imports() -> grimp.ImportGraph:
    """Who imports whom, among our own modules, but for the front door's one look-up."""
    graph = grimp.build_graph(*PACKAGES, cache_dir=None)
    graph.remove_import(importer="edgesim.front_door", imported="experiments.api")
    return graph


def test_the_graph_of_modules_has_no_cycle(imports: grimp.ImportGraph) -> None:
    """Also within a folder, and between a folder's modules and its __init__."""
    graph = {module: imports.find_modules_directly_imported_by(module) for module in imports.modules}
    order = tuple(TopologicalSorter(graph).static_order())  # raises CycleError, which names the cycle
    assert len(order) == len(imports.modules) > len(MODULES) / 2


def test_no_import_runs_up_a_layer(imports: grimp.ImportGraph) -> None:
    (layers,) = (c["layers"] for c in PROJECT["tool"]["importlinter"]["contracts"] if c["type"] == "layers")
    height = {name: -i for i, line in enumerate(layers) for name in re.findall(r"[\w.]+", line)}

    def layer_of(module: str) -> str | None:
        return next((name for name in height if module == name or module.startswith(f"{name}.")), None)

    upwards = [
        (module, other)
        for module in imports.modules
        for other in imports.find_modules_directly_imported_by(module)
        if (here := layer_of(module)) and (there := layer_of(other)) and here != there and height[there] >= height[here]
    ]
    assert upwards == []


def imported(path: Path) -> Iterator[str]:
    """Top-level names of absolute imports."""
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield node.module.split(".")[0]


def declared(extra: str | None) -> set[str]:
    """What a bare install, or one with an extra, may import."""
    lines = PROJECT["project"]["optional-dependencies"][extra] if extra else PROJECT["project"]["dependencies"]
    names: set[str] = set()
    for line in lines:
        name, more = re.fullmatch(r"([\w-]+)(?:\[(.*)\])?.*", line).groups()  # type: ignore[union-attr]
        names |= {IMPORTED_AS.get(name, name)}
        for other in more.split(",") if more and name == "edgesim" else ():
            names |= declared(other)
    return names


@pytest.mark.parametrize(
    ("package", "extras"),
    [
        ("edgesim", [None, "sim"]),
        ("real_runtime", [None, "runtime"]),
        ("experiments", [None, "experiments", "cluster", "search"]),
    ],
)
def test_what_a_package_imports_is_declared(package: str, extras: list[str | None]) -> None:
    """So ``pip install .[runtime]`` is enough for a device."""
    allowed = set.union(*(declared(extra) for extra in extras)) | set(PACKAGES) | sys.stdlib_module_names
    for path in MODULES:
        if path.parts[0] == package:
            assert set(imported(path)) <= allowed, path


def test_all_is_what_can_be_imported() -> None:
    public = {
        name for name, value in vars(edgesim).items() if not name.startswith("_") and not isinstance(value, ModuleType)
    }
    assert set(edgesim.__all__) == public
    assert edgesim.__all__ == sorted(edgesim.__all__)


@pytest.mark.parametrize("path", MODULES, ids=str)
def test_every_module_says_first_what_it_answers(path: Path) -> None:
    docstring = ast.get_docstring(tree_of(path))
    assert docstring, "a module needs a docstring"
    first = docstring.splitlines()[0]
    assert re.search(r"[.?:;!]$|[.?:] ", first), f"the first line holds no whole sentence: {first!r}"
    assert len(first.split()) >= 3, f"too short to answer anything: {first!r}"


def test_every_module_of_edgesim_has_its_place_in_the_layers() -> None:
    (layers,) = (c["layers"] for c in PROJECT["tool"]["importlinter"]["contracts"] if c["type"] == "layers")
    placed = {name for line in layers for name in re.findall(r"[\w.]+", line)}
    modules = {".".join(path.with_suffix("").parts[:2]) for path in MODULES if path.parts[0] == "edgesim"}
    assert modules - {"edgesim.__init__"} <= placed


def test_nouns_are_in_the_contract_that_keeps_them_light() -> None:
    (light,) = (c for c in PROJECT["tool"]["importlinter"]["contracts"] if "NumPy only" in c["name"])
    modules = {".".join(path.with_suffix("").parts[:2]) for path in MODULES if path.parts[0] == "edgesim"}
    heavy = {"edgesim.simulator", "edgesim.planners", "edgesim.recovery", "edgesim.cached_training"}
    assert modules - {"edgesim.__init__"} - heavy == set(light["source_modules"])


@pytest.mark.parametrize("page", ["README.md", "DESIGN.md", "CONTRIBUTING.md"])
def test_a_page_names_only_files_that_exist(page: str) -> None:
    text = (ROOT / page).read_text()
    links = re.findall(r"\]\(([^)#]+)\)", text)
    paths = [link for link in links if "://" not in link] + re.findall(r"`([\w./-]+/[\w.-]*)`", text)
    missing = [path for path in paths if not (ROOT / path).exists()]
    assert not missing
    for module in re.findall(r"python -m ([\w.]+)", text):
        path = ROOT / module.replace(".", "/")
        assert path.with_suffix(".py").exists() or (path / "__main__.py").exists(), module


def test_the_makefile_installs_the_pytorch_that_the_project_pins() -> None:
    makefile = (ROOT / "Makefile").read_text()
    (pinned,) = (line for line in PROJECT["project"]["optional-dependencies"]["dev"] if line.startswith("torch=="))
    assert f"TORCH := {pinned}\n" in makefile


def test_readme_names_every_target_that_a_newcomer_needs() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), flags=re.M))
    named = set(re.findall(r"(?:^|`)make ([a-z]+)", (ROOT / "README.md").read_text(), flags=re.M))
    assert {"demo", "test"} <= named <= targets


def test_the_picture_of_the_house_shows_its_folders(pytestconfig: pytest.Config) -> None:
    page = PAGE.read_text()
    if pytestconfig.getoption("--rewrite-golden"):
        PAGE.write_text(drawn(page))
    assert page.count(BEGIN) == page.count(END) == 1
    assert page == drawn(page), "draw it anew: pytest tests/test_house.py --rewrite-golden"
