"""Which state took the joules that a meter read? Least squares over what the hosts did, and a row for the rest.

A reading is the mean power over some stretch of time: of a counter since the reading before, of others as the meter
declares. In it each state takes a share of the time, and

    power = idle_w x hosts + sum over states (watts above idle x share)

with no watts below 0, for no state gives power back. A state's joules are its watts times its seconds within what the
meter saw of the windows; what that leaves of the metered joules, or exceeds them by, is the row ``residual``. So all
rows add up to the metered joules, and nothing of the residual is in another row.

A meter's clock may be off by a constant: where it is asked for, the shift within a period is taken under which the
states explain most. Joules of windows are never shifted.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import fsum

import numpy as np

from edgesim.metered.activity import BUSY, WIRE, Activity, activity_of, together
from edgesim.metered.joules import TraceOnClock, WindowEnergy, energy_of
from edgesim.metered.non_negative import Fitted, fit
from edgesim.metered.power_log import PowerLog, Quantity
from edgesim.metered.steps import Steps, steps_of
from edgesim.trace import Floats

IDLE, WAITING, RESIDUAL = "idle", "waiting", "residual"
_MOMENT_S = 1e-3  # over which a reading of a moment is taken
_READINGS_PER_STATE = 3  # at least, so that a fit says something
_MOST_READINGS = 2000  # that a shift is judged by: the first ones
_SHIFTS = 10  # that are tried before and after: tenths of a period, then of the tenths about the best


@dataclass(frozen=True, slots=True, kw_only=True)
class StateEnergy:
    """One state's row.

    Attributes:
        watts: above idle, of one host; of idle and waiting a host's idle watts; None of the residual.
        error_w: the standard error of the watts; None where it is not known.
        seconds: of all hosts of the meter together, within what it saw.
        energy_j: watts times seconds; of the residual what is left.
    """

    state: str
    watts: float | None
    error_w: float | None
    seconds: float
    energy_j: float


@dataclass(frozen=True, slots=True, kw_only=True)
class EnergyByState:
    """Where a meter's joules went.

    Attributes:
        rows: idle, waiting, the states, and the residual last; they add up to ``energy_j``.
        readings: how many the watts were fitted to.
        shift_s: by how much the meter's clock was taken to be behind.
        untold: states whose share of the time could not be told from others': their joules are in other rows.
    """

    rows: tuple[StateEnergy, ...]
    energy_j: float
    readings: int
    shift_s: float
    untold: tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Stretches:
    """[reading] Mean watts over a stretch of time."""

    start_s: Floats
    end_s: Floats
    watts: Floats

    def first(self, count: int) -> "Stretches":
        """Return the first ones."""
        return Stretches(start_s=self.start_s[:count], end_s=self.end_s[:count], watts=self.watts[:count])

    def inside(self, windows: Sequence[tuple[float, float]]) -> "Stretches":
        """Return those that lie in one of the windows, which are in order and do not overlap."""
        starts, ends = np.array(windows, dtype=np.float64).reshape(-1, 2).T
        place = np.searchsorted(starts, self.start_s, side="right") - 1
        chosen = (place >= 0) & (self.end_s <= ends[np.maximum(place, 0)]) if len(starts) else place > len(self.watts)
        return Stretches(start_s=self.start_s[chosen], end_s=self.end_s[chosen], watts=self.watts[chosen])


def stretches_of(log: PowerLog, shift_s: float = 0.0) -> Stretches:
    """Return what each reading is the mean of; those that are missing are left out."""
    if log.facts.quantity is Quantity.ENERGY:
        steps = steps_of(log)
        return Stretches(start_s=steps.start_s + shift_s, end_s=steps.end_s + shift_s, watts=steps.first_w)
    there = ~np.isnan(log.value)
    at_s, averages_s = log.at_s[there] + shift_s, log.facts.averages_s
    before_s, after_s = (averages_s, 0.0) if averages_s else (_MOMENT_S / 2, _MOMENT_S / 2)
    return Stretches(start_s=at_s - before_s, end_s=at_s + after_s, watts=log.value[there])


def attribute(log: PowerLog, played: Sequence[TraceOnClock], *, align: bool = False) -> EnergyByState:
    """Return where the joules of a run went.

    Raises ValueError where the meter saw too little of it, or read too seldom to tell its states apart.
    """
    whole = energy_of(log, played).whole
    if whole.energy_j is None:
        raise ValueError(whole.refused)
    activity = activity_of(played, log.ranks)
    windows = sorted(each.window_s for each in played)
    states = [state for state in activity if state != BUSY and state not in WIRE.values()]
    shift_s = best_shift_s(log, windows, activity, states) if align else 0.0
    stretches = stretches_of(log, shift_s).inside(windows)
    if len(stretches.watts) < _READINGS_PER_STATE * (1 + len(states)):
        raise ValueError(
            f"{log.facts.source}: {len(stretches.watts)} readings are too few to tell {1 + len(states)} states apart "
            f"(play more iterations, or take a shorter period than {log.facts.period_s:g} s)"
        )
    fitted = fitted_watts(stretches, activity, states, len(log.ranks))
    seen = [steps_of(log).within(*window) for window in windows]
    return EnergyByState(
        rows=_rows(fitted, activity, states, seen, log.ranks, whole),
        energy_j=whole.energy_j,
        readings=len(stretches.watts),
        shift_s=shift_s,
        untold=tuple(([IDLE, *states])[i] for i in fitted.untold),
    )


def fitted_watts(stretches: Stretches, activity: Activity, amounts: Sequence[str], hosts: int) -> Fitted:
    """Return idle watts of a host, and what a second of each state, or a byte, takes on top."""
    lasts_s = stretches.end_s - stretches.start_s
    columns = [np.full(len(lasts_s), float(hosts))]
    columns += [together(activity, name, stretches.start_s, stretches.end_s) / lasts_s for name in amounts]
    return fit(columns, stretches.watts, lasts_s)


def best_shift_s(
    log: PowerLog, windows: Sequence[tuple[float, float]], activity: Activity, amounts: Sequence[str]
) -> float:
    """Return by how much the meter's clock seems to be behind: states explain readings best under it.

    It is 0 where no shift makes a difference.
    """
    period_s = log.facts.period_s
    # Readings that every shift leaves inside of the windows, so that all shifts are judged by the same.
    inner = [(start_s + period_s, end_s - period_s) for start_s, end_s in windows if end_s - start_s > 2 * period_s]
    chosen = stretches_of(log).inside(inner).first(_MOST_READINGS)
    if not len(chosen.watts):
        return 0.0

    def best(shifts: Iterable[float]) -> float:
        return min(
            shifts, key=lambda shift_s: (_unexplained(chosen, shift_s, activity, amounts, log.ranks), abs(shift_s))
        )

    coarse_s, fine_s = period_s / _SHIFTS, period_s / _SHIFTS**2
    middle_s = best(step * coarse_s for step in range(-_SHIFTS, _SHIFTS + 1))
    return best(middle_s + step * fine_s for step in range(-_SHIFTS, _SHIFTS + 1))


def _unexplained(
    chosen: Stretches, shift_s: float, activity: Activity, amounts: Sequence[str], ranks: Sequence[int]
) -> float:
    moved = Stretches(start_s=chosen.start_s + shift_s, end_s=chosen.end_s + shift_s, watts=chosen.watts)
    fitted = fitted_watts(moved, activity, amounts, len(ranks))
    left = moved.watts - fitted.amounts[0] * len(ranks)
    lasts_s = moved.end_s - moved.start_s
    for name, amount in zip(amounts, fitted.amounts[1:], strict=True):
        left = left - amount * (together(activity, name, moved.start_s, moved.end_s) / lasts_s)
    return fsum((left * left * lasts_s).tolist())


def _rows(
    fitted: Fitted,
    activity: Activity,
    states: Sequence[str],
    seen: Sequence[Steps],
    ranks: Sequence[int],
    whole: WindowEnergy,
) -> tuple[StateEnergy, ...]:
    """Idle, waiting, every state, and what is left of the metered joules."""

    def seconds(state: str) -> float:
        return fsum(s for steps in seen for s in together(activity, state, steps.start_s, steps.end_s).tolist())

    hosts_s, busy_s = len(ranks) * whole.seen_s, seconds(BUSY)
    named = {IDLE: busy_s, WAITING: hosts_s - busy_s} | {state: seconds(state) for state in states}
    number: Mapping[str, int] = {IDLE: 0, WAITING: 0} | {state: i for i, state in enumerate(states, start=1)}
    rows = [
        StateEnergy(
            state=state,
            watts=fitted.amounts[number[state]],
            error_w=fitted.errors[number[state]],
            seconds=lasts_s,
            energy_j=fitted.amounts[number[state]] * lasts_s,
        )
        for state, lasts_s in named.items()
    ]
    assert whole.energy_j is not None, "who asks has joules"
    left_j = fsum([whole.energy_j, *(-row.energy_j for row in rows)])
    return (*rows, StateEnergy(state=RESIDUAL, watts=None, error_w=None, seconds=whole.seen_s, energy_j=left_j))
