"""Which watts does a device draw by kind of block, and by the share of its peak? Fitted where a protocol tells them.

Of the readings in which a host only computed, or did nothing,

    power = idle_w + update watts + sum over kinds (stalled watts above idle x share of the time + J per FLOP x FLOP/s)

fits best, with nothing below 0. Kinds are told apart by segments of which they are different parts, seconds from FLOP
by sizes that reach different shares of the peak. Kinds that no segment tells apart are fitted together, as any kind.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from edgesim.cluster.compute_watts import ANY_KIND
from edgesim.computing_power import Done
from edgesim.metered.activity import Amounts
from edgesim.metered.attribution import fitted_watts, stretches_of
from edgesim.metered.non_negative import Fitted
from edgesim.metered.power_fit import IDLE_SEGMENT, FittedAmount, Segment, fitted_amount
from edgesim.metered.power_log import PowerLog
from edgesim.schedule import COMPUTE, Kind, Op
from edgesim.trace import RankSpans

WorkOf = Callable[[Kind], Mapping[str, Done]]
_UPDATE = "update"


@dataclass(frozen=True, slots=True, kw_only=True)
class KindFit:
    """What was found of a kind of block: watts above idle whatever it reaches, and joules of each FLOP.

    ``j_per_flop`` is None where sizes do not tell FLOP from seconds.
    """

    kind: str
    stalled_above_w: FittedAmount
    j_per_flop: FittedAmount | None

    @property
    def told(self) -> bool:
        """Whether the watts certainly depend on the share of the peak: the interval of the FLOP's joules is above 0."""
        found = self.j_per_flop
        return found is not None and found.margin is not None and found.value > found.margin


def fit_kinds(log: PowerLog, segments: Sequence[Segment], work: WorkOf) -> tuple[KindFit, ...]:
    """Return what is found of every kind that can be told from the others, or of any kind; nothing of an idle host.

    Raises ValueError where too few readings are left.
    """
    chosen = [each for each in segments if each.name == IDLE_SEGMENT or _only_computes(each, log.ranks)]
    guard_s = log.facts.period_s
    whole = sorted(each.window_s for each in chosen)
    windows = [(start_s + guard_s, end_s - guard_s) for start_s, end_s in whole if end_s - start_s > 2 * guard_s]
    stretches = stretches_of(log).inside(windows)

    def fitted(by: WorkOf) -> tuple[list[str], list[str], Fitted]:
        activity = kind_activity(chosen, log.ranks, by)
        kinds = sorted(name.removeprefix("seconds ") for name in activity if name.startswith("seconds "))
        columns = [name for name in (_UPDATE, *map(seconds_of, kinds), *map(flop_of, kinds)) if name in activity]
        if len(stretches.watts) < 3 * (1 + len(columns)):
            raise ValueError(
                f"{log.facts.source}: {len(stretches.watts)} readings of computing are too few to fit "
                f"{1 + len(columns)} amounts (calibration.segment_s longer, or a meter with a shorter period)"
            )
        return kinds, ["idle", *columns], fitted_watts(stretches, activity, columns, len(log.ranks))

    kinds, columns, found = fitted(work)
    if any(columns[i].startswith("seconds ") for i in found.untold):
        kinds, columns, found = fitted(lambda kind: _together(work(kind)))
    place = {name: i for i, name in enumerate(columns)}

    def amount(name: str) -> FittedAmount | None:
        i = place[name]
        return None if i in found.untold else fitted_amount(found.amounts[i], found.errors[i])

    seconds = {kind: amount(seconds_of(kind)) for kind in kinds}
    return tuple(
        KindFit(kind=kind, stalled_above_w=stalled, j_per_flop=amount(flop_of(kind)))
        for kind, stalled in seconds.items()
        if stalled is not None
    )


def seconds_of(kind: str) -> str:
    """The name of the amount that is the seconds of a kind."""
    return f"seconds {kind}"


def flop_of(kind: str) -> str:
    """The name of the amount that is the FLOP of a kind."""
    return f"FLOP {kind}"


def kind_activity(segments: Sequence[Segment], ranks: Sequence[int], work: WorkOf) -> dict[str, list[Amounts]]:
    """Return by kind of block the seconds and the FLOP of hosts, and the seconds of their updates."""
    found: dict[str, list[Amounts]] = {}
    played = sorted((each for segment in segments for each in segment.played), key=lambda each: each.window_s)
    for rank in ranks:
        for each in played:
            spans = each.trace.of_rank(rank)
            for name, amounts in _of_spans(spans.chosen(spans.does(*COMPUTE)), each.began_s, work):
                found.setdefault(name, []).append(amounts)
    return found


def _of_spans(spans: RankSpans, began_s: float, work: WorkOf) -> Iterable[tuple[str, Amounts]]:
    lasts_s, order = spans.end_s - spans.start_s, np.argsort(spans.start_s, kind="stable")
    order = order[lasts_s[order] > 0]
    done = [{} if kind.op is Op.UPDATE else work(kind) for kind in spans.kinds]
    shares = {kind: [each[kind].share if kind in each else 0.0 for each in done] for each in done for kind in each}
    flop = {kind: [each[kind].flop if kind in each else 0.0 for each in done] for kind in shares}
    updates = np.array([float(kind.op is Op.UPDATE) for kind in spans.kinds])
    amounts = [(_UPDATE, updates[spans.kind] * lasts_s)] if updates.any() else []
    amounts += [(seconds_of(kind), np.array(each)[spans.kind] * lasts_s) for kind, each in shares.items()]
    amounts += [(flop_of(kind), np.array(each)[spans.kind]) for kind, each in flop.items()]
    for name, amount in amounts:
        start_s, end_s = spans.start_s[order] + began_s, spans.end_s[order] + began_s
        yield name, Amounts(start_s=start_s, end_s=end_s, amount=amount[order])


def _only_computes(segment: Segment, ranks: Sequence[int]) -> bool:
    """Whether hosts did nothing in it but compute."""
    spans = [played.trace.of_rank(rank) for played in segment.played for rank in ranks]
    kinds = [kind for own in spans for kind in own.kinds]
    return bool(kinds) and all(kind.op in COMPUTE for kind in kinds)


def _together(done: Mapping[str, Done]) -> Mapping[str, Done]:
    shares, flop = (sum(getattr(each, name) for each in done.values()) for name in ("share", "flop"))
    return {ANY_KIND: Done(share=shares, flop=flop)} if done else {}
