"""Which assumed watt decides the order of two methods? Joules are linear in each of a board's watts.

    E = idle_w (n T - t_c - t_s - t_r) + compute_w t_c + transmit_w t_s + receive_w t_r

with the seconds of all ranks in each state as the runs have them: plans, chosen for time, stay as they are. A watt is
multiplied by factors as long as no state draws less than idle; where the joules of two methods cross is solved for.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from edgesim.cluster import PowerModel
from experiments.analysis.names import DP, EVEN, EVEN_AS_ASKED, PP, SP, TP
from experiments.energy_study.cells import Cell, Cells, Row, number, ran

WATTS = ("idle_w", "compute_w", "transmit_w", "receive_w")
FACTORS = tuple(round(2 ** (step / 4), 6) for step in range(-8, 9))  # from a quarter to four times
# First over second: what was published to take less over what was published to take more, then what an even cut does.
PAIRS = ((SP, TP), (DP, SP), (PP, SP), (PP, TP), (EVEN_AS_ASKED, TP), (EVEN, TP))


@dataclass(frozen=True, slots=True, kw_only=True)
class StateSeconds:
    """Seconds of all ranks together in an iteration; ``idle_w`` is what no other state's watts replace."""

    idle_w: float
    compute_w: float
    transmit_w: float
    receive_w: float

    @classmethod
    def of(cls, row: Row, power: PowerModel) -> "StateSeconds":
        """From the joules by state of equal boards.

        Raises ValueError for boards whose watts are not these four: the sum would leave joules out.
        """
        if power.static_w or not power.computes_alike:
            raise ValueError(
                f"{power.source}: static_w, by_kind, backward_w and update_w are no watts of a state alone, and this "
                "study multiplies these only (boards without them)"
            )
        whole_s = (number(row, "idle_j") + number(row, "waiting_j")) / power.idle_w
        computing_s, sending_s, receiving_s = (
            number(row, f"{state}_j") / (getattr(power, f"{state}_w") - power.idle_w)
            for state in ("compute", "transmit", "receive")
        )
        return cls(
            idle_w=whole_s - computing_s - sending_s - receiving_s,
            compute_w=computing_s,
            transmit_w=sending_s,
            receive_w=receiving_s,
        )

    def joules(self, watts: Mapping[str, float]) -> float:
        """Joules of an iteration with these watts."""
        return sum(watts[name] * float(getattr(self, name)) for name in WATTS)


def sensitivities(cells: Cells, powers: Mapping[str, PowerModel]) -> Iterator[dict[str, Any]]:
    """A row per cell, pair of methods, watt and factor: the ratio of their joules, and the factor where it is one.

    ``powers`` are by cluster, of those whose boards are equal. A factor that would take a state below idle has no row.
    """
    for cell, methods in cells.items():
        if (power := powers.get(cell.cluster)) is None:
            continue
        for first, second in PAIRS:
            if ran(methods.get(first)) and ran(methods.get(second)):
                yield from _of_pair(cell, (first, second), [methods[first], methods[second]], power)


def _of_pair(cell: Cell, names: tuple[str, str], rows: Sequence[Row], power: PowerModel) -> Iterator[dict[str, Any]]:
    one, other = (StateSeconds.of(row, power) for row in rows)
    own = {name: float(getattr(power, name)) for name in WATTS}
    samples = cell.batch_samples
    for name in WATTS:
        flips_at = crossing(one, other, own, name)
        for factor in FACTORS:
            watts = own | {name: factor * own[name]}
            if valid(watts):
                yield {
                    **cell._asdict(),
                    "first": names[0],
                    "second": names[1],
                    "watt": name,
                    "factor": factor,
                    "ratio": one.joules(watts) / other.joules(watts),
                    "first_per_sample_j": one.joules(watts) / samples,
                    "second_per_sample_j": other.joules(watts) / samples,
                    "flips_at": flips_at,
                }


def valid(watts: Mapping[str, float]) -> bool:
    """Whether no state draws less than idle."""
    return all(watts["idle_w"] <= watts[name] for name in WATTS)


def crossing(one: StateSeconds, other: StateSeconds, own: Mapping[str, float], name: str) -> float | None:
    """The factor of a watt at which both take as many joules; None where no valid one does."""
    without = own | {name: 0.0}
    slope = own[name] * float(getattr(one, name) - getattr(other, name))
    if slope == 0:
        return None
    factor = (other.joules(without) - one.joules(without)) / slope
    return factor if factor > 0 and valid(own | {name: factor * own[name]}) else None
