"""Which watts does a device draw, by what it does? Fitted to what a meter read while a protocol was played.

The protocol's segments do one thing at a time for some seconds: nothing, computing at several sizes, sending,
receiving, both, writing and reading its disk, and nothing again. Of all readings together

    power = idle_w + sum over states (watts above idle x share of the time) + joules per byte x bytes per second

fits best, with nothing below 0. Time on the air and bytes are told apart by messages of two sizes, of which small ones
fill less of the line. Whether the device was as warm in the end as in the beginning shows in its idle watts.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import fsum

import numpy as np

from edgesim.metered.activity import BUSY, WIRE, Activity, Amounts, activity_of
from edgesim.metered.attribution import fitted_watts, stretches_of
from edgesim.metered.joules import TraceOnClock, Window, window_energy
from edgesim.metered.power_log import PowerLog

IDLE_SEGMENT, DISK_SEGMENT = "idle", "disk"
WARMER = 0.03
"""The share by which idle watts may differ between beginning and end before it is said."""
_SIGMAS = 1.96  # either side of what is fitted lie 95 % of what might have been


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """One thing that was done for a time.

    Attributes:
        name: what, in words.
        window_s: when.
        played: the traces of it.
        disk_ranks: whose disk was busy all the time.
    """

    name: str
    window_s: Window
    played: tuple[TraceOnClock, ...] = ()
    disk_ranks: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class FittedAmount:
    """Watts, or joules per byte, and how far they may be off: with 95 % by ``margin`` either way; None: not known."""

    value: float
    margin: float | None

    def said(self, unit: str) -> str:
        """The number with its interval, in words."""
        if self.margin is None:
            return f"{self.value:.4g} {unit}, interval unknown"
        return f"{self.value:.4g} {unit}, {max(0.0, self.value - self.margin):.4g} to {self.value + self.margin:.4g}"


def fitted_amount(value: float, error: float | None) -> FittedAmount:
    """Return the amount with its interval, from its standard error."""
    return FittedAmount(value=value, margin=None if error is None else _SIGMAS * error)


@dataclass(frozen=True, slots=True, kw_only=True)
class PowerFit:
    """What was found of one device.

    Attributes:
        log: what its meter read.
        idle_w: watts when it does nothing.
        above_w: by state, watts on top.
        seconds: by state, how long it was in it.
        j_per_byte: of ``transmit`` and ``receive``, where bytes could be told from time on the air.
        untold: what could not be told apart from the rest.
        readings: to how many was fitted.
        idle_before_w, idle_after_w: its mean in the first and in the last idle segment; None where it was not seen.
    """

    log: PowerLog
    idle_w: FittedAmount
    above_w: Mapping[str, FittedAmount]
    seconds: Mapping[str, float]
    j_per_byte: Mapping[str, FittedAmount]
    untold: tuple[str, ...]
    readings: int
    idle_before_w: float | None
    idle_after_w: float | None

    def watts(self, state: str) -> float:
        """Return what the whole device draws in a state; as if idle in one that was not told apart."""
        return self.idle_w.value + (self.above_w[state].value if state in self.above_w else 0.0)

    @property
    def compute_w(self) -> float:
        """Watts while it computes: the mean over operations, by their time. Raises ValueError where it never did."""
        states = [state for state in self.above_w if state.startswith("compute ")]
        if not states:
            raise ValueError("no computation was played, and so there is no compute_w")
        return self.idle_w.value + fsum(self.above_w[s].value * self.seconds[s] for s in states) / fsum(
            self.seconds[s] for s in states
        )

    @property
    def warmed(self) -> str:
        """In words, that idle watts changed meanwhile; nothing where they did not."""
        if self.idle_before_w is None or self.idle_after_w is None:
            return "idle watts were not seen at both ends: whether the device warmed up is unknown"
        share = self.idle_after_w / self.idle_before_w - 1
        if abs(share) <= WARMER:
            return ""
        return (
            f"idle watts went from {self.idle_before_w:.3g} to {self.idle_after_w:.3g} W ({share:+.1%}) meanwhile: the "
            "device's temperature changed (let it cool down or warm up first, and calibrate again)"
        )


def fit_power(log: PowerLog, segments: Sequence[Segment]) -> PowerFit:
    """Return the watts of a meter's hosts. Raises ValueError where it read too little of the protocol."""
    # Within a period of a segment's ends a reading may be of what was before or after: its clock may be off.
    guard_s = log.facts.period_s
    whole = sorted(segment.window_s for segment in segments)
    windows = [(start_s + guard_s, end_s - guard_s) for start_s, end_s in whole if end_s - start_s > 2 * guard_s]
    activity = protocol_activity(segments, log.ranks)
    states = [name for name in activity if name not in (BUSY, *WIRE.values())]
    amounts = [*states, *(name for name in WIRE.values() if name in activity)]
    stretches = stretches_of(log).inside(windows)
    if len(stretches.watts) < 3 * (1 + len(amounts)):
        raise ValueError(
            f"{log.facts.source}: {len(stretches.watts)} readings of the protocol are too few to fit "
            f"{1 + len(amounts)} amounts (calibration.segment_s longer, or a meter with a shorter period)"
        )
    fitted = fitted_watts(stretches, activity, amounts, len(log.ranks))
    found = {
        name: fitted_amount(value, error)
        for name, value, error in zip(("idle", *amounts), fitted.amounts, fitted.errors, strict=True)
    }
    untold = tuple(("idle", *amounts)[i] for i in fitted.untold)
    idle = [_mean_w(log, each.window_s) for each in segments if each.name == IDLE_SEGMENT]
    return PowerFit(
        log=log,
        idle_w=found["idle"],
        above_w={state: found[state] for state in states if state not in untold},
        seconds={state: fsum(part.amount.sum() for part in activity[state]) for state in states},
        j_per_byte={way: found[name] for way, name in WIRE.items() if name in found and name not in untold},
        untold=untold,
        readings=len(stretches.watts),
        idle_before_w=idle[0] if idle else None,
        idle_after_w=idle[-1] if len(idle) > 1 else None,
    )


def mean_watts(log: PowerLog, segments: Sequence[Segment]) -> dict[str, float | None]:
    """Return by segment the mean watts that a meter read of it, as a check of the fit; None where it saw too little."""
    return {segment.name: _mean_w(log, segment.window_s) for segment in segments}


def _mean_w(log: PowerLog, window_s: Window) -> float | None:
    found = window_energy(log, *window_s)
    return None if found.energy_j is None else found.energy_j / found.seen_s


def protocol_activity(segments: Sequence[Segment], ranks: Sequence[int]) -> Activity:
    """Return what hosts did in all segments, their disks too."""
    activity = dict(activity_of([each for segment in segments for each in segment.played], ranks))
    for rank in ranks:
        at_disk = sorted(segment.window_s for segment in segments if rank in segment.disk_ranks)
        if at_disk:
            activity["disk"] = [*activity.get("disk", ()), _whole(at_disk)]
    return activity


def _whole(windows: Sequence[Window]) -> Amounts:
    starts, ends = np.array(windows, dtype=np.float64).T
    return Amounts(start_s=starts, end_s=ends, amount=ends - starts)
