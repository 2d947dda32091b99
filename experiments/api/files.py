"""Where does a configuration find what was given as an object or by its path? In a folder of files, made for one call.

Such a folder is like any that ``--config-dir`` names, so that all that follows is the same as for a name of conf/.
"""

import json
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import fields
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from edgesim.cluster import Cluster, Device, Grid
from edgesim.model import Model
from edgesim.profile import Profile
from edgesim.scenario import Scenario
from edgesim.scratch import scratch_folder
from edgesim.workload import Workload
from experiments.api.nouns import to_text

# Which class may be given for which group of conf/, beside names and paths.
NOUNS: Mapping[str, type] = {
    "cluster": Cluster,
    "device": Device,
    "grid": Grid,
    "model": Model,
    "profile": Profile,
    "scenario": Scenario,
    "workload": Workload,
}
_FUNCTIONS = ("planner", "strategy")
_GLOBAL = "# @package _global_\n"
_HUGGING_FACE, _TABLE = "hugging_face", "edgesim.model.from_table"


class Files:
    """The folder of one call; it is gone when the call is over."""

    def __init__(self) -> None:
        self._leaving = ExitStack()
        self.made = self._leaving.enter_context(scratch_folder())
        self.users: list[str] = []  # folders of configuration files in which given files lie

    def __enter__(self) -> "Files":
        return self

    def __exit__(self, *error: object) -> None:
        self._leaving.close()

    @property
    def folders(self) -> tuple[str, ...]:
        """Where to look beside conf/."""
        return (*([str(self.made)] if any(self.made.iterdir()) else []), *self.users)

    def words(self, group: str, given: Any) -> tuple[tuple[str, Any], ...]:
        """The keys and values that choose what was given: one, or for a Hugging Face configuration two."""
        if isinstance(given, str) and not _is_path(given):
            return ((group, given),)
        if isinstance(given, str | Path):
            return self._of_path(group, Path(given).expanduser())
        if isinstance(given, list | tuple) and all(isinstance(each, str) for each in given):
            return ((group, list(given)),)  # several scenarios, one on top of the other
        if isinstance(given, NOUNS.get(group, ())):
            return ((group, self._of_noun(group, given)),)
        if group in _FUNCTIONS and callable(given):
            return ((group, self._of_function(group, given)),)
        kinds = [NOUNS[group].__name__] if group in NOUNS else ["function"] if group in _FUNCTIONS else []
        expected = ", ".join(["a name", "a path", *(f"a {kind}" for kind in kinds)])
        raise ValueError(f"{group}: expected {expected}, or a mapping of its values, got {given!r}")

    def _of_path(self, group: str, path: Path) -> tuple[tuple[str, Any], ...]:
        if not path.exists():
            raise ValueError(f"{group}: no such file: {path}")
        path = path.resolve()
        if group == "model" and (path.is_dir() or path.suffix == ".json"):
            if path.is_dir() or not _is_table(path):
                return ((group, _HUGGING_FACE), (f"{group}.from", str(path)))
            return ((group, self._write(group, path.stem, {"_target_": _TABLE, "table": str(path)})),)
        if path.suffix not in (".yaml", ".yml"):
            raise ValueError(f"{group}: {path} does not end in .yaml (a file like those of conf/{group})")
        if path.parent.name == group:  # its defaults may name its neighbours
            self.users.append(str(path.parent.parent))
        name = f"{path.stem}-{_digest(str(path))}"
        link = self.made / group / f"{name}.yaml"
        link.parent.mkdir(parents=True, exist_ok=True)
        if not link.exists():
            link.symlink_to(path)
        return ((group, name),)

    def _of_noun(self, group: str, noun: Any) -> str:
        if isinstance(noun, Profile) and noun.estimates is not None:
            raise ValueError(
                f"profile: {noun} is computed from a model and its devices (leave it out: profile='estimated' makes "
                "it; a measured one can be given)"
            )
        if isinstance(noun, Workload):
            values = {each.name: getattr(noun, each.name) for each in fields(noun)}
            plain = {name: str(value) if isinstance(value, str) else value for name, value in values.items()}
            return self._write(group, group, {"_target_": "edgesim.Workload"} | plain)
        node: dict[str, Any] = {"_target_": "experiments.api.nouns.noun", "text": to_text(noun)}
        if isinstance(noun, Profile):
            node |= {"_target_": "experiments.api.nouns.profile", "_partial_": True}
        if isinstance(noun, Cluster):
            return self._write(group, noun.name, {group: node, "network": {"calibrated": None}}, head=_GLOBAL)
        return self._write(group, getattr(noun, "name", group), node)

    def _of_function(self, group: str, function: Callable[..., Any]) -> str:
        """A function of a module by its place, with the options that ``functools.partial`` binds."""
        options: dict[str, Any] = {}
        while isinstance(function, partial):
            if function.args:
                raise ValueError(f"{group}: options are bound by their names, got {function.args!r} without any")
            options, function = {**function.keywords, **options}, function.func
        module, name = getattr(function, "__module__", ""), getattr(function, "__qualname__", "")
        if not name.isidentifier():
            raise ValueError(
                f"{group}: {name or function!r} is not a function at the top of a module, where another process could "
                "find it (define it there; options are bound by functools.partial)"
            )
        node = {"_target_": f"{module}.{name}", "_partial_": True} | options
        return self._write(group, name, {group: node}, head=_GLOBAL)

    def _write(self, group: str, name: str, node: Mapping[str, Any], *, head: str = "") -> str:
        text = head + OmegaConf.to_yaml(OmegaConf.create(dict(node)))
        safe = "".join(letter if letter.isalnum() else "_" for letter in name)
        name = f"{safe}-{_digest(text)}"
        path = self.made / group / f"{name}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return name


def _is_path(text: str) -> bool:
    return "/" in text or text.endswith((".yaml", ".yml", ".json"))


def _is_table(path: Path) -> bool:
    """Whether a JSON file is a layer table; what cannot be read is told of by its reader."""
    try:
        data = json.loads(path.read_text())
    except (ValueError, OSError):
        return False
    return isinstance(data, dict) and "layers" in data and "model_type" not in data


def _digest(text: str) -> str:
    return sha256(text.encode()).hexdigest()[:8]
