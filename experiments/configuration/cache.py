"""What is built already? Nouns, plans and schedules that runs share, by the text of what they were built from."""

import json
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeVar

from omegaconf import OmegaConf

from edgesim.own_code import is_users_file
from edgesim.zoo.hugging_face import config_file
from experiments.configuration.constructors import Config
from experiments.configuration.planners import Handed, planner_files
from experiments.configuration.targets import is_ours
from experiments.intervals.validated import residuals_file

T = TypeVar("T")
_CAPACITY = 256  # of each kind a sweep needs a few at a time; schedules are the largest
_READ_BY_CONTENDERS = ("groups", "depth", "divides")  # of a strategy, by options of planners that contend


class Cache:
    """What has been built, by what it was built from; of too many, the one not used for longest goes."""

    def __init__(self) -> None:
        self.things: OrderedDict[Hashable, Any] = OrderedDict()

    def get(self, key: Hashable, make: Callable[[], T]) -> T:
        """The thing of this key, made at its first use."""
        if key not in self.things:
            self.things[key] = make()
            if len(self.things) > _CAPACITY:
                self.things.popitem(last=False)
        self.things.move_to_end(key)
        thing: T = self.things[key]
        return thing


def texts_of(cfg: Config) -> dict[str, str]:
    """What each noun is built from, as texts that differ where anything differs; a file by when it was written."""
    files = files_of(cfg)
    texts = {
        noun: f"{noun}: {text(cfg[noun])}" + "".join(f" {_written_ns(file)}" for file in files.get(noun, ()))
        for noun in ("model", "workload", "cluster", "profile", "planner", "strategy", "scenario")
    }
    return texts | {
        "model": f"{texts['model']} {text(cfg['finetuning'])}",
        "cluster": f"{texts['cluster']} {text(cfg.get('disks'))}",
        "planner": f"{texts['planner']} {text([cfg.get(name) for name in _READ_BY_CONTENDERS])}",
        "modes": f"modes: {text(cfg['modes'])}",
    }


def files_of(cfg: Config) -> dict[str, list[str]]:
    """Files that a configuration names, by the noun that is read from them."""
    table, given = cfg["model"].get("table"), cfg["model"].get("from")
    own = table if str(table).endswith(".json") else None  # kept tables change with the library
    paths = {
        "model": [own, given and config_file(given)],
        "cluster": [cfg["network"]["calibrated"], cfg.get("disks")],
        "profile": [cfg["profile"].get("path"), residuals_file(cfg)],
        "scenario": [event.get("path") for event in (cfg["scenario"].get("events") or {}).values()],
    }
    planner = cfg["planner"]
    paths["planner"] = [planner.get("old")]  # the plan that was running before a loss
    if Handed.CONTENDERS in (planner.get("handed") or ()):
        paths["planner"] += map(str, planner_files(cfg["config_dirs"]))
    return {noun: [path for path in named if path] for noun, named in paths.items()}


def own_modules(node: Any) -> Iterator[str]:
    """The source files of a user's own functions that a configuration names."""
    for value in node.values() if isinstance(node, Mapping) else node if isinstance(node, list) else ():
        yield from own_modules(value)
    if isinstance(node, Mapping) and isinstance(target := node.get("_target_"), str) and not is_ours(target):
        module = target.rpartition(".")[0]
        try:
            spec = find_spec(module) if module else None
        except (ImportError, ValueError):  # a class within a module, or nothing: whoever builds it says so
            spec = None
        if spec is not None and spec.origin is not None and is_users_file(spec.origin):
            yield spec.origin


def _written_ns(path: str) -> tuple[str, int]:
    return path, Path(path).stat().st_mtime_ns


def text(cfg: Any) -> str:
    """A part of a configuration as text that is equal where it is."""
    plain = OmegaConf.to_container(cfg, resolve=True) if OmegaConf.is_config(cfg) else cfg
    return json.dumps(plain, sort_keys=True, default=str)
