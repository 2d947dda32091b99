"""How do the repository's pages become a site? MkDocs calls this before it builds.

Pages are written to be read in the repository, and their links lead to its files. Here each page is taken from where it
stands; a link to another page leads to it, one to a module to its page in the reference, and one to any other file or
folder to a page that shows it. Notebooks become pages, and every public name gets its page (reference.py).
"""

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from posixpath import normpath, relpath
from typing import Any

from mkdocs.structure.files import File, Files

sys.path.insert(0, str(Path(__file__).parent))
from reference import Entry, reference

ROOT = Path(__file__).parents[2]
# Pages of the site, by the file in the repository that each is taken from.
TAKEN = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "DESIGN.md": "design.md",
    "CHANGELOG.md": "changelog.md",
}
DOCS, SHOWN = "docs", "files"
LINK = re.compile(r"(!?)\[([^\]]*)\]\(([^)\s#]*)(#[^)\s]*)?\)")
FENCED = re.compile(r"(^```.*?^```$)", re.M | re.S)
ROLE = re.compile(r":(?:func|class|mod|meth|attr|data|exc):(?=<code>)")
LANGUAGES = {".py": "python", ".yaml": "yaml", ".cff": "yaml", ".json": "json", ".md": "markdown", ".csv": "text"}
LARGEST_BYTES = 64_000  # of a file that is shown whole
PICTURES = (".png", ".svg")
UNKEPT = ("runs", "sweeps", "searches", "demo", "__pycache__")  # of results/, and what Python leaves


class Site:
    """The pages, by their places on the site, and what they link to."""

    def __init__(self, config: Any, files: Files, modules: dict[str, str]) -> None:
        """``modules`` says which page of the reference a module of the repository has."""
        self.config, self.files = config, files
        own = {f"{DOCS}/{file.src_uri}": file.src_uri for file in files.documentation_pages()}
        notebooks = [file.src_uri for file in files if file.src_uri.endswith(".ipynb")]
        self.notebooks = {f"{DOCS}/{name}": str(PurePosixPath(name).with_suffix(".md")) for name in notebooks}
        self.pages = TAKEN | own | self.notebooks | modules
        self.shown: dict[str, str] = {}  # what links lead to, and no page is

    def build(self) -> None:
        """Put every page, with the links of the site, and what they lead to."""
        for source in TAKEN | {name: "" for name in self.pages if name.startswith(DOCS) and name.endswith(".md")}:
            self.put(self.pages[source], self.linked((ROOT / source).read_text(), source, self.pages[source]))
        for source, page in self.notebooks.items():
            self.put(page, self.linked(notebook_page(ROOT / source), source, page))
        for name in (f"{DOCS}/templates", "conf", "results"):
            self.show(name)
        links = "".join(f"- [{name}]({relpath(page, SHOWN)})\n" for name, page in sorted(self.shown.items()))
        self.put(f"{SHOWN}/index.md", f"# Files of the repository\n\nThose that pages name:\n\n{links}")

    def put(self, page: str, text: str) -> None:
        """Make or replace a page."""
        if (old := self.files.get_file_from_path(page)) is not None:
            self.files.remove(old)
        self.files.append(File.generated(self.config, page, content=text))

    def copied(self, name: str) -> str:
        """Where a file of the repository is on the site, as it is."""
        place = f"{SHOWN}/{name}"
        if self.files.get_file_from_path(place) is None:
            self.files.append(File.generated(self.config, place, abs_src_path=str(ROOT / name)))
        return place

    def linked(self, text: str, source: str, page: str) -> str:
        """A page's text with links of the site, but for what stands in blocks of code."""

        def link(found: re.Match[str]) -> str:
            picture, label, target, anchor = found.groups(default="")
            if not target or "://" in target:
                return found[0]
            place = self.place(normpath(str(PurePosixPath(source).parent / target)))
            return f"{picture}[{label}]({relpath(place, str(PurePosixPath(page).parent))}{anchor})"

        parts = FENCED.split(text)
        return "".join(part if i % 2 else LINK.sub(link, part) for i, part in enumerate(parts))

    def place(self, name: str) -> str:
        """Where a link to a file or folder of the repository leads on the site."""
        if name in self.pages:
            return self.pages[name]
        if not (ROOT / name).exists():
            return name  # which MkDocs warns of
        return self.copied(name) if name.endswith(PICTURES) else self.show(name)

    def show(self, name: str) -> str:
        """A page that shows a file or what a folder holds."""
        if name not in self.shown:
            path = ROOT / name
            self.shown[name] = f"{SHOWN}/{name}/index.md" if path.is_dir() else f"{SHOWN}/{name}.md"
            body = self.folder(name) if path.is_dir() else self.file(name, self.shown[name])
            self.put(self.shown[name], f"# {name}\n\n{body}")
        return self.shown[name]

    def file(self, name: str, page: str) -> str:
        """What a page says of a file: its text, or where to get it."""
        path = ROOT / name
        where = relpath(self.copied(name), str(PurePosixPath(page).parent))
        if path.suffix == ".md":
            return self.linked(path.read_text(), name, page)
        if path.stat().st_size > LARGEST_BYTES or path.suffix not in (*LANGUAGES, ""):
            return f"[{path.name}]({where}), {path.stat().st_size / 1e3:.0f} kB\n"
        return f"[{path.name}]({where})\n\n{fenced(path)}"

    def folder(self, name: str) -> str:
        """What a page says of a folder: configuration and code whole, of all else where to get it."""
        page, lines = f"{SHOWN}/{name}", []
        for path in files_of(ROOT / name):
            inner = path.relative_to(ROOT / name).as_posix()
            if path.suffix in (".yaml", ".py"):
                lines.append(f"## {inner}\n\n{fenced(path)}")
            else:
                lines.append(f"- [{inner}]({relpath(self.copied(f'{name}/{inner}'), page)})\n")
        return "".join(lines)


def files_of(folder: Path) -> Iterator[Path]:
    """All files that are kept, in order."""
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not set(UNKEPT) & set(path.relative_to(folder).parts):
            yield path


def fenced(path: Path) -> str:
    """A file's text as a block of code."""
    return f"````{LANGUAGES.get(path.suffix, 'text')}\n{path.read_text().rstrip()}\n````\n\n"


def notebook_page(path: Path) -> str:
    """A notebook's text and code; it is kept without what its cells show."""
    cells = json.loads(path.read_text())["cells"]
    code = ["".join(cell["source"]) for cell in cells]
    shown = [
        text if cell["cell_type"] == "markdown" else f"```python\n{text}\n```"
        for cell, text in zip(cells, code, strict=True)
    ]
    shown.insert(1, f"This page is a notebook: [{path.name}]({path.name}).")
    return "\n\n".join(shown) + "\n"


def on_files(files: Files, *, config: Any) -> Files:
    """Add what is no file of docs/."""
    groups = reference(ROOT)
    modules = {module: entry.page for entries in groups.values() for entry in entries for module in entry.modules}
    site = Site(config, files, modules)
    site.build()
    for entry in (entry for entries in groups.values() for entry in entries):
        site.put(entry.page, entry.text)
    site.put("reference/index.md", contents(groups))
    (nav,) = (entry for entry in config.nav if "Reference" in entry)
    nav["Reference"] = ["reference/index.md", *({title: pages_of(entries)} for title, entries in groups.items())]
    return files


def pages_of(entries: list[Entry]) -> list[dict[str, str]]:
    """The navigation of a group."""
    return [{entry.label: entry.page} for entry in entries]


def contents(groups: dict[str, list[Entry]]) -> str:
    """All pages of the reference on one."""
    parts = ["# Reference\n"]
    for title, entries in groups.items():
        links = ", ".join(f"[`{entry.label}`]({relpath(entry.page, 'reference')})" for entry in entries)
        parts.append(f"## {title}\n\n{links}\n")
    return "\n".join(parts)


def on_page_content(html: str, **_: object) -> str:
    """Docstrings name the roles of what they refer to; a reader needs the name only."""
    return ROLE.sub("", html)
