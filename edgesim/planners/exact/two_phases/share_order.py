"""In which order should shares of the second phase be tried? The fastest first, by bands of seconds."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from math import inf

from edgesim.planners.exact.two_phases.cached_phase import CachedPhase, KeptSamples, Shares

_FIRST_BAND = 0.02  # relative: how much slower than the best the first band is; each further one is twice as wide
LeastSeconds = Mapping[tuple[int, int], float]  # by the first rank of a kind, and a share


def by_seconds(
    phase: CachedPhase, kinds: Sequence[Sequence[int]], late: Callable[[], bool]
) -> Iterator[tuple[float, Shares, tuple[KeptSamples, ...]]]:
    """Yield all shares that fit, the fastest first: seconds of an iteration, shares, and where outputs are kept."""
    least_s = _least(phase, kinds)
    if not least_s:
        return
    values = sorted(set(least_s.values()))
    fastest = next((s for s in values if _enough(phase, kinds, least_s, s)), None)
    if fastest is None:
        return
    above_s, width_s = -1.0, _FIRST_BAND * fastest
    within_s, waiting = fastest + width_s, list[tuple[float, Shares, tuple[KeptSamples, ...]]]()
    while not late():
        # The all-reduce follows the slowest rank: shares whose ranks are within the band may end after it, and wait.
        for shares in ways(phase, kinds, least_s, within_s=within_s, above_s=above_s):
            if kept := phase.kept_by_all(shares):
                waiting.append((phase.iteration_s(shares, kept), shares, kept))
            if late():
                return
        waiting.sort(key=lambda entry: entry[:2])
        last = within_s >= values[-1]
        while waiting and (last or waiting[0][0] <= within_s):
            yield waiting.pop(0)
        if last:
            return
        above_s, width_s = within_s, 2 * width_s
        within_s += width_s


def _least(phase: CachedPhase, kinds: Sequence[Sequence[int]]) -> LeastSeconds:
    """Return, [first rank of a kind, share], the least seconds of a rank, were all others replicas; only what fits."""
    B, least_s = phase.problem.workload.micro_batch_samples, dict[tuple[int, int], float]()
    for first, *_ in kinds:
        for share in range(1, B + 1):
            if (kept := phase.kept(first, share, len(phase.problem.ranks))) is None:
                break  # more samples never need less
            least_s[first, share] = phase.rank_s(share, kept)
    return least_s


def _enough(phase: CachedPhase, kinds: Sequence[Sequence[int]], least_s: LeastSeconds, within_s: float) -> bool:
    """Return whether the ranks can compute a micro-batch within these seconds."""
    can = {
        first: max((n for (f, n), s in least_s.items() if f == first and s <= within_s), default=0)
        for first, *_ in kinds
    }
    return sum(len(kind) * can[kind[0]] for kind in kinds) >= phase.problem.workload.micro_batch_samples


def ways(
    phase: CachedPhase, kinds: Sequence[Sequence[int]], least_s: LeastSeconds, *, within_s: float, above_s: float = -1.0
) -> Iterator[Shares]:
    """Yield all ways to share a micro-batch whose slowest rank needs seconds in (above, within].

    Among devices that can be swapped, an earlier one never has the smaller share.
    """
    B = phase.problem.workload.micro_batch_samples
    order = [(kind[0], rank) for kind in kinds for rank in kind]
    can = {kind[0]: [n for n in range(1, B + 1) if least_s.get((kind[0], n), inf) <= within_s] for kind in kinds}
    most_later = [sum(max(can[f], default=0) for f, _ in order[i + 1 :]) for i in range(len(order))]

    def rest(i: int, left: int, chosen: Shares, slow: bool) -> Iterator[Shares]:
        if i == len(order):
            if slow and not left:
                yield chosen
            return
        first, _ = order[i]
        most = chosen[-1] if i and order[i - 1][0] == first else B
        for n in (0, *can[first]):
            if left - most_later[i] <= n <= min(most, left):
                yield from rest(i + 1, left - n, (*chosen, n), slow or (n > 0 and least_s[first, n] > above_s))

    for shares in rest(0, B, (), above_s < 0):
        by_rank = dict(zip((rank for _, rank in order), shares, strict=True))
        yield tuple(by_rank[rank] for rank in sorted(by_rank))
