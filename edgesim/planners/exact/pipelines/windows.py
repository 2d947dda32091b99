"""Which stages can be part of a choice that wins, if the slowest stage lies in a window? Those left by reduced costs.

A window is an interval of U, what the other micro-batches add to the first one's way. Its relaxation
(``lagrangian.py``) gives a bound of all its choices, and one of those that have a certain stage: where that is too
high, the stage is fixed out.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np

from edgesim.planners.exact.pipelines.candidate_links import Ints
from edgesim.planners.exact.pipelines.lagrangian import GRID, DualPrices, LagrangianBound, Relaxation, WindowCosts
from edgesim.planners.exact.pipelines.stage_table import Stages

ROUNDS = 4  # of subgradient steps, after each of which stages are fixed out


@dataclass(frozen=True, slots=True, kw_only=True)
class WarmStart:
    """Dual prices to start from: of what the objective counts, and of time alone."""

    prices: DualPrices
    time_only: DualPrices

    @classmethod
    def cold(cls, kinds: int) -> "WarmStart":
        """All prices 0."""
        return cls(prices=DualPrices.zero(kinds), time_only=DualPrices.zero(kinds))


@dataclass(frozen=True, slots=True, order=True, kw_only=True)
class Window:
    """An interval of U and the stages that may be in a choice; the lowest bound comes first, then the first made.

    ``labels`` is how many there may be before it is halved.
    """

    bound_s: float
    number: int
    least_u_s: float = field(compare=False)
    most_u_s: float = field(compare=False)
    which: Ints = field(compare=False)
    labels: int = field(compare=False)
    warm_start: WarmStart | None = field(compare=False, default=None)


class Pricing:
    """The bounds of windows; each starts from the prices of its parent, or of the window before."""

    def __init__(self, stages: Stages, warm_start: WarmStart | None, *, late: Callable[[], bool]) -> None:
        """``late`` says whether time is over: then bounds are as good as they are."""
        self.stages, self.late = stages, late
        self.warm_start = warm_start or WarmStart.cold(len(stages.shape.devices))

    def priced(self, window: Window, below_s: float) -> Window | None:
        """The window with the stages that can be in a choice that wins, and a bound; None if no choice can win."""
        which = window.which
        which = which[self.stages.repeats[which] <= window.most_u_s]
        if window.least_u_s >= below_s:
            return None
        warm_start, limit_s = window.warm_start or self.warm_start, self.stages.shape.limit_s
        if np.isfinite(limit_s):  # time alone says more of a limit than its multiplier does
            which, time = _not_fixed_out(
                partial(self._time_only, window), which, warm_start.time_only, self.late, rounds=1
            )
            self.warm_start = warm_start = replace(warm_start, time_only=time.prices)
            if time.bound_s > limit_s:
                return None
        which, bound = _not_fixed_out(
            partial(self._relaxed, window, below_s), which, warm_start.prices, self.late, rounds=ROUNDS
        )
        self.warm_start = warm_start = replace(warm_start, prices=bound.prices)
        if bound.bound_s >= below_s or not len(which):
            return None
        return replace(window, bound_s=max(window.bound_s, bound.bound_s), which=which, warm_start=warm_start)

    def bounds(self, window: Window, below_s: float) -> tuple[LagrangianBound, LagrangianBound | None]:
        """The bound of a priced window, and the one of time alone where time is limited."""
        assert window.warm_start is not None, "the window is priced"
        bound = self._relaxed(window, below_s, window.which).bound_at(window.warm_start.prices)
        if not np.isfinite(self.stages.shape.limit_s):
            return bound, None
        return bound, self._time_only(window, window.which).bound_at(window.warm_start.time_only)

    def _relaxed(self, window: Window, below_s: float, which: Ints, grid: int = GRID) -> Relaxation:
        costs = WindowCosts(least_u_s=window.least_u_s, below_s=below_s)
        return Relaxation(self.stages, which, costs, grid=grid)

    def _time_only(self, window: Window, which: Ints, grid: int = GRID) -> Relaxation:
        limit_s = self.stages.shape.limit_s
        costs = WindowCosts(least_u_s=window.least_u_s, below_s=limit_s, counts_beside=False)
        return Relaxation(self.stages, which, costs, grid=grid)


def _not_fixed_out(
    relaxed: Callable[..., Relaxation], which: Ints, prices: DualPrices, late: Callable[[], bool], *, rounds: int
) -> tuple[Ints, LagrangianBound]:
    """The stages that can be in a choice that wins, and the best bound from these prices on; most go at once."""
    relaxation = relaxed(which, grid=1)
    relaxation = relaxed(relaxation.which[_can_win(relaxation.bound_at(prices))])
    relaxation = relaxation.only(_can_win(relaxation.bound_at(prices)))
    for _ in range(rounds):
        bound = relaxation.ascend(prices, late)
        prices, relaxation = bound.prices, relaxation.only(_can_win(bound))
        if bound.bound_s >= relaxation.below_s or not len(relaxation.which) or late():
            break
    return relaxation.which, bound


def _can_win(bound: LagrangianBound) -> Ints:
    """Places of the stages that reduced costs do not fix out."""
    return np.flatnonzero(bound.through_s() <= bound.relaxation.below_s)
