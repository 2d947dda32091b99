"""Over which rail does a board's power flow? Shares of what it draws by state, as sensors or a budget of it say."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import fsum, inf

from edgesim.units import require_numbers

UNKNOWN = "unknown"
"""Where the joules of a state are whose rails nobody knows."""
STATES_OF_RAILS = ("idle", "compute", "transmit", "receive", "static")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rail:
    """A rail's part of each state's watts: any weights, such as a source's watts; its share is its part of the sum.

    Attributes:
        name: what it feeds: CPU, GPU, DRAM, SOC, IO.
        source: where the weights come from.
        idle: of ``idle_w``.
        compute: of what computing draws above idle; likewise ``transmit`` and ``receive``. None on all rails: unknown.
        static: of ``static_w``.
    """

    name: str
    source: str
    idle: float | None = None
    compute: float | None = None
    transmit: float | None = None
    receive: float | None = None
    static: float | None = None

    def __post_init__(self) -> None:
        require_numbers(f"rail {self.name}", self)
        for state in STATES_OF_RAILS:
            weight = getattr(self, state)
            if weight is not None and not 0 <= weight < inf:
                raise ValueError(f"rail {self.name}: {state} must be a weight >= 0, got {weight} (None: not known)")


def refuse_rails(rails: Sequence[Rail]) -> None:
    """Raise ValueError for two rails of one name, or a state that only some rails know, or that is 0 on all of them."""
    names = [rail.name for rail in rails]
    if twice := [name for name in names if names.count(name) > 1]:
        raise ValueError(f"power model: two rails are called {twice[0]!r}")
    for state in STATES_OF_RAILS:
        weights = {rail.name: getattr(rail, state) for rail in rails}
        if unknown := [name for name, weight in weights.items() if weight is None]:
            if len(unknown) < len(weights):
                raise ValueError(
                    f"power model: {state} is not known of rail {unknown[0]}, but of others: shares must sum to all "
                    "(give each rail its weight, 0 for one that draws nothing more, or none)"
                )
        elif weights and not sum(weights.values()) > 0:
            raise ValueError(f"power model: no rail has a part of {state} (leave {state} out where it is not known)")


def by_rail_j(energy_by_state_j: Mapping[str, float], rails: Sequence[Rail]) -> dict[str, float]:
    """Return joules by rail, which sum to those of all states; nothing for a board whose rails are not known.

    Waiting is idle. A state whose rails are not known is ``unknown``.
    """
    if not rails:
        return {}
    joules = {rail.name: 0.0 for rail in rails}
    for state, of_state_j in energy_by_state_j.items():
        weights = {rail.name: getattr(rail, "idle" if state == "waiting" else state) for rail in rails}
        if None in weights.values():
            if of_state_j:
                joules[UNKNOWN] = joules.get(UNKNOWN, 0.0) + of_state_j
            continue
        for name, weight in weights.items():
            joules[name] += of_state_j * weight / fsum(weights.values())
    return joules
