"""What identifies a run? All that its result depends on: its configuration, and what the files that it names say."""

import json
from collections.abc import Mapping
from functools import lru_cache
from hashlib import file_digest, sha256
from pathlib import Path
from typing import Any

from edgesim.zoo.hugging_face.reading import config_file, name_of
from experiments.configuration.cache import files_of, own_modules
from real_runtime.data.text_folder import text_of_folder

# What says where and how a run is made or shown, not what it is.
BESIDE = tuple(
    """
    results power save_weights config_dirs study sweep launcher search calibration fit validation demo autopilot
    """.split()  # noqa: SIM905
)
# What matters only to a run that is also executed.
_REAL = ("testbed", "data", "iterations", "rehearsals", "checkpoint")
_METERS = ("meter", "meters")  # of a run that is executed, where there are any


def key(config: Mapping[str, Any]) -> str:
    """What identifies a run: a hash of all that its result depends on, files by their content, not by their place."""
    left_out = BESIDE if config["execute"] else BESIDE + _REAL
    left_out += ("residuals",)  # of which the content counts
    left_out += tuple(name for name in _METERS if not (config["execute"] and config.get(name)))
    matters = {name: value for name, value in config.items() if name not in left_out}
    named = [file for files in files_of(config).values() for file in files]
    contents = {file: sha256(Path(file).read_bytes()).hexdigest() for file in (*named, *own_modules(matters))}
    if config["execute"]:
        contents |= _folders_read(config)
    if given := config["model"].get("from"):  # which also names the model
        contents[given] = f"{contents.pop(file := config_file(given))} {name_of(file)}"
    placeless = _without_places(matters, contents)
    return sha256(json.dumps([placeless, sorted(contents.values())], default=str).encode()).hexdigest()[:32]


def _folders_read(config: Mapping[str, Any]) -> dict[str, str]:
    """Of the folders that a real run reads, what they hold of weights and text."""
    contents = {}
    if weights := config["checkpoint"]:
        contents[weights] = _hash_of_weights(Path(weights))
    if (data := config["data"])["kind"] == "text" and data["folder"]:
        contents[data["folder"]] = sha256(text_of_folder(data["folder"])).hexdigest()
    return contents


def _hash_of_weights(folder: Path) -> str:
    """Of a folder as transformers saves weights."""
    files = sorted(path for path in folder.iterdir() if path.suffix in (".json", ".safetensors", ".bin"))
    return sha256("".join(f"{path.name} {_hash_of(path, *_as_written(path))} " for path in files).encode()).hexdigest()


def _as_written(path: Path) -> tuple[int, int]:
    return path.stat().st_size, path.stat().st_mtime_ns


@lru_cache(maxsize=100)
def _hash_of(path: Path, size: int, written_ns: int) -> str:
    """Of a file that may be large, once for all runs of a process that read it, as long as it is the same."""
    with path.open("rb") as file:
        return file_digest(file, "sha256").hexdigest()


def _without_places(node: Any, contents: Mapping[str, str]) -> Any:
    """The values with each file's content in the place of its path; mappings in the order of their keys."""
    if isinstance(node, Mapping):
        return {name: _without_places(node[name], contents) for name in sorted(node, key=str)}
    if isinstance(node, list):
        return [_without_places(item, contents) for item in node]
    return contents.get(node, node) if isinstance(node, str) else node
