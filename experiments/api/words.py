"""Which overrides do Python's keywords stand for? The same words that a command line would hold."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from experiments.api.files import Files
from experiments.configuration.keys import TOP
from experiments.configuration.places import CONF
from experiments.configuration.suggestions import suggestion
from experiments.sweeps.grid import Composer, Sweep

# What people set most often, by a short name.
SHORT: Mapping[str, str] = {"rate": "network.rate", "latency": "network.latency", "count": "cluster.count"}
_PLAIN = re.compile(r"[A-Za-z0-9_./+-]([A-Za-z0-9_./+ -]*[A-Za-z0-9_./+-])?")


Pair = tuple[str, Any]  # a key and what was given for it


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """Something that a configuration names, with values of one's own: a planner, a strategy, a method, a profile.

    Attributes:
        group: the folder of conf/ in which such things lie.
        name: of the file, without its ending, or the path of a file elsewhere.
        options: values that take the place of the file's.
    """

    group: str
    name: str
    options: Mapping[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        options = ", ".join(f"{name}={value!r}" for name, value in self.options.items())
        return f"{self.group} {self.name}" + (f" ({options})" if options else "")


def groups() -> list[str]:
    """What can be chosen by name: the folders of conf/."""
    return sorted(path.name for path in CONF.iterdir() if path.is_dir())


def pairs(asked: Mapping[str, Any], files: Files) -> Iterator[Pair]:
    """Keys and values of everything that was asked; what is None was not."""
    known = groups()
    for name, value in asked.items():
        key = SHORT.get(name, name)
        if value is None:
            continue
        if isinstance(value, Choice):
            if value.group != key:
                raise ValueError(f"{key}: {value} was given, which is no {key} (say {value.group}=...)")
            yield from files.words(key, value.name)
            yield from _leaves(value.options, key)
        elif isinstance(value, Mapping):
            yield from _leaves(value, key)
        elif (group := key.partition("@")[0]) in known:
            yield from ((f"{key}{chosen[len(group) :]}", given) for chosen, given in files.words(group, value))
        else:
            yield key, value
    _refuse_rates_of_its_own(asked)


def _leaves(values: Mapping[str, Any], above: str) -> Iterator[Pair]:
    for name, value in values.items():
        key = f"{above}.{name}"
        if isinstance(value, Mapping):
            yield from _leaves(value, key)
        else:
            yield key, value


def _refuse_rates_of_its_own(asked: Mapping[str, Any]) -> None:
    """Raise ValueError for a rate beside a cluster that was built in Python: its network stands in it."""
    cluster = asked.get("cluster")
    if cluster is None or isinstance(cluster, str | Path | Mapping | Choice):
        return
    for name in ("rate", "latency", "count", "network"):
        if asked.get(name) is not None:
            raise ValueError(
                f"{name}: the cluster {getattr(cluster, 'name', cluster)} was given as it is, with its own network "
                f"(build it so, or name one: load_cluster('nanos', {name}=...))"
            )


class Words:
    """Writes keys and values as overrides of what is chosen."""

    def __init__(self, choices: Sequence[Pair], folders: Sequence[str]) -> None:
        """``choices`` are what was asked that chooses files; all else is set in what they give."""
        self.composer = Composer(Sweep((), (), tuple(folders)))
        self.chosen = tuple(self.word(key, value) for key, value in choices)

    def word(self, key: str, value: Any) -> str:
        """The override; with a plus where a constructor takes a key that its file leaves out."""
        text = f"{key}={written(key, value)}"
        if is_choice(key):
            return f"+{text}" if "@" in key else text
        above, _, last = key.rpartition(".")
        base = self.composer.base(self.chosen)
        node = OmegaConf.select(base, above, throw_on_missing=False) if above else base
        if not above and last not in list(base) and last not in TOP:
            known = {*SHORT, *groups(), *TOP}
            raise ValueError(f"unknown key {last!r}{suggestion(last, known, listed=len(known))}")
        adds = (
            isinstance(node, DictConfig) and last not in list(node) and ("_target_" in node if above else last in TOP)
        )
        return f"+{text}" if adds else text


def is_choice(key: str) -> bool:
    """Whether a key chooses a file, rather than setting a value."""
    return key in groups() or "@" in key


def written(key: str, value: Any) -> str:
    """A value as an override writes it. Raises ValueError for what cannot be written."""
    if isinstance(value, Enum):
        value = value.value
    if isinstance(value, Path):
        value = str(value)
    if hasattr(value, "item") and not isinstance(value, str):
        value = value.item()  # a number of NumPy's
    if isinstance(value, str):
        return value if _PLAIN.fullmatch(value) else "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, list | tuple):
        return f"[{','.join(written(key, item) for item in value)}]"
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{name}:{written(key, item)}" for name, item in value.items()) + "}"
    raise ValueError(f"{key}: expected a number, a text, a list or a mapping, got {value!r}")
