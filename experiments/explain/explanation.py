"""Where does the difference between two runs come from? Shares that add up to it, and the terms of both makespans."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property

from edgesim.cluster import Network
from edgesim.errors import EdgesimError
from edgesim.explanation import Attribution, Cause, CauseShare, Term, attribute, breakdown, sum_by_place, swaps
from edgesim.trace import Trace
from experiments.explain.inputs import Input, inputs
from experiments.explain.mixing import mixtures
from experiments.explain.worlds import Side, World

_MOSTLY = (
    0.5  # of a difference: more than this must be simulated, if what was simulated is to explain what was measured
)
OTHERWISE = "otherwise than simulated"
"""What a share is called that only the measured traces show, beside the simulated ones."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TermPair:
    """A term of both makespans, in seconds."""

    cause: Cause
    where: str
    first_s: float
    second_s: float

    @property
    def more_s(self) -> float:
        """By how much the second is longer."""
        return self.second_s - self.first_s


@dataclass(frozen=True, kw_only=True)
class Explanation:
    """Why the second of two takes another time than the first.

    Attributes:
        first: what came first.
        second: what is compared with it.
        shares: what makes the difference, the largest first; their seconds add up to it.
        terms: where the seconds of both are; each column adds up to its makespan.
        how: how the shares were found, in a sentence.
    """

    first: Side
    second: Side
    shares: tuple[CauseShare, ...]
    terms: tuple[TermPair, ...]
    how: str

    @property
    def more_s(self) -> float:
        """By how much the second takes longer; negative where it is faster."""
        return self.second.trace.makespan_s - self.first.trace.makespan_s

    @cached_property
    def more_by_cause_s(self) -> dict[Cause, float]:
        """By how much the second's terms of each cause are more."""
        more_s: dict[Cause, float] = {}
        for pair in self.terms:
            more_s[pair.cause] = more_s.get(pair.cause, 0.0) + pair.more_s
        return more_s

    @cached_property
    def cause(self) -> CauseShare | None:
        """What makes the most of it: the largest share in the difference's own direction; None where there is none."""
        along = [share for share in self.shares if share.seconds * self.more_s > 0]
        return max(along, key=lambda share: abs(share.seconds), default=None)


def explain_sides(first: Side, second: Side) -> Explanation:
    """Explain the second by the first."""
    shares, how = _shares(first, second)
    shares = tuple(sorted(shares, key=lambda share: -abs(share.seconds)))
    return Explanation(first=first, second=second, shares=shares, terms=term_pairs(first, second), how=how)


def _shares(first: Side, second: Side) -> tuple[Iterable[CauseShare], str]:
    same = first.trace.schedule.hash == second.trace.schedule.hash
    if first.world is not None and second.world is not None:
        by_inputs, simulated = _by_inputs(first, second, first.world, second.world)
        more_s = second.trace.makespan_s - first.trace.makespan_s
        explained_s = sum(share.seconds for share in by_inputs)
        if not same or (by_inputs and abs(more_s - explained_s) <= _MOSTLY * abs(more_s)):
            rest = _otherwise(first, second, simulated)
            said = "each input that differs is switched in the simulator, in every order"
            return (*by_inputs, *rest), said + ("; the rest is what was measured beside the simulation" if rest else "")
    if same:
        return swaps(first.trace, second.trace, networks=(_network(first), _network(second))), (
            "both play one schedule: it is played again with what each rank, link and disk took in one or the other"
        )
    pairs = term_pairs(first, second)
    why = first.unknown or second.unknown or "what was simulated is not known"
    return [_share_of(pair) for pair in pairs], f"by the terms of both traces: {why}"


def _share_of(pair: TermPair) -> CauseShare:
    s = pair.more_s
    return CauseShare(what=str(pair.cause), where=pair.where, seconds=s, least_s=s, most_s=s)


def _by_inputs(first: Side, second: Side, one: World, two: World) -> tuple[list[CauseShare], tuple[Trace, Trace]]:
    """The shares of all inputs that differ, and what both runs are simulated to be now."""
    differ, simulated = inputs(one, two), (one.trace(), two.trace())
    if not differ:
        return [], simulated
    try:
        seconds = mixtures(one, two, differ)
        added = attribute(len(differ), seconds)
    except EdgesimError as error:  # a profile that lacks what the other plan asks for
        more_s = simulated[1].makespan_s - simulated[0].makespan_s
        told = " and ".join(dict.fromkeys(each.what for each in differ))
        detail = f"cannot be told apart: {error}"
        return [
            CauseShare(what=told, where="", seconds=more_s, least_s=more_s, most_s=more_s, detail=detail)
        ], simulated
    return list(_named(differ, added)), simulated


def _named(differ: list[Input], added: Attribution) -> Iterable[CauseShare]:
    for each, seconds, least_s, most_s in zip(differ, added.seconds, added.least_s, added.most_s, strict=True):
        yield CauseShare(
            what=each.what, where=each.where, detail=each.detail, seconds=seconds, least_s=least_s, most_s=most_s
        )


def _otherwise(first: Side, second: Side, simulated: tuple[Trace, Trace]) -> list[CauseShare]:
    """What both traces are beside what is simulated now, group by group: the second's minus the first's."""
    total: dict[tuple[str, str], float] = {}
    for sign, side, trace in ((-1, first, simulated[0]), (1, second, simulated[1])):
        if trace.schedule.hash != side.trace.schedule.hash:
            raise ValueError(
                f"{side.name}: its schedule is not what its configuration gives now (run it again with this version)"
            )
        network = _network(side)
        for share in swaps(trace, side.trace, networks=(network, network)):
            key = share.what, share.where
            total[key] = total.get(key, 0.0) + sign * share.seconds
    return [
        CauseShare(what=f"{OTHERWISE}: {what}", where=where, seconds=s, least_s=s, most_s=s)
        for (what, where), s in total.items()
        if s
    ]


def _network(side: Side) -> Network | None:
    return None if side.world is None else side.world.setup.cluster.network


def terms_of(side: Side) -> tuple[Term, ...]:
    """Where the seconds of a trace are."""
    if side.world is None:
        return breakdown(side.trace)
    setup = side.world.setup
    return breakdown(side.trace, network=setup.cluster.network, model=setup.model, tokens=setup.workload.tokens)


def term_pairs(first: Side, second: Side) -> tuple[TermPair, ...]:
    """The terms of both; what one of them lacks is 0 there. If only one world is known, neither uses it."""
    if first.world is None or second.world is None:
        first, second = replace(first, world=None), replace(second, world=None)
    one, two = (sum_by_place(terms_of(side)) for side in (first, second))
    return tuple(
        TermPair(cause=cause, where=where, first_s=one.get((cause, where), 0.0), second_s=two.get((cause, where), 0.0))
        for cause, where in dict.fromkeys((*one, *two))
    )
