"""Does the documentation become a site: without a warning, with a place for every public name, and nothing fetched?"""

import os
import pkgutil
import re
import subprocess
import sys
import zlib
from importlib import import_module
from pathlib import Path

import griffe
import pytest

import edgesim
from edgesim import front_door
from experiments.commands import COMMANDS

ROOT = Path(__file__).parent.parent
pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("docs")]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built as ``make docs`` does: a warning is a failure."""
    folder = tmp_path_factory.mktemp("docs") / "site"
    build = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    env = os.environ | {"NO_MKDOCS_2_WARNING": "1", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(build, cwd=ROOT, env=env, capture_output=True, text=True, timeout=150)
    assert done.returncode == 0, done.stderr
    assert "WARNING" not in done.stderr
    return folder


def places(site: Path) -> dict[str, str]:
    """Of every documented name, the page and the anchor, as the site's inventory for other sites says."""
    inventory = (site / "objects.inv").read_bytes()
    lines = zlib.decompress(inventory.split(b"\n", 4)[4]).decode().splitlines()
    return {name: place.replace("$", name) for name, _, _, place, *_ in map(str.split, lines)}


def public_names() -> set[str]:
    """What ``__all__`` of edgesim, of the front door and of edgesim's packages holds, and what configuration names."""
    names = {f"experiments.api.{name}" for name in front_door.__all__} | {f"edgesim.{name}" for name in edgesim.__all__}
    for found in pkgutil.walk_packages(edgesim.__path__, "edgesim."):
        if found.ispkg:
            offered = getattr(import_module(found.name), "__all__", ())
            names |= {f"{found.name}.{name}" for name in offered if name not in edgesim.__all__}
    for path in (ROOT / "conf").rglob("*.yaml"):
        names |= set(re.findall(r"_target_: ([\w.]+)", path.read_text()))
    return {name for name in names if not name.startswith("experiments.configuration")}  # nothing that one calls


def test_every_public_name_says_what_it_is() -> None:
    """Constants, too: by a sentence below them."""
    loader = griffe.GriffeLoader(search_paths=[ROOT])
    for package in ("edgesim", "experiments", "real_runtime"):
        loader.load(package)
    loader.resolve_aliases(implicit=True, external=False)
    assert [name for name in sorted(public_names()) if not loader.modules_collection[name].has_docstring] == []


def test_every_public_name_has_its_place(site: Path) -> None:
    known, names = places(site), public_names()
    assert len(names) > 150
    assert names - known.keys() == set()
    pages = {page: (site / page).read_text() for page in {known[name].partition("#")[0] for name in names}}
    for name in names:
        page, _, anchor = known[name].partition("#")
        assert f'id="{anchor}"' in pages[page], name


def test_every_name_of_a_script_and_every_noun_has_a_page_of_its_own(site: Path) -> None:
    api, nouns = ({path.stem for path in (site / "reference" / folder).glob("*.html")} for folder in ("api", "edgesim"))
    assert (api, nouns) == (set(front_door.__all__), set(edgesim.__all__))
    commands = {path.stem for path in (site / "reference" / "commands").glob("*.html")}
    assert commands == {command.name for command in COMMANDS} - {"sweep"}, "sweep is run's page"


def test_a_page_loads_nothing_from_elsewhere_and_shows_no_markup(site: Path) -> None:
    pages = sorted(site.rglob("*.html"))
    assert len(pages) > 150
    for page in pages:
        html = page.read_text()
        assert not re.search(r'(src="|<link [^>]*href=")https?:', html), page
        said = re.sub(r"<(pre|details|code)\b.*?</\1>", "", html, flags=re.S)
        assert not re.search(r":(func|class|mod|meth|attr|data|exc):", said), page


def test_what_pages_of_the_repository_link_to_is_on_the_site(site: Path) -> None:
    """Pages, pictures, notebooks, and files that stay in the repository."""
    index, commands = (site / "index.html").read_text(), (site / "commands.html").read_text()
    for target in ("contributing.html", "results.html", "notebooks/first_results.html", "files/LICENSE.html"):
        assert f'href="{target}"' in index
        assert (site / target).is_file()
    assert (site / "files/results/parallelisms/speedup_over_bandwidth.png").is_file()
    assert (site / "notebooks/first_results.ipynb").is_file()
    assert 'href="files/docs/templates/index.html"' in commands
    assert "my_planner" in (site / "files/docs/templates/index.html").read_text()
