"""How does the house look from outside? Its folders with the question that each answers, for DESIGN.md."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "DESIGN.md"
BEGIN, END = "<!-- folders: drawn by tests/test_house.py --rewrite-golden -->\n```\n", "```\n<!-- end of folders -->"
_COLUMN = 24


def folders() -> str:
    """A line per package: its name, indented, and the first sentence of its docstring."""
    packages = [path.parent for name in ("edgesim", "real_runtime", "experiments") for path in _packages(ROOT / name)]
    return "".join(f"{line.rstrip()}\n" for package in packages for line in [_line(package)])


def _packages(folder: Path) -> Iterator[Path]:
    yield folder / "__init__.py"
    for inner in sorted(folder.glob("*/__init__.py")):
        yield from _packages(inner.parent)


def _line(package: Path) -> str:
    depth = len(package.relative_to(ROOT).parts) - 1
    docstring = ast.get_docstring(ast.parse((package / "__init__.py").read_text())) or ""
    question = re.split(r"(?<=[?.])\s", docstring.splitlines()[0], maxsplit=1)[0]
    return f"{'  ' * depth}{package.name}/".ljust(_COLUMN) + question


def drawn(page: str) -> str:
    """The page with its picture drawn anew."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}{folders()}{END}{after}"
