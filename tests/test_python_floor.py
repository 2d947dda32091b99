"""Do the nouns and the runtime keep to Python 3.10, which boards have? By syntax, by names, and by an interpreter."""

import ast
import json
import runpy
import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime
from enum import StrEnum as NewStrEnum
from enum import auto
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from old_python import old_python, said

from edgesim.since_3_11 import StrEnum, date_of
from real_runtime.ssh.far_host import LEAST_PYTHON

ROOT = Path(__file__).parent.parent
MODULES = sorted(
    path.relative_to(ROOT) for package in ("edgesim", "real_runtime") for path in (ROOT / package).rglob("*.py")
)
OLD_ENUM = runpy.run_path(str(ROOT / "edgesim/since_3_11/str_enum.py"))["_Text"]
# What has come since; methods and arguments are told by mypy --python-version 3.10 (make check).
NEWER = {
    "asyncio": "Barrier Runner TaskGroup timeout timeout_at",
    "collections.abc": "Buffer",
    "contextlib": "chdir",
    "copy": "replace",
    "datetime": "UTC",
    "enum": "EnumCheck FlagBoundary ReprEnum StrEnum global_enum member nonmember property verify",
    "hashlib": "file_digest",
    "importlib.resources": "abc",
    "inspect": "getasyncgenstate getmembers_static markcoroutinefunction",
    "itertools": "batched",
    "logging": "getHandlerByName getHandlerNames getLevelNamesMapping",
    "math": "cbrt exp2 fma sumprod",
    "operator": "call",
    "os": "login_tty process_cpu_count setns unshare",
    "random": "binomialvariate",
    "re": "NOFLAG",
    "statistics": "kde",
    "sys": "activate_stack_trampoline exception monitoring",
    "threading": "setprofile_all_threads settrace_all_threads",
    "types": "get_original_bases",
    "typing": (
        "LiteralString Never NotRequired ReadOnly Required Self TypeAliasType TypeIs TypeVarTuple Unpack assert_never "
        "assert_type clear_overloads dataclass_transform get_overloads get_protocol_members override reveal_type"
    ),
    "warnings": "deprecated",
}
MODULES_SINCE = {"tomllib", "wsgiref.types", "importlib.resources.abc", "compression", "annotationlib"}
BUILTINS_SINCE = {"BaseExceptionGroup", "ExceptionGroup", "PythonFinalizationError"}


def too_new(source: str) -> list[str]:
    """What a module of Python 3.10 cannot say or find, but where it asks for the version first."""
    try:
        tree = ast.parse(source, feature_version=LEAST_PYTHON)
    except SyntaxError as error:
        return [f"line {error.lineno}: {error.msg}"]
    found = []
    for node in unguarded(tree):
        match node:
            case ast.ImportFrom(module=str(module), names=names, level=0):
                found += [module] if module in MODULES_SINCE else []
                found += [f"{module}.{each.name}" for each in names if each.name in NEWER.get(module, "").split()]
            case ast.Import(names=names):
                found += [each.name for each in names if each.name in MODULES_SINCE]
            case ast.Attribute(value=ast.Name(id=module), attr=name) if name in NEWER.get(module, "").split():
                found.append(f"{module}.{name}")
            case ast.Name(id=name) if name in BUILTINS_SINCE:
                found.append(name)
            case ast.Subscript(slice=ast.Tuple(elts=elements)) if any(isinstance(e, ast.Starred) for e in elements):
                found.append(f"line {node.lineno}: a star within []")
            case _:
                pass
    return found


def unguarded(node: ast.AST) -> Iterator[ast.AST]:
    """All nodes, but the branches for newer versions."""
    yield node
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and "sys.version_info >= (3, 1" in ast.unparse(child.test):
            for other in child.orelse:
                yield from unguarded(other)
        else:
            yield from unguarded(child)


@pytest.mark.parametrize("path", MODULES, ids=str)
def test_a_module_says_nothing_that_python_3_10_does_not_know(path: Path) -> None:
    assert too_new((ROOT / path).read_text()) == []


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("from enum import StrEnum", "enum.StrEnum"),
        ("import datetime\ndatetime.UTC", "datetime.UTC"),
        ("import tomllib", "tomllib"),
        ("from importlib.resources.abc import Traversable", "importlib.resources.abc"),
        ("raise ExceptionGroup('', [])", "ExceptionGroup"),
        ("try:\n    pass\nexcept* OSError:\n    pass", "line "),
        ("class A[T]: pass", "line "),
        ("rows[*key]", "line 1: a star within []"),
        ("import sys\nif sys.version_info >= (3, 11):\n    pass\nelse:\n    import tomllib", "tomllib"),
    ],
)
def test_what_is_newer_is_found(source: str, told: str) -> None:
    (found,) = too_new(source)
    assert found.startswith(told)


def test_what_only_newer_versions_are_given_may_be_new() -> None:
    assert too_new("import sys\nif sys.version_info >= (3, 11):\n    from enum import StrEnum") == []


def test_the_least_version_is_the_same_wherever_it_is_said() -> None:
    least = ".".join(map(str, LEAST_PYTHON))
    project = (ROOT / "pyproject.toml").read_text()
    assert f'requires-python = ">={least}"' in project
    assert f'target-version = "py{least.replace(".", "")}"' in project
    assert f"--python-version {least} edgesim real_runtime" in (ROOT / "Makefile").read_text()
    assert f"Python {least} or newer" in (ROOT / "docs/testbed.md").read_text()


# --- what stands in for Python 3.11 -----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [OLD_ENUM, NewStrEnum, StrEnum], ids=["stand-in", "Python's", "ours"])
def test_an_enumeration_of_texts_behaves_alike_on_all_versions(kind: type[NewStrEnum]) -> None:
    class Colour(kind):  # type: ignore[misc, valid-type]
        DARK_RED = auto()
        BLUE = "blue"

    red = Colour.DARK_RED
    assert (str(red), f"{red}", f"{red:>10}", red + "!") == ("dark_red", "dark_red", "  dark_red", "dark_red!")
    assert (red.value, red.name, repr(red)) == ("dark_red", "DARK_RED", "<Colour.DARK_RED: 'dark_red'>")
    assert json.dumps({red: Colour.BLUE}) == '{"dark_red": "blue"}'
    assert ", ".join(Colour) == "dark_red, blue"
    assert (Colour("blue"), hash(red), red == "dark_red") == (Colour.BLUE, hash("dark_red"), True)
    with pytest.raises(ValueError, match=r"'green' is not a valid .*Colour"):
        Colour("green")
    with pytest.raises(TypeError, match="is not a string"):
        kind("Wrong", {"ONE": 1})


DATES = st.datetimes(
    min_value=datetime(1, 1, 2), max_value=datetime(9999, 12, 30), timezones=st.none() | st.timezones()
)


@given(date=DATES, separator=st.sampled_from("T "), timespec=st.sampled_from(["minutes", "seconds", "microseconds"]))
@settings(derandomize=True, deadline=None, database=None)
def test_dates_are_read_as_python_writes_them(date: datetime, separator: str, timespec: str) -> None:
    text = date.isoformat(separator, timespec)
    assert date_of(text) == datetime.fromisoformat(text)
    assert date_of(text).tzinfo == datetime.fromisoformat(text).tzinfo


@pytest.mark.parametrize(
    "text",
    [
        "2026-03-01",
        "20260301",
        "2026-03-01T12",
        "2026-03-01T12:00:00.5",
        "2026-03-01 12:00:00,25",
        "2026-03-01T12:00:00.123456789Z",
        "20260301T120000+0130",
        "2026-03-01T12:00:00-05",
        "2026-03-01T12:00:00.5+02:30",
    ],
)
def test_dates_that_python_reads_since_3_11_are_read(text: str) -> None:
    assert date_of(text) == datetime.fromisoformat(text)


@pytest.mark.parametrize(
    "text", ["", "yesterday", "2026-13-01", "2026-0301", "12:00", "2026-03-01T25:00", "2026-03-01T"]
)
def test_what_is_no_date_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        date_of(text)


# --- the interpreter itself -------------------------------------------------------------------------------------------

IMPORTED = """
import sys
from importlib import import_module
from pathlib import Path
for path in sorted(Path("edgesim").rglob("*.py")):
    name = ".".join(path.with_suffix("").parts).removesuffix(".__init__")
    if not name.startswith(("edgesim.simulator", "edgesim.planners", "edgesim.recovery", "edgesim.cached_training")):
        import_module(name)
import edgesim as es
assert es.BlockKind("mlp") is es.BlockKind.MLP and f"{es.BlockKind.MLP}" == "mlp"
print("imported")
"""


@pytest.fixture(scope="module")
def python_3_10() -> Path:
    found = old_python()
    if found is None:
        pytest.skip("no Python 3.10 here (name one: EDGESIM_PYTHON_3_10=/path/to/python3.10)")
    return found


def test_python_3_10_compiles_every_module(python_3_10: Path) -> None:
    compiles = "import sys; [compile(open(p, encoding='utf-8').read(), p, 'exec') for p in sys.argv[1:]]; print('fine')"
    assert said(python_3_10, "-c", compiles, *map(str, MODULES)) == "fine\n"


def test_a_folder_where_the_user_stands_is_no_package_of_a_rank_on_python_3_10(
    python_3_10: Path, tmp_path: Path
) -> None:
    (tmp_path / "real_runtime").mkdir()
    (tmp_path / "real_runtime/__init__.py").write_text("raise SystemExit('a stranger')")
    (tmp_path / "runpy.py").write_text("raise SystemExit('a stranger too')")
    for source, module in (
        ("control/forking/client.py", "real_runtime"),
        ("ssh/on_arrival.py", "real_runtime.ssh.agent"),
    ):
        (alone,) = (
            ast.literal_eval(node.value)
            for node in ast.parse((ROOT / "real_runtime" / source).read_text()).body
            if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "_ALONE"
        )
        house = tmp_path / f"house_{module}"
        place = house.joinpath(*module.split("."))
        place.mkdir(parents=True)
        for part in (house / "real_runtime", place):
            (part / "__init__.py").touch()
        (place / "__main__.py").write_text("import sys; print('ours', sys.argv[1:])")
        ran = subprocess.run(
            [python_3_10, "-c", alone, "7"],
            cwd=tmp_path,
            env={"PYTHONPATH": str(house)},
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert ran.stdout == "ours ['7']\n", ran.stderr


def test_the_nouns_are_imported_by_python_3_10(python_3_10: Path) -> None:
    if "fine" not in said(python_3_10, "-c", "import numpy; print('fine')"):
        pytest.skip(f"{python_3_10} has no numpy (name one that has: EDGESIM_PYTHON_3_10=/path/to/python3.10)")
    assert said(python_3_10, "-c", IMPORTED) == "imported\n"


def test_this_python_is_the_drivers_and_newer() -> None:
    assert sys.version_info >= (3, 11)
