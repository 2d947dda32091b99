"""How does a noun that was built in Python stand in a configuration? As text that reads back as the very same noun."""

import json
import zlib
from base64 import b64decode, b64encode
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from enum import Enum
from importlib import import_module
from typing import Any

from edgesim.cluster import Cluster, Device
from edgesim.model import Model
from edgesim.profile import Profile
from edgesim.workload import Workload
from experiments.configuration.constructors import fitting

_NOUN, _CHOICE, _MAPPING = "noun", "choice", "mapping"
_LIBRARY = "edgesim."
_LONG, _PACKED = 5000, "packed:"  # letters of a text that nobody would read, and how one begins that nobody can


def to_text(noun: Any) -> str:
    """The noun with all that is in it; equal nouns have equal texts. Raises ValueError for anything else."""
    text = json.dumps(_plain(noun), sort_keys=True).replace("${", "\\u0024{")  # else a configuration would follow it
    return text if len(text) < _LONG else _PACKED + b64encode(zlib.compress(text.encode(), 9)).decode()


def noun(*, text: str) -> Any:
    """Read what :func:`to_text` wrote. A configuration names this function where a noun was given by itself."""
    packed = text.removeprefix(_PACKED)
    return _read(json.loads(text if packed == text else zlib.decompress(b64decode(packed))))


def profile(*, text: str, model: Model, cluster: Cluster, workload: Workload, modes: Sequence[Device] = ()) -> Profile:
    """The profile of such a text, as a configuration names it. Raises ProfileError if it is of another model."""
    known: Profile = noun(text=text)
    return fitting(known, str(known), model, {device.name for device in (*cluster.devices, *modes)}, workload)


def is_noun(value: object) -> bool:
    """Whether this is an instance of one of the library's frozen classes."""
    return is_dataclass(value) and not isinstance(value, type) and type(value).__module__.startswith(_LIBRARY)


def _plain(value: Any) -> Any:
    if isinstance(value, Enum):
        return {_CHOICE: _path(value), "value": value.value}
    if is_noun(value):
        held = {each.name: _plain(getattr(value, each.name)) for each in fields(value) if each.init}
        return {_NOUN: _path(value)} | held
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    if isinstance(value, Mapping):
        return {_MAPPING: {str(key): _plain(item) for key, item in value.items()}}
    if value is None or isinstance(value, str | bool | int | float):
        return value
    raise ValueError(f"not a noun of edgesim, nor part of one: {value!r} (it is a {type(value).__name__})")


def _path(value: object) -> str:
    return f"{type(value).__module__}.{type(value).__qualname__}"


def _read(data: Any) -> Any:
    if isinstance(data, list):
        return tuple(_read(item) for item in data)
    if not isinstance(data, Mapping):
        return data
    if _MAPPING in data:
        return {key: _read(item) for key, item in data[_MAPPING].items()}
    path = str(data[_NOUN] if _NOUN in data else data[_CHOICE])
    if not path.startswith(_LIBRARY):
        raise ValueError(f"not a noun of edgesim: {path}")
    module, _, name = path.rpartition(".")
    kind = getattr(import_module(module), name)
    return kind(data["value"]) if _CHOICE in data else kind(**{k: _read(v) for k, v in data.items() if k != _NOUN})
