"""Which devices fail by chance, and when? Losses with exponential times between them, of any device alike."""

from collections.abc import Sequence
from math import inf, isfinite, log

from edgesim.scenario.chance import uniform
from edgesim.scenario.membership import Join, Loss, LossKind, Membership
from edgesim.scenario.moment import Moment


def poisson_losses(
    *,
    seed: int,
    mean_between_s: float,
    until_s: float,
    ranks: Sequence[int],
    returns_after_s: float = inf,
    at_least: int = 1,
) -> tuple[Membership, ...]:
    """Draw who is killed, and comes back with nothing after a while, until some second.

    Args:
        seed: of what is drawn.
        mean_between_s: the mean time between two losses of the whole cluster, exponentially distributed.
        until_s: when nobody is lost any more.
        ranks: who may be lost.
        returns_after_s: how long one that was lost is away; infinite: for good.
        at_least: how many of these are always there: a loss that would leave fewer does not happen.
    """
    if not (isfinite(mean_between_s) and mean_between_s > 0):
        raise ValueError(f"poisson losses: mean_between_s must be finite and positive, got {mean_between_s}")
    if not isfinite(until_s):
        raise ValueError(f"poisson losses: until_s must be finite, got {until_s}")
    if not returns_after_s > 0:
        raise ValueError(f"poisson losses: returns_after_s must be positive, got {returns_after_s}")
    if not 1 <= at_least <= len(ranks):
        raise ValueError(f"poisson losses: at_least must be from 1 to {len(ranks)} (those of ranks), got {at_least}")
    events, away_until_s, at_s = list[Membership](), dict[int, float](), 0.0
    i = 0
    while True:
        gap, whose = uniform(seed, "poisson losses", i)
        i += 1
        at_s -= mean_between_s * log(gap)
        if at_s >= until_s:
            return tuple(events)
        there = [rank for rank in ranks if away_until_s.get(rank, 0.0) <= at_s]
        if len(there) <= at_least:
            continue
        rank = there[int(whose * len(there))]
        away_until_s[rank] = at_s + returns_after_s
        events.append(Loss(rank=rank, when=Moment(at_s=at_s), kind=LossKind.KILL))
        if returns_after_s < inf:
            events.append(Join(rank=rank, when=Moment(at_s=at_s + returns_after_s)))
