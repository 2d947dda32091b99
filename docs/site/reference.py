"""Which public names are there, and on which page is each? What scripts import, what configuration names, commands."""

import enum
import re
from collections.abc import Iterable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

import edgesim
from edgesim import front_door
from experiments.commands import COMMANDS

FOLDER = "reference"
TARGET = re.compile(r"_target_: ([\w.]+)")
# Packages whose __all__ holds more than edgesim's does, and modules whose functions a script may call by themselves.
PACKAGES = (
    "cluster",
    "explanation",
    "intervals",
    "job",
    "metered",
    "model",
    "plan",
    "profile",
    "recording",
    "schedule",
    "simulator",
    "strategies",
    "zoo.hugging_face",
)
MODULES = (
    "edgesim.apportion",
    "edgesim.cached_training.phases",
    "edgesim.cached_training.redistribution",
    "edgesim.calibration",
    "edgesim.energy",
    "edgesim.errors",
    "edgesim.finetuning",
    "edgesim.footprint",
    "edgesim.memory",
    "edgesim.metrics",
    "edgesim.perfetto",
    "edgesim.planners.alone",
    "edgesim.planners.micro_batches",
    "edgesim.planners.problem",
    "edgesim.planners.recomputation",
    "edgesim.proof",
    "edgesim.recovery.heavy",
    "edgesim.recovery.lightweight",
    "edgesim.recovery.migrations",
    "edgesim.recovery.proven",
    "edgesim.recovery.replication",
    "edgesim.recovery.restart",
    "edgesim.recovery.training_setup",
    "edgesim.scenario",
    "edgesim.steady_state",
    "edgesim.trace",
    "edgesim.units",
    "edgesim.workload",
    "edgesim.zoo.untied",
    "experiments.autopilot.tolerances",
    "experiments.jobs.asked",
    "real_runtime.assignment",
    "real_runtime.data",
    "real_runtime.data.samples",
    "real_runtime.jobs.execute_job",
    "real_runtime.profiler",
    "real_runtime.ssh.inventory",
    "real_runtime.statistic",
    "real_runtime.testbeds.opening",
    "real_runtime.testbeds.spec",
    "real_runtime.testbeds.testbed",
    "real_runtime.tracing.layer_table",
)
# By the folder of conf/ in which a name stands.
OF_CONF = {
    "planner": "Planners",
    "strategy": "Strategies",
    "model": "Models",
    "launcher": "Launchers",
    "meter": "Meters",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One page.

    Attributes:
        label: what the navigation calls it.
        page: where it is on the site.
        text: what it says, in which mkdocstrings finds what to show.
        modules: files of the repository to which links lead here.
    """

    label: str
    page: str
    text: str
    modules: tuple[str, ...] = ()


def reference(root: Path) -> dict[str, list[Entry]]:
    """All pages, by their group."""
    groups = {
        "From Python": [of_name(name, f"experiments.api.{name}", "api") for name in front_door.__all__],
        "Nouns": [of_name(name, f"edgesim.{name}", "edgesim") for name in edgesim.__all__],
    }
    for folder, title in OF_CONF.items():
        groups[title] = [of_targets(module, names, root) for module, names in targets(root, folder).items()]
    groups["Packages"] = [of_package(f"edgesim.{name}") for name in PACKAGES]
    groups["Modules"] = [of_module(name, root) for name in MODULES]
    groups["Commands"] = [of_command(name, root) for name in dict.fromkeys(each.module for each in COMMANDS)]
    return groups


def own_names(package: str) -> list[str]:
    """What a package offers beside the names that edgesim offers too."""
    return [name for name in getattr(import_module(package), "__all__", ["Strategy"]) if name not in edgesim.__all__]


def targets(root: Path, folder: str) -> dict[str, list[str]]:
    """The functions and classes that the configuration files of a group name, by their modules; no nouns."""
    texts = [path.read_text() for path in sorted((root / "conf" / folder).glob("*.yaml"))]
    found: dict[str, list[str]] = {}
    for target in sorted({name for text in texts for name in TARGET.findall(text)}):
        module, _, name = target.rpartition(".")
        if module not in ("edgesim", *MODULES, *(f"edgesim.{package}" for package in PACKAGES)):
            found.setdefault(module, []).append(name)
    return found


def of_name(name: str, place: str, folder: str) -> Entry:
    """A page of one class or function; an enumeration shows its members, whose names say what they are."""
    noun = getattr(edgesim, name)
    members = isinstance(noun, type) and issubclass(noun, enum.Enum)
    text = shown(place, heading=f"edgesim.{name}", **({"show_if_no_docstring": "true"} if members else {}))
    return Entry(label=name, page=f"{FOLDER}/{folder}/{name}.md", text=text)


def of_targets(module: str, names: list[str], root: Path) -> Entry:
    """A page of what configuration files name, with what its module says: the method, and where it was published."""
    text = shown(module, members=f"[{', '.join(names)}]")
    return Entry(label=", ".join(names), page=f"{FOLDER}/{module}.md", text=text, modules=tuple(file_of(module, root)))


def of_package(name: str) -> Entry:
    """A page of what a package is about, and of what it offers beside nouns."""
    parts = [shown(name, members="false")]
    parts += [shown(f"{name}.{own}", heading_level="2", show_if_no_docstring="true") for own in own_names(name)]
    return Entry(label=name, page=f"{FOLDER}/{name}.md", text="".join(parts))


def of_module(name: str, root: Path) -> Entry:
    """A page of a module and all that is public in it."""
    return Entry(label=name, page=f"{FOLDER}/{name}.md", text=shown(name), modules=tuple(file_of(name, root)))


def of_command(name: str, root: Path) -> Entry:
    """A page of what a command does, and how it is called."""
    command = next(each for each in COMMANDS if each.module == name)
    (path,) = file_of(name, root)
    place = path.removesuffix(".py").replace("/", ".")
    text = f"# edgesim {command.name}\n\n{command.says}\n\n" + shown(place, heading_level="2", members="[main]")
    return Entry(label=command.name, page=f"{FOLDER}/commands/{command.name}.md", text=text, modules=(path,))


def file_of(module: str, root: Path) -> Iterable[str]:
    """The file of a module, if it is one of ours and no package; of a package that is started, its __main__."""
    path = module.replace(".", "/")
    for name in (f"{path}.py", f"{path}/__main__.py"):
        if (root / name).is_file():
            yield name
            return


def shown(place: str, **options: str) -> str:
    """What mkdocstrings replaces by the docstrings of a place."""
    lines = "".join(f"      {name}: {value}\n" for name, value in options.items())
    return f"::: {place}\n" + (f"    options:\n{lines}" if lines else "") + "\n"
