"""What does an iteration consist of? Computing, all-reduces that nothing hides, and waiting for messages and others."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass

from edgesim.schedule import COMPUTE, Op
from edgesim.trace import Floats, RankSpans, Trace


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """Seconds of an iteration, by what the rank is at that computes longest; they add up to the iteration.

    Attributes:
        computing_s: it computes.
        all_reduce_s: it does not compute, but takes part in an all-reduce.
        waiting_s: neither: pipelines' bubbles, and messages that nothing hides.
    """

    computing_s: float
    all_reduce_s: float
    waiting_s: float


def terms_of(trace: Trace, ranks: int) -> Terms:
    """The terms of a trace. Raises ValueError for one in which nobody computes."""
    busiest, computing_s = max(((rank, _computing_s(trace.of_rank(rank))) for rank in range(ranks)), key=lambda e: e[1])
    if not computing_s > 0:
        raise ValueError(f"nothing to attribute: none of {ranks} ranks computes in {trace}")
    spans = trace.of_rank(busiest)
    with_all_reduces_s = _covered_s(spans.chosen(spans.does(*COMPUTE, Op.ALL_REDUCE)).intervals)
    return Terms(
        computing_s=computing_s,
        all_reduce_s=with_all_reduces_s - computing_s,
        waiting_s=trace.makespan_s - with_all_reduces_s,
    )


def attributed(ours: Terms, theirs: Terms) -> dict[str, float]:
    """[term] how much of what theirs takes longer than ours is in it; shares that add up to 1.

    Raises ValueError where both take as long.
    """
    more = {name: seconds - asdict(ours)[name] for name, seconds in asdict(theirs).items()}
    if not (whole := sum(more.values())):
        raise ValueError(f"both plans take as long, so that nothing can be attributed: {ours}")
    return {name.removesuffix("_s"): seconds / whole for name, seconds in more.items()}


def _computing_s(spans: RankSpans) -> float:
    return _covered_s(spans.chosen(spans.does(*COMPUTE)).intervals)


def _covered_s(intervals: Floats) -> float:
    """How long at least one of these intervals lasts."""
    covered, until = 0.0, float("-inf")
    for start_s, end_s in _sorted(intervals):
        covered += max(0.0, end_s - max(start_s, until))
        until = max(until, end_s)
    return covered


def _sorted(intervals: Floats) -> Iterable[tuple[float, float]]:
    return sorted((float(start), float(end)) for start, end in intervals)
