"""Which of two simulated plans is the faster, and how sure is that? In a sentence, by plans that were executed."""

from edgesim.intervals import LEVEL, Residuals, WorkKind, chances_of_fastest, difference

_PER_CENT = 100


def faster(first: tuple[str, float], second: tuple[str, float], residuals: Residuals, kind: WorkKind) -> str:
    """Say it of two names with their simulated seconds; of what too few executed plans tell, say that."""
    (one, one_s), (other, other_s) = first, second
    deviations = residuals.deviations(kind)
    try:
        low, high = difference(one_s, other_s, deviations)
        chances = chances_of_fastest([one_s, other_s], deviations)
    except ValueError as error:
        return f"which one is the faster is not known: {residuals.testbed}, {kind}: {error}"
    plans = len(residuals.of(kind))
    takes = f"{other} takes {low:.3g} to {high:.3g} times as long as {one} ({LEVEL:.0%}, {plans} executed plans)"
    if low <= 1 <= high:
        return f"no win: {takes}; {one} is the faster with a probability of {_share(chances[0])}"
    winner, chance = (one, chances[0]) if low > 1 else (other, chances[1])
    return f"{winner} is the faster: {takes}, with a probability of {_share(chance)}"


def _share(chance: float) -> str:
    return f"{_PER_CENT * chance:.0f} %"
