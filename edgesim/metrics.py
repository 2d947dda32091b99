"""What did it mean? Time, bytes, energy and memory as folds over a trace; the code cannot know which player made it.

Definitions, for a trace on ranks d = 0..n-1, S samples, T the makespan:

    makespan_s      T          start of the first task to the end of the last; where iterations overlap in one schedule,
                               the seconds, and all else per iteration, in their steady state (steady_state.py)
    latency_s       T          of one iteration; for inference, of one request
    samples_per_s   S / T
    utilisation     u_d        compute time of rank d over T
    bubble          1 - Σ u_d / n    over the n ranks that compute; 1 where none does
    sent_bytes      b_d        bytes that rank d puts on the wire; a ring's share of collectives included
    peak_bytes      max_t of what rank d holds, by the terms of memory.py
    energy_j        Σ E        over ranks and states (energy.py)
    energy_per_sample_j, edp_js      Σ E / S, T Σ E
    samples_per_charge   S battery_j / E_d     until rank d's battery is empty; None on mains
    carbon_g        grams that the grid emits for Σ E; None where no grid is given

Ranks that hold nothing wait: they are part of the cluster.
"""

from dataclasses import asdict, dataclass
from math import inf, isfinite
from typing import Any

from edgesim.cluster import Cluster, Grid, PowerModel
from edgesim.computing_power import ComputingPower
from edgesim.energy import energy_by_state_j, wire_bytes
from edgesim.errors import ScheduleError
from edgesim.footprint import Footprints
from edgesim.model import Model
from edgesim.schedule import COMPUTE
from edgesim.steady_state import steady_window
from edgesim.trace import RankSpans, Trace
from edgesim.units import LEAST
from edgesim.workload import Workload


@dataclass(frozen=True, slots=True, kw_only=True)
class Metrics:
    """The figures of one iteration; tuples are by rank. The sources say where watts and grams come from.

    Of a measured trace the times are measured, and joules and bytes held are computed from them: no meter and no
    allocator was read.
    """

    player: str
    makespan_s: float
    samples_per_s: float
    latency_s: float
    bubble: float
    utilisation: tuple[float, ...]
    sent_bytes: tuple[int, ...]
    peak_bytes: tuple[float, ...]
    energy_by_state_j: tuple[dict[str, float], ...]
    energy_j: float
    energy_per_sample_j: float
    edp_js: float
    samples_per_charge: tuple[float | None, ...]
    carbon_g: float | None
    energy_source: str
    carbon_source: str | None
    profile_hash: str | None

    @property
    def energy_from(self) -> str:
        """What the joules are computed from: ``simulated times`` or ``measured times``."""
        return f"{self.player} times"

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for JSON."""
        return asdict(self) | {"energy_from": self.energy_from}


def measure(trace: Trace, *, cluster: Cluster, model: Model, workload: Workload, grid: Grid | None = None) -> Metrics:
    """Compute the metrics of a trace, whoever played it; carbon dioxide only where a grid is given.

    Raises ScheduleError for a trace that takes no time, of which there is no rate, or more than can be multiplied.
    """
    ranks = range(len(cluster.devices))
    window, samples = steady_window(trace), workload.batch_samples
    n, makespan_s = window.iterations, window.seconds / window.iterations
    whole = [trace.of_rank(rank) for rank in ranks]
    spans = whole if trace.schedule.iterations == 1 else [window.ending(own) for own in whole]
    if not makespan_s >= LEAST:
        raise ScheduleError(
            f"nothing to measure: {len(trace.start_s)} tasks take {makespan_s:g} s (no rate without time; give "
            "the tasks seconds in the profile, or the network bandwidth)"
        )
    busy_s = [_busy_s(own) / n for own in spans]
    working = [rank for rank in ranks if busy_s[rank] > 0]
    power = [device.power for device in cluster.devices]
    computing = ComputingPower(cluster.devices, model, workload.tokens)
    energy = tuple(
        {state: joules / n for state, joules in by_state.items()}
        for rank in ranks
        for by_state in [
            energy_by_state_j(spans[rank], power[rank], window.seconds, last_s=window.last_s, computing=computing)
        ]
    )
    footprints = Footprints(model, workload)
    energy_j = sum(sum(states.values()) for states in energy)
    if not isfinite(energy_j * makespan_s):
        raise ScheduleError(
            f"too much to measure: {energy_j:g} J in {makespan_s:g} s are beyond all numbers once multiplied (edp_js)"
        )
    return Metrics(
        player=trace.player,
        makespan_s=makespan_s,
        samples_per_s=samples / makespan_s,
        latency_s=makespan_s,
        bubble=1 - sum(busy_s) / (makespan_s * len(working)) if working else 1.0,
        utilisation=tuple(busy / makespan_s for busy in busy_s),
        sent_bytes=tuple(round(sum(wire_bytes(kind) * count for kind, count in own.counts()) / n) for own in spans),
        peak_bytes=tuple(footprints.peak_bytes(whole[rank], cluster.devices[rank]) for rank in ranks),
        energy_by_state_j=energy,
        energy_j=energy_j,
        energy_per_sample_j=energy_j / samples,
        edp_js=energy_j * makespan_s,
        samples_per_charge=tuple(_per_charge(power[rank], energy[rank], samples) for rank in ranks),
        carbon_g=grid.grams(energy_j) if grid else None,
        energy_source="; ".join(dict.fromkeys(board.source for board in power)),
        carbon_source=grid.source if grid else None,
        profile_hash=trace.profile_hash,
    )


def _busy_s(spans: RankSpans) -> float:
    """How long a rank computes. Added up as time passes: who always computes does so for the makespan, to the bit."""
    return float(sum((spans.end_s - spans.start_s)[spans.does(*COMPUTE)].tolist()))


def _per_charge(power: PowerModel, energy_j: dict[str, float], samples: int) -> float | None:
    if power.battery_j is None:
        return None
    iteration_j = sum(energy_j.values())
    return samples * power.battery_j / iteration_j if iteration_j else inf
