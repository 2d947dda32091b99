"""Where did the joules go? Energy by state, and power over time, of every rank of a trace.

Energy by state adds up to a rank's energy over the makespan T:

    idle       idle_w x time in which the rank computes or communicates
    waiting    idle_w x the rest of T, so that idle + waiting = idle_w T; time at the disk is waiting too
    compute    (compute_w - idle_w) x time in which it computes
    transmit   (transmit_w - idle_w) x time on the air, and joules by bytes and messages sent
    receive    alike

A rank transmits while any of its sends or collectives is on the wire, so that two at once count the air time once, but
each its bytes. A collective transmits and receives, on a ring one message per step.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence

from edgesim.cluster import Cluster, PowerModel
from edgesim.ring import ring_steps
from edgesim.schedule import COLLECTIVE, COMPUTE, Op, Task
from edgesim.trace import Span, Trace

STATES = ("idle", "waiting", "compute", "transmit", "receive")


def wire_bytes(task: Task) -> int:
    """Return the bytes that the task's rank puts on the wire: all of a send; in a ring, ``steps / n`` of the tensor."""
    if task.op is Op.SEND:
        return task.nbytes
    if task.op in COLLECTIVE:
        return round(wire_messages(task) * task.nbytes / len(task.peers))
    return 0


def wire_messages(task: Task) -> int:
    """Count the messages that the task's rank sends: one per step of a ring, whose members receive as many."""
    if task.op in COLLECTIVE:
        return ring_steps(len(task.peers), all_reduce=task.op is Op.ALL_REDUCE)
    return int(task.op is Op.SEND)


def message_j(task: Task, power: PowerModel) -> dict[str, float]:
    """Return by state the joules of a task's bytes and messages, which come on top of its time on the air."""
    sent, received = (wire_bytes(task), wire_messages(task)), (0, 0)
    if task.op is Op.RECV:
        received = (task.nbytes, 1)
    elif task.op in COLLECTIVE:
        received = sent
    return {
        "transmit": sent[0] * power.transmit_j_per_byte + sent[1] * power.transmit_j_per_message,
        "receive": received[0] * power.receive_j_per_byte + received[1] * power.receive_j_per_message,
    }


def state_s(spans: Iterable[Span]) -> dict[str, list[tuple[float, float]]]:
    """Return the intervals in which a rank computes, transmits and receives: disjoint and in order."""
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


def _length_s(intervals: Iterable[tuple[float, float]]) -> float:
    return sum(end_s - start_s for start_s, end_s in intervals)


def _above_idle_w(power: PowerModel) -> dict[str, float]:
    watts = {"compute": power.compute_w, "transmit": power.transmit_w, "receive": power.receive_w}
    return {state: draw - power.idle_w for state, draw in watts.items()}


def energy_by_state_j(spans: Sequence[Span], power: PowerModel, makespan_s: float) -> dict[str, float]:
    """Return the joules of one rank by state, from its spans of an iteration with this makespan."""
    times = state_s(spans)
    work_s = _length_s(_union([interval for intervals in times.values() for interval in intervals]))
    energy = {"idle": power.idle_w * work_s, "waiting": power.idle_w * (makespan_s - work_s)}
    energy |= {state: watts * _length_s(times.get(state, [])) for state, watts in _above_idle_w(power).items()}
    for span in spans:
        for state, joules in message_j(span.task, power).items():
            energy[state] += joules
    return energy


def power_over_time(trace: Trace, cluster: Cluster, rank: int) -> list[tuple[float, float]]:
    """Return a rank's power as steps of (second, watts from then on), from the trace's first start to its last end.

    The joules of a message's bytes spread over its time on the air; of a message that took none (an infinitely fast
    link), over the whole iteration. So the integral is the sum of the energies by state.
    """
    power = cluster.devices[rank].power
    spans = [span for span in trace if span.task.rank == rank]
    zero_s, end_s = min(trace.start_s), max(trace.end_s)
    changes: dict[float, float] = defaultdict(float, {zero_s: 0.0, end_s: 0.0})

    def draw(watts: float, from_s: float, to_s: float) -> None:
        changes[from_s] += watts
        changes[to_s] -= watts

    for state, intervals in state_s(spans).items():
        for interval in intervals:
            draw(_above_idle_w(power)[state], *interval)
    for span in spans:
        joules = sum(message_j(span.task, power).values())
        if joules and span.seconds > 0:
            draw(joules / span.seconds, span.start_s, span.end_s)
        elif joules and end_s > zero_s:
            draw(joules / (end_s - zero_s), zero_s, end_s)
    watts, steps = power.idle_w, []
    for at_s in sorted(changes):
        watts += changes[at_s]
        steps.append((at_s, watts))
    return steps
