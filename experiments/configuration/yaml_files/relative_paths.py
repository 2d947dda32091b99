"""Where does a relative path in a configuration file lead? From that file's own folder, wherever the user stands.

Composing forgets which file a value came from. So paths are turned when a file is read: into paths as seen from where
the user stands, short beneath it and in full elsewhere. What a command line gives starts where the user stands anyway.
"""

import copy
import os
from collections.abc import Callable, Iterator, Sequence
from fnmatch import fnmatchcase
from functools import lru_cache
from pathlib import Path
from typing import Any

from hydra._internal.core_plugins.file_config_source import FileConfigSource
from hydra._internal.sources_registry import SourcesRegistry
from hydra.core.plugins import Plugins
from hydra.plugins.config_source import ConfigResult
from omegaconf import DictConfig, OmegaConf

# Keys that name a file or a folder to read, in the composed configuration.
PATHS = (
    "checkpoint",
    "activations",
    "calibration.disk_folder",
    "data.folder",
    "data.tokenizer",
    "disks",
    "job.checkpoints",
    "job.resume",
    "launcher.working_dir",
    "model.from",
    "model.table",
    "network.calibrated",
    "planner.old",
    "profile.path",
    "residuals",
    "scenario.events.*.path",
    "testbed.hosts.*.key",
    "testbed.reaching.ssh_config",
    "testbed.reaching.wheel",
)
Turn = Callable[[str], str]
Place = tuple[str | int, ...]  # of a value: the keys and indices that lead to it


class TurningSource(FileConfigSource):
    """Reads files as Hydra does, and turns their paths."""

    def load_config(self, config_path: str) -> ConfigResult:
        """The file's content, its paths as seen from where the user stands."""
        file = Path(self.path, self._normalize_file_name(config_path))
        content = file.read_bytes() if file.is_file() else b""
        return copy.deepcopy(_read(self.provider, self.path, config_path, content, _folder_of(file), Path.cwd()))


@lru_cache(maxsize=500)
def _read(provider: str, path: str, config_path: str, content: bytes, folder: Path, here: Path) -> ConfigResult:
    """A file as it is read once, for as long as its ``content`` and its place, seen from ``here``, are the same."""
    try:
        result = FileConfigSource(provider, path).load_config(config_path)
    except RecursionError as error:
        raise ValueError(f"{Path(path, config_path)} holds itself (an anchor within what it names)") from error
    turn_paths(result.config, package_of(result.header, config_path), lambda path: from_here(folder / path))
    return result


def _folder_of(file: Path) -> Path:
    """Where a configuration file lies; of a link, where the file itself lies."""
    return file.resolve().parent if file.is_symlink() else file.parent


def read_files_so() -> None:
    """Let Hydra read all files so, those of --config-dir too. It has no hook for this but its registry of sources."""
    Plugins.instance()  # registers Hydra's own, once
    SourcesRegistry.instance().types[FileConfigSource.scheme()] = TurningSource


def package_of(header: dict[str, str | None], config_path: str) -> str:
    """Where a file's content goes in the composed configuration: its group, unless its first lines say otherwise."""
    group = config_path.rpartition("/")[0].replace("/", ".")
    package = header.get("package") or "_group_"
    return {"_global_": "", "_group_": group}.get(package, package)


def turn_paths(cfg: Any, package: str, turn: Turn) -> None:
    """Turn all relative paths of a file's content in place."""
    for place, path in relative_paths(cfg, package):
        node = cfg
        for key in place[:-1]:
            node = node[key]
        node[place[-1]] = turn(path)


def relative_paths(cfg: Any, package: str) -> list[tuple[Place, str]]:
    """The places of all relative paths of a file's content, and the paths."""
    if not isinstance(cfg, DictConfig):
        return []
    plain = OmegaConf.to_container(cfg, resolve=False)
    named = [found for rest in _below(package) for found in _matches(plain, rest)]
    return [(place, path) for place, path in (*named, *_swept(plain, package)) if _is_relative(path, place[-1])]


def from_here(path: Path) -> str:
    """A path as seen from where the user stands: short beneath it, in full elsewhere."""
    whole = Path(os.path.normpath(path.absolute()))
    return str(whole.relative_to(Path.cwd()) if whole.is_relative_to(Path.cwd()) else whole)


def _below(package: str) -> Iterator[list[str]]:
    """What is left of the keys in a file whose content goes to this place."""
    parts = package.split(".") if package else []
    for key in PATHS:
        whole = key.split(".")
        if len(parts) < len(whole) and all(map(fnmatchcase, parts, whole)):
            yield whole[len(parts) :]


def _matches(node: Any, keys: Sequence[str], place: Place = ()) -> Iterator[tuple[Place, Any]]:
    """The values under keys, of which ``*`` is any."""
    if not keys:
        yield place, node
    elif isinstance(node, dict):
        for key in node if keys[0] == "*" else [keys[0]] if keys[0] in node else ():
            yield from _matches(node[key], keys[1:], (*place, key))


def _swept(plain: Any, package: str) -> Iterator[tuple[Place, Any]]:
    """The paths that a study sweeps over: ``study.over``, where names joined by + have lists of values."""
    study = plain.get("study") if not package else None
    over = study.get("over") if isinstance(study, dict) else None
    for names, choices in over.items() if isinstance(over, dict) else ():
        each = str(names).split("+")
        for i, choice in enumerate(choices if isinstance(choices, list) else ()):
            place = ("study", "over", names, i)
            for j, name in enumerate(each):
                if any(fnmatchcase(name, key) for key in PATHS):
                    if len(each) == 1:
                        yield place, choice
                    elif isinstance(choice, list) and j < len(choice):
                        yield (*place, j), choice[j]


def _is_relative(path: Any, key: str | int) -> bool:
    """Whether a value is a path that starts at its file: no link, and no name of a table that the library holds."""
    if not isinstance(path, str) or path in ("", "???") or "${" in path:
        return False
    return not Path(path).is_absolute() and not path.startswith("~") and (key != "table" or path.endswith(".json"))
