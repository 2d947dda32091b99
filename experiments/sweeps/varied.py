"""What changes from run to run, if the runs differ in a few values only? Their configurations, without composing each.

Most of a configuration links to nothing that varies; it is resolved once. For each run the values are set, and the
links that may lead to them are followed again.
"""

import copy
import pickle
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from typing import Any

from omegaconf import DictConfig, OmegaConf

Place = tuple[str, ...]
_LINK = re.compile(r"\$\{(?:si:\s*\$\{|oc\.select:\s*)?(\w[\w.\-\[\]]*)(?:,[^{}]*)?\}{1,2}")
_CONSTANT = re.compile(r"\$\{si:[^{}]*\}")


def may_vary(cfg: DictConfig, keys: Iterable[str]) -> bool:
    """Whether all keys have values that are no mapping or list, and stand where the keys say, not behind a link."""
    written = OmegaConf.to_container(cfg, resolve=False)
    try:
        values = [_at(written, _place(key)) for key in keys]
    except (KeyError, IndexError, TypeError, ValueError):
        return False
    return all(isinstance(value, int | float | str) and value != "???" for value in values)


def is_plain(value: Any) -> bool:
    """Whether a value is a number or a text that stands for itself."""
    return isinstance(value, int | float) or (isinstance(value, str) and "${" not in value and value != "???")


class Varied:
    """Configurations that differ from one another in plain values of the same keys."""

    def __init__(self, base: DictConfig, keys: Iterable[str]) -> None:
        self.cfg, self.places = copy.deepcopy(base), {key: _place(key) for key in keys}
        self.written: Any = OmegaConf.to_container(base, resolve=False)
        links = dict(_links(self.written))
        settled = _Settled(links, list(self.places.values()))
        # Links of one text and name lead to the same: the first is followed, the others take what it found.
        self.followed: dict[tuple[str, Place], list[Place]] = {}
        for place in (place for place in links if not settled(place)):
            alike = (links[place], _named(place) if _LINK.fullmatch(links[place]) else place)
            self.followed.setdefault(alike, []).append(place)

    def __call__(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """The configuration with these values, resolved; ``cfg`` and ``written`` have them until the next call.

        Raises what OmegaConf raises for a link that leads nowhere, and for what has no value.
        """
        for key, value in values.items():
            OmegaConf.update(self.cfg, key, value)
            _set(self.written, self.places[key], value)
        plain: dict[str, Any] = pickle.loads(self._once)
        for key, value in values.items():
            _set(plain, self.places[key], value)
        for first, *others in self.followed.values():
            found = self._resolved(first)
            _set(plain, first, found)
            for place in others:
                _set(plain, place, copy.deepcopy(found))
        return plain

    @cached_property
    def _once(self) -> bytes:
        """The first of the configurations, resolved."""
        return pickle.dumps(OmegaConf.to_container(self.cfg, resolve=True, throw_on_missing=True))

    def _resolved(self, place: Place) -> Any:
        node: Any = self.cfg
        for name in place:
            node = node[int(name) if OmegaConf.is_list(node) else name]
        return OmegaConf.to_container(node, resolve=True, throw_on_missing=True) if OmegaConf.is_config(node) else node


class _Settled:
    """Whether the link at a place leads to the same whatever the values of some keys are. In doubt it does not."""

    def __init__(self, links: Mapping[Place, str], keys: list[Place]) -> None:
        self.links, self.keys = links, keys
        self.known: dict[Place, bool] = {}

    def __call__(self, place: Place) -> bool:
        if place not in self.known:
            self.known[place] = False  # while it is looked at: a link that leads to itself
            self.known[place] = self._leads_to_the_same(self.links[place])
        return self.known[place]

    def _leads_to_the_same(self, text: str) -> bool:
        if _CONSTANT.fullmatch(text):
            return True
        if (link := _LINK.fullmatch(text)) is None:
            return False
        target = _place(link[1])
        return not any(_meet(target, key) for key in self.keys) and all(
            self(other) for other in self.links if _meet(target, other)
        )


def _meet(a: Place, b: Place) -> bool:
    """Whether one of two places lies within the other."""
    return all(x == y for x, y in zip(a, b, strict=False))


def _place(key: str) -> Place:
    return tuple(key.replace("]", "").replace("[", ".").split("."))


def _named(place: Place) -> Place:
    """The last key of a place, without the numbers of a list's entries: what is there measures what it says."""
    return tuple(name for name in place if not name.isdecimal())[-1:]


def _links(written: Any, place: Place = ()) -> Iterator[tuple[Place, str]]:
    """All links, and where they stand."""
    if isinstance(written, dict | list):
        for name, value in written.items() if isinstance(written, dict) else enumerate(written):
            yield from _links(value, (*place, str(name)))
    elif isinstance(written, str) and "${" in written:
        yield place, written


def _at(plain: Any, place: Place) -> Any:
    for name in place:
        plain = plain[int(name) if isinstance(plain, list) else name]
    return plain


def _set(plain: Any, place: Place, value: Any) -> None:
    within = _at(plain, place[:-1])
    within[int(place[-1]) if isinstance(within, list) else place[-1]] = value
