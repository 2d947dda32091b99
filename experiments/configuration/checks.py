"""Does every value of a configuration fit its key? Quantities by the unit in the key's name, the rest by type.

What a constructor takes stands in its signature, what a quantity measures at the end of its name (``_s``,
``_bytes_per_s`` ...; see :mod:`edgesim.units`). Keys of no constructor stand in keys.py.
"""

import inspect
import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import lru_cache
from math import isfinite
from typing import Any, get_args, get_origin, get_type_hints

from omegaconf import DictConfig, Node, OmegaConf

from edgesim.units import dimension_of, quantity
from experiments.configuration.keys import (
    ABOVE_ZERO,
    ANY_SIGN,
    AT_LEAST_ONE,
    IF_NULL,
    LINKED,
    NETWORK,
    NOUNS,
    OR_NULL,
    QUANTITIES,
    TOP,
    TYPES,
)
from experiments.configuration.suggestions import suggestion
from experiments.configuration.targets import OF_HYDRA, check_class, check_target, load
from experiments.configuration.value_types import MAPPINGS, NO_HINT, choices, inner, misfit, near, shown, takes_numbers

_OF_PLANNERS = frozenset(("handed", "declares", "micro_batch"))  # read by configuration.planners, not by the function
_UNREAD = ("launcher", "data")  # their constructors load what a simulation does not need: their keys stand in TYPES
_LINK = re.compile(r"\$\{(?:si:\s*\$\{|oc\.select:\s*)?([\w.\-\[\]]+)(?:,[^{}]*)?\}{1,2}")
_KEPT = 1000  # branches of configurations that were found right
_NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?")


def check_values(cfg: DictConfig) -> None:
    """Raise ValueError for a value that does not fit its key; quantities with units become numbers in place."""
    for key in LINKED & cfg.keys():
        if not OmegaConf.is_dict(cfg[key]):
            raise ValueError(f"{key}: expected a mapping, like {{name: value}}, got {shown(cfg[key])}")
    written = OmegaConf.to_container(cfg, resolve=False)
    for path, number in _quantities(OmegaConf.to_container(cfg, resolve=True), written):
        OmegaConf.update(cfg, path, number)


def check_plain(plain: dict[str, Any], written: Any) -> None:
    """The same for plain values, resolved, and as they are ``written``, with links: each has a copy of its mapping."""
    found = _quantities(plain, written)
    links = list(_linked(written, "")) if found else []
    for path, number in found:
        copies = (f"{at}{path.removeprefix(to)}" for at, to in links if path.startswith(f"{to}."))
        for place in (path, *copies):
            node: Any = plain
            *above, last = re.split(r"\.|\[", place.replace("]", ""))
            for key in above:
                node = node[int(key) if isinstance(node, list) else key]
            node[int(last) if isinstance(node, list) else last] = number


def _linked(written: Any, path: str) -> Iterator[tuple[str, str]]:
    """Where what is written is a link, and to what."""
    if isinstance(written, str) and (link := _LINK.fullmatch(written)):
        yield path, link[1]
    elif isinstance(written, dict):
        for key, item in written.items():
            yield from _linked(item, f"{path}.{key}" if path else str(key))
    elif isinstance(written, list):
        for i, item in enumerate(written):
            yield from _linked(item, f"{path}[{i}]")


def _quantities(plain: Any, written: Any) -> list[tuple[str, float | str]]:
    """The paths of all texts that are quantities, with their numbers, once everything is checked."""
    _refuse_unread(written)
    for noun in NOUNS & plain.keys():
        named = isinstance(plain[noun], dict) and "_target_" in plain[noun]
        if not (named or (plain[noun] is None and noun in OR_NULL)):
            raise ValueError(f"{noun}: expected a mapping with _target_, or {noun}=NAME, got {shown(plain[noun])}")
    return list(_checked(plain, written, "", None))


def _refuse_unread(written: dict[str, Any]) -> None:
    """Raise ValueError for a value that nobody reads: a mistyped key that was added."""
    links = set(re.findall(r"\$\{(?:oc\.select:\s*)?([\w.]+)", json.dumps(written, default=str)))
    for path, node, known in (("", written, TOP), ("network.", written.get("network"), NETWORK)):
        for key, value in node.items() if isinstance(node, dict) else ():
            place = f"{path}{key}"
            read = key in known or any(link == place or link.startswith(f"{place}.") for link in links)
            if not (read or (isinstance(value, dict) and not get_close_matches(key, known, cutoff=0.8))):
                raise ValueError(f"unknown key {place}: nothing reads it{suggestion(key, known)}")


def read_si(text: object, _node_: Node) -> float:
    """The resolver ``${si:...}``: what is written for a key, in SI, if it measures what the key's name says."""
    path = _node_._get_full_key(None)
    written = _LINK.fullmatch(str(_node_._value()))
    name = written[1] if written else path
    known, bare = QUANTITIES.get(name, (dimension_of(_last(path)), True))
    if known is None:
        raise ValueError(f"{path}: the key's name does not say what it measures (end it in _s, _bytes, _w ...)")
    number = float(text) if isinstance(text, str) and _NUMBER.fullmatch(text) else text
    return quantity(number, known, name=name, bare=bare)


def _checked(value: Any, written: Any, path: str, hint: Any) -> Iterator[tuple[str, float | str]]:
    """Check what lies at a path and beneath it; yield the paths of texts that are quantities, with their numbers."""
    link = _LINK.fullmatch(written) if isinstance(written, str) else None
    name = link[1] if link else path
    unanswered = value is None and isinstance(written, str)  # a link to what is not there: its reader says so
    if unanswered or (isinstance(value, str) and value == "???"):
        return
    if link and isinstance(value, dict):
        pass  # what is in it is checked where it stands
    elif isinstance(value, dict):
        yield from _mapping(value, written if isinstance(written, dict) else value, path, hint)
    elif isinstance(value, list):
        within = written if isinstance(written, list) else value
        for i, (item, as_written) in enumerate(zip(value, within, strict=True)):
            yield from _checked(item, as_written, f"{path}[{i}]", inner(hint))
    if not isinstance(value, dict | list) or hint is not None:
        meant = _leaf(value, name, path, hint)
        if meant is not None:
            yield path, meant


def _mapping(value: dict[str, Any], written: dict[str, Any], path: str, hint: Any) -> Iterator[tuple[str, float | str]]:
    hints = _hints(value, path)
    if isinstance(target := value.get("_target_"), str) and path not in _UNREAD and not value.get("_partial_"):
        check_class(target, choices(hint), path)
    if get_origin(hint) in MAPPINGS:
        hints = dict.fromkeys(map(str, value), get_args(hint)[1])
    for key, item in value.items():
        below = f"{path}.{key}" if path else str(key)
        if path or key != "hydra":
            as_written, hint = written.get(key, item), TYPES.get(_place(below), hints.get(str(key)))
            yield from _checked(item, as_written, below, hint) if path else _found(_Branch.of(below, item, as_written))


@dataclass(frozen=True)
class _Branch:
    """One of the uppermost keys, with all that is beneath it; equal to another if their texts are."""

    path: str
    text: str
    value: Any = field(compare=False)
    written: Any = field(compare=False)

    @staticmethod
    def of(path: str, value: Any, written: Any) -> "_Branch":
        return _Branch(path, json.dumps([value, written], default=repr), value, written)


@lru_cache(maxsize=_KEPT)
def _found(branch: _Branch) -> tuple[tuple[str, float | str], ...]:
    """Check a branch, once: most are the same from run to run of a sweep."""
    return tuple(_checked(branch.value, branch.written, branch.path, TYPES.get(branch.path)))


def _hints(value: Mapping[str, Any], path: str) -> Mapping[str, Any]:
    """What the constructor that a mapping names takes. Raises ValueError for a key that it does not know."""
    target = value.get("_target_")
    check_target(value, path, loads=path not in _UNREAD)
    known = _signature(load(target)) if isinstance(target, str) and path not in _UNREAD else None
    if known is None:
        return {}
    hints, takes_any, needed = known
    missing = [key for key in needed if key not in value] if not value.get("_partial_") else []
    unknown = [key for key in value if key not in hints and key not in OF_HYDRA | _OF_PLANNERS]
    if unknown and not takes_any:
        raise ValueError(f"unknown key {path}.{unknown[0]}{suggestion(str(unknown[0]), hints)}")
    if missing:
        raise ValueError(f"{path}.{missing[0]} is missing: {target} needs it (say {missing[0]}: ...)")
    return hints


@lru_cache
def _signature(function: Callable[..., Any]) -> tuple[dict[str, Any], bool, list[str]] | None:
    """By parameter its type, whether it takes any other, and which it needs; None for what Python cannot say it of."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except ValueError:
        return None
    try:
        types = get_type_hints(vars(function)["__init__"] if isinstance(function, type) else function)
    except Exception:
        types = {}
    named = [each for each in parameters if each.kind not in (each.VAR_KEYWORD, each.VAR_POSITIONAL)]
    takes_any = any(each.kind is each.VAR_KEYWORD for each in parameters)
    needed = [each.name for each in named if each.default is each.empty]
    return {each.name: types.get(each.name, NO_HINT) for each in named}, takes_any, needed


def _leaf(value: Any, name: str, path: str, hint: Any) -> float | str | None:
    """Check a value by its unit, or else by its type; the number where a text is a quantity, the text of a number."""
    outside = QUANTITIES.get(_place(path))
    measures, bare = outside or (dimension_of(_last(path)), True)
    if measures is not None and not isinstance(value, dict | list) and (outside or takes_numbers(hint)):
        if value is None and misfit(None, hint) is None:
            return None
        if value is None and (way_out := _way_out(value, path)):
            raise ValueError(f"{name}: expected {measures.noun}, like '{measures.example}', got null{way_out}")
        number = quantity(value, measures, name=name, bare=bare)
        if (expected := misfit(number, hint)) is not None and int not in choices(hint):
            raise ValueError(f"{name}: expected {expected}, got {shown(value)}")
        if path in ABOVE_ZERO and number <= 0:
            raise ValueError(f"{name}: expected {measures.noun} above 0, like '{measures.example}', got {shown(value)}")
        if isinstance(value, str) and not outside:
            return int(number) if int in choices(hint) and float not in choices(hint) else number
        return None
    if (expected := misfit(value, hint, _last(path))) is not None:
        raise ValueError(f"{name}: expected {expected}, got {shown(value)}{near(value, hint)}{_way_out(value, path)}")
    if isinstance(value, float) and not isfinite(value):
        raise ValueError(f"{name}: expected a finite number, like 0.5, got {value}")
    if isinstance(value, int) and not isinstance(value, bool):
        positive = {_last(path), path} & AT_LEAST_ONE and (
            not path.endswith("]") or _place(path) == "calibration.samples"
        )
        least = 1 if positive else 0 if int in choices(hint) and path not in ANY_SIGN else value
        if value < least:
            raise ValueError(f"{name}: expected a whole number of at least {least}, like {max(least, 2)}, got {value}")
    is_text = choices(hint) and not {int, float, bool} & set(choices(hint))
    return str(value) if is_text and isinstance(value, int | float) else None


def _way_out(value: Any, path: str) -> str:
    return f" ({IF_NULL[_last(path)]})" if value is None and _last(path) in IF_NULL else ""


def _place(path: str) -> str:
    """A path without the numbers of list entries."""
    return re.sub(r"\[\d+\]", "", path)


def _last(path: str) -> str:
    return _place(path).rpartition(".")[2]
