"""Which meter has which name, in inventories and on the way to a host?

A name stands for a meter with its usual settings. Settings travel as numbers and texts: what a host is told
to read starts no program that the driver names.
"""

from collections.abc import Mapping
from dataclasses import MISSING, fields
from typing import Any

from edgesim.metered import SyntheticMeter
from real_runtime.meters.cpu_time import CpuTime
from real_runtime.meters.jetson_rails import JetsonRails
from real_runtime.meters.meter import LiveMeter, RecordedMeter
from real_runtime.meters.no_meter import NoMeter
from real_runtime.meters.nvml import Nvml
from real_runtime.meters.rapl import Rapl
from real_runtime.meters.replay import Replay
from real_runtime.meters.tegrastats import Tegrastats, TegrastatsLog
from real_runtime.meters.wall_csv import WallCsv

Meter = LiveMeter | RecordedMeter | SyntheticMeter | NoMeter
LIVE: Mapping[str, type[Any]] = {
    "cpu_time": CpuTime,
    "jetson_rails": JetsonRails,
    "nvml": Nvml,
    "rapl": Rapl,
    "tegrastats": Tegrastats,
}
"""Those that are read while a run lasts, on the host itself."""
OTHERS: Mapping[str, type[Any]] = {
    "none": NoMeter,
    "replay": Replay,
    "synthetic": SyntheticMeter,
    "tegrastats_log": TegrastatsLog,
    "wall_csv": WallCsv,
}
"""Those whose readings are had afterwards, where the run was started."""

_TRAVELS: Mapping[Any, Any] = {float: (int, float), int: int, str: str}  # by type of a setting
_SHORTEST_S, _LONGEST_S = 1e-3, 3600.0


def meter_named(name: str) -> Meter:
    """Return a meter with its usual settings. Raises ValueError for a name that is none, or that needs settings."""
    kinds = {**LIVE, **OTHERS}
    if name not in kinds:
        raise ValueError(f"unknown meter {name!r} (known: {', '.join(sorted(kinds))})")
    needed = [each.name for each in fields(kinds[name]) if each.default is MISSING and each.default_factory is MISSING]
    if needed:
        kind = kinds[name]
        raise ValueError(
            f"meter {name} needs {', '.join(needed)} (say meter: {{_target_: {kind.__module__}.{kind.__name__}, "
            f"{needed[0]}: ...}})"
        )
    made: Meter = kinds[name]()
    return made


def name_of(meter: object) -> str:
    """Return the name of a meter's kind. Raises ValueError for one that is not of ours."""
    for name, kind in {**LIVE, **OTHERS}.items():
        if type(meter) is kind:
            return name
    raise ValueError(
        f"a {type(meter).__name__} is no meter of edgesim's own, and only these are read on other hosts (take one of "
        f"{', '.join(sorted(LIVE))})"
    )


def as_told(meter: LiveMeter) -> dict[str, Any]:
    """Return how a host is told of a meter: its name, and settings that are not the usual ones.

    Raises ValueError for a meter, or a setting, that does not travel.
    """
    name = name_of(meter)
    if name not in LIVE:
        raise ValueError(f"meter {name} is not read on a host (take one of {', '.join(sorted(LIVE))})")
    values = {each.name: getattr(meter, each.name) for each in fields(LIVE[name])}
    usual = {each.name: each.default for each in fields(LIVE[name])}
    settings = {key: value for key, value in values.items() if value != usual[key]}
    _refuse_others(name, settings)
    return {"name": name, "settings": settings}


def told_of(told: Mapping[str, Any]) -> LiveMeter:
    """Return the meter of which :func:`as_told` tells. Raises ValueError for anything else."""
    name, settings = told.get("name"), told.get("settings")
    if not isinstance(name, str) or name not in LIVE or not isinstance(settings, Mapping):
        raise ValueError(f"no meter of a host: {str(name)[:40]!r} (known: {', '.join(sorted(LIVE))})")
    _refuse_others(name, settings)
    try:
        made: LiveMeter = LIVE[name](**settings)
    except TypeError as error:  # a setting is missing
        raise ValueError(f"meter {name} cannot be made: {error}") from None
    return made


def _refuse_others(name: str, settings: Mapping[str, Any]) -> None:
    """Raise ValueError for settings that a meter has not, that do not travel, and that would keep a host busy."""
    kinds = {each.name: _TRAVELS.get(each.type) for each in fields(LIVE[name])}
    for key, value in settings.items():
        kind = kinds.get(key)
        if kind is None or not isinstance(value, kind) or isinstance(value, bool):
            raise ValueError(f"meter {name}: {key!s:.40}={value!r:.60} cannot be told to another host (leave it out)")
    period_s = settings.get("period_s", 0.1)
    if not _SHORTEST_S <= period_s <= _LONGEST_S:
        raise ValueError(f"meter {name}: period_s must be from 1 ms to an hour on a host, got {period_s:g}")
