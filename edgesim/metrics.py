"""What did it mean? Time, bytes, energy and memory as folds over a trace; the code cannot know which player made it.

Definitions, for a trace on ranks d = 0..n-1, S samples, T the makespan:

    makespan_s      T          start of the first task to the end of the last
    latency_s       T          of one iteration; for inference, of one request
    samples_per_s   S / T
    utilisation     u_d        compute time of rank d over T
    bubble          1 - Σ u_d / n    over the n ranks that compute; 1 where none does
    sent_bytes      b_d        bytes that rank d puts on the wire; a ring's share of collectives included
    peak_bytes      max_t of parameters + gradients + optimiser state + stash of the micro-batches in flight
    energy_j        E_d,state  idle_w T; (state_w - idle_w) times the time in which the state holds
    edp_js          T Σ E

A rank transmits while any of its sends or collectives is on the wire, so that two at once count the air time once.
A collective transmits and receives. Ranks that hold nothing still draw idle power: they are part of the cluster.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from edgesim.cluster import Cluster
from edgesim.memory import held_bytes
from edgesim.model import Model
from edgesim.schedule import COLLECTIVE, COMPUTE, Op, Task
from edgesim.trace import Span, Trace
from edgesim.workload import Workload

STATES = ("idle", "compute", "transmit", "receive")


@dataclass(frozen=True, slots=True, kw_only=True)
class Metrics:
    """The figures of one iteration; lists are by rank. ``energy_source`` says where the watts come from."""

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
    edp_js: float
    energy_source: str
    profile_hash: str | None

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return asdict(self)


def measure(trace: Trace, *, cluster: Cluster, model: Model, workload: Workload) -> Metrics:
    """The metrics of a trace, simulated or measured."""
    ranks = range(len(cluster.devices))
    spans: dict[int, list[Span]] = {rank: [] for rank in ranks}
    for span in trace:
        spans[span.task.rank].append(span)
    makespan_s = trace.makespan_s
    busy_s = [sum(span.seconds for span in spans[rank] if span.task.op in COMPUTE) for rank in ranks]
    working = [rank for rank in ranks if busy_s[rank] > 0]
    energy = tuple(_energy_j(spans[rank], cluster, rank, makespan_s) for rank in ranks)
    energy_j = sum(sum(states.values()) for states in energy)
    return Metrics(
        player=trace.player,
        makespan_s=makespan_s,
        samples_per_s=workload.batch_samples / makespan_s,
        latency_s=makespan_s,
        bubble=1 - sum(busy_s) / (makespan_s * len(working)) if working else 1.0,
        utilisation=tuple(busy / makespan_s for busy in busy_s),
        sent_bytes=tuple(sum(wire_bytes(span.task) for span in spans[rank]) for rank in ranks),
        peak_bytes=tuple(
            max((held for _, held in memory_over_time(spans[rank], model, workload)), default=0.0) for rank in ranks
        ),
        energy_by_state_j=energy,
        energy_j=energy_j,
        edp_js=energy_j * makespan_s,
        energy_source="; ".join(dict.fromkeys(device.power.source for device in cluster.devices)),
        profile_hash=trace.profile_hash,
    )


def wire_bytes(task: Task) -> int:
    """Bytes that the task's rank puts on the wire: all of a send; of a ring, ``steps / n`` of the tensor."""
    if task.op is Op.SEND:
        return task.nbytes
    if task.op in COLLECTIVE:
        n = len(task.peers)
        return round((2 if task.op is Op.ALL_REDUCE else 1) * (n - 1) * task.nbytes / n)
    return 0


def state_s(spans: Iterable[Span]) -> dict[str, list[tuple[float, float]]]:
    """The intervals in which a rank computes, transmits and receives: disjoint and in order."""
    states: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for span in spans:
        interval = (span.start_s, span.end_s)
        if span.task.op in COMPUTE:
            states["compute"].append(interval)
        if span.task.op is Op.SEND or span.task.op in COLLECTIVE:
            states["transmit"].append(interval)
        if span.task.op is Op.RECV or span.task.op in COLLECTIVE:
            states["receive"].append(interval)
    return {state: _union(intervals) for state, intervals in states.items()}


def _union(intervals: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    merged: list[tuple[float, float]] = []
    for start_s, end_s in sorted(intervals):
        if merged and start_s <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(merged[-1][1], end_s))
        else:
            merged.append((start_s, end_s))
    return merged


def _energy_j(spans: Sequence[Span], cluster: Cluster, rank: int, makespan_s: float) -> dict[str, float]:
    power = cluster.devices[rank].power
    above_idle_w = {
        "compute": power.compute_w - power.idle_w,
        "transmit": power.transmit_w - power.idle_w,
        "receive": power.receive_w - power.idle_w,
    }
    times = state_s(spans)
    energy = {
        state: watts * sum(end - start for start, end in times.get(state, [])) for state, watts in above_idle_w.items()
    }
    return {"idle": power.idle_w * makespan_s} | energy


def power_over_time(trace: Trace, cluster: Cluster, rank: int) -> list[tuple[float, float]]:
    """The rank's draw as steps of (second, watts from here on), from the first task's start to the last one's end."""
    power = cluster.devices[rank].power
    above_idle_w = {"compute": power.compute_w, "transmit": power.transmit_w, "receive": power.receive_w}
    zero_s, end_s = min(trace.start_s), max(trace.end_s)
    changes: dict[float, float] = defaultdict(float, {zero_s: 0.0, end_s: 0.0})
    for state, intervals in state_s(span for span in trace if span.task.rank == rank).items():
        for start, end in intervals:
            changes[start] += above_idle_w[state] - power.idle_w
            changes[end] -= above_idle_w[state] - power.idle_w
    watts, steps = power.idle_w, []
    for at_s in sorted(changes):
        watts += changes[at_s]
        steps.append((at_s, watts))
    return steps


def memory_over_time(spans: Sequence[Span], model: Model, workload: Workload) -> list[tuple[float, float]]:
    """A rank's memory as steps of (second, bytes from here on): a micro-batch's stash lives from its F to its B.

    The spans stand in the order of the rank's program, which is the order in which its compute stream plays them.
    """
    changes: list[tuple[float, float]] = []
    static: dict[tuple[int, int], float] = {}
    for span in spans:
        if span.task.op in (Op.F, Op.B):
            layers, (start, stop) = model.layers[slice(*span.task.layers)], span.task.samples
            one = held_bytes(layers, samples=stop - start, in_flight=1, workload=workload)
            static[span.task.layers] = one.static_bytes
            forward = span.task.op is Op.F
            changes.append((span.start_s, one.stash_bytes) if forward else (span.end_s, -one.stash_bytes))
    held = sum(static.values())
    steps = [(at_s, held) for at_s, _ in changes[:1]]
    for at_s, change in changes:
        held += change
        steps.append((at_s, held))
    return steps
