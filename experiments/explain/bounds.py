"""What bounds a run? Its critical path, who is slower than the others, and what it would gain from more of anything."""

from collections.abc import Iterable
from dataclasses import dataclass

from edgesim.explanation import Blame, Cause, PathStep, Term, blames, critical_path
from edgesim.explanation.sensitivity import Gain, gains
from experiments.explain.explanation import terms_of
from experiments.explain.investments import MORE, investments
from experiments.explain.worlds import Side


@dataclass(frozen=True, kw_only=True)
class Bounds:
    """What a run's seconds are made of.

    Attributes:
        side: the run.
        terms: its makespan as a sum.
        path: its critical path, by cause and place, the most first: also a sum.
        blames: ranks and links that are slower than the others, with what that costs.
        gains: what 10 % more of something would save, the most first.
        simulated: whether gains are simulated; else the trace is played again.
    """

    side: Side
    terms: tuple[Term, ...]
    path: tuple[Term, ...]
    blames: tuple[Blame, ...]
    gains: tuple[Gain, ...]
    simulated: bool


def bounds_of(side: Side, *, replans: bool = True) -> Bounds:
    """Say what bounds a run; with ``replans`` its planner is asked what it would do with more memory."""
    network = None if side.world is None else side.world.setup.cluster.network
    world = side.world
    found = gains(side.trace, faster=MORE) if world is None else investments(world, replans=replans)
    return Bounds(
        side=side,
        terms=terms_of(side),
        path=summed(critical_path(side.trace)),
        blames=blames(side.trace, network=network),
        gains=found,
        simulated=side.world is not None,
    )


def summed(steps: Iterable[PathStep]) -> tuple[Term, ...]:
    """The seconds of a path by cause and place, the most first."""
    total: dict[tuple[Cause, str], float] = {}
    for step in steps:
        total[step.cause, step.where] = total.get((step.cause, step.where), 0.0) + step.seconds
    terms = (Term(cause=cause, where=where, seconds=seconds) for (cause, where), seconds in total.items())
    return tuple(sorted(terms, key=lambda term: -term.seconds))
