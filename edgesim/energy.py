"""Where did the joules go? Energy by state, and power over time, of every rank of a trace.

Energy by state adds up to a rank's energy over the makespan T:

    idle       idle_w x time in which the rank computes or communicates
    waiting    idle_w x the rest of T, so that idle + waiting = idle_w T; time at the disk is waiting too
    compute    (compute_w - idle_w) x time in which it computes; backward passes and updates with their own watts
    transmit   (transmit_w - idle_w) x time on the air, and joules by bytes and messages sent
    receive    alike; and (tail_w - idle_w) x time in which a radio is still awake behind a message, with nothing on
               the air, which is waiting
    static     static_w x T: the board around the module, as long as it is switched on

Where a power model names watts by kind of block, compute is what ``computing_power.py`` says of each task, for which
the model has to be known.

A rank transmits while any of its sends or collectives is on the wire, so that two at once count the air time once, but
each its bytes. A collective transmits and receives, on a ring one message per step.
"""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from edgesim.cluster import Cluster, PowerModel
from edgesim.computing_power import ComputingPower
from edgesim.ring import ring_steps
from edgesim.schedule import COLLECTIVE, COMPUTE, Kind, Op, Task
from edgesim.trace import Floats, RankSpans, Trace

Intervals = tuple[Floats, Floats]  # [interval] when each starts and ends, in seconds: disjoint and in order
STATES = ("idle", "waiting", "compute", "transmit", "receive", "static")


def wire_bytes(task: Task | Kind) -> int:
    """Return the bytes that the task's rank puts on the wire: all of a send; in a ring, ``steps / n`` of the tensor."""
    if task.op is Op.SEND:
        return task.nbytes
    if task.op in COLLECTIVE:
        return round(wire_messages(task) * task.nbytes / len(task.peers))
    return 0


def wire_messages(task: Task | Kind) -> int:
    """Count the messages that the task's rank sends: one per step of a ring, whose members receive as many."""
    if task.op in COLLECTIVE:
        return ring_steps(len(task.peers), all_reduce=task.op is Op.ALL_REDUCE)
    return int(task.op is Op.SEND)


def message_j(task: Task | Kind, power: PowerModel) -> dict[str, float]:
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


def state_s(spans: RankSpans) -> dict[str, Intervals]:
    """Return the intervals in which a rank computes, transmits and receives; no state that it is never in."""
    collective = spans.does(*COLLECTIVE)
    states = {
        "compute": spans.does(*COMPUTE),
        "transmit": spans.does(Op.SEND) | collective,
        "receive": spans.does(Op.RECV) | collective,
    }
    return {state: _union(spans.start_s[such], spans.end_s[such]) for state, such in states.items() if such.any()}


def _union(start_s: Floats, end_s: Floats) -> Intervals:
    """The same times, in which what overlaps or touches is one interval."""
    order = np.argsort(start_s, kind="stable")
    start_s, until_s = start_s[order], np.maximum.accumulate(end_s[order])
    begins = np.ones(len(order) + 1, dtype=bool)  # whether an interval begins there, or after the last
    begins[1:-1] = start_s[1:] > until_s[:-1]
    return start_s[begins[:-1]], until_s[begins[1:]]


def _length_s(intervals: Intervals) -> float:
    start_s, end_s = intervals
    return float(sum((end_s - start_s).tolist()))  # as time passes


def _above_idle_w(power: PowerModel) -> dict[str, float]:
    watts = {"compute": power.compute_w, "transmit": power.transmit_w, "receive": power.receive_w}
    return {state: draw - power.idle_w for state, draw in watts.items()}


def _drawn(
    spans: RankSpans,
    power: PowerModel,
    times: Mapping[str, Intervals],
    last_s: float,
    computing: ComputingPower | None,
) -> Iterator[tuple[str, float, Intervals]]:
    """States with their watts above idle, and when; a state may come several times."""
    for state, watts in _above_idle_w(power).items():
        if state in times and (state != "compute" or power.computes_alike):
            yield state, watts, times[state]
    if power.by_kind:
        computes = spans.does(*COMPUTE)
        if computes.any():
            computing = _known(computing)
            above_w = spans.each(lambda kind: computing.of(kind).watts if kind.op in COMPUTE else 0.0, np.float64)
            for watts in np.unique(above_w[computes]).tolist():
                such = computes & (above_w == watts)
                yield "compute", watts, _union(spans.start_s[such], spans.end_s[such])
    elif not power.computes_alike:
        draws = (
            ((Op.F, Op.RECOMPUTE), power.compute_w),
            ((Op.B,), power.backward_draw_w),
            ((Op.UPDATE,), power.update_draw_w),
        )
        for ops, watts in draws:
            if (such := spans.does(*ops)).any():
                yield "compute", watts - power.idle_w, _union(spans.start_s[such], spans.end_s[such])
    if power.tail_w is not None and (radio := [times[state] for state in ("transmit", "receive") if state in times]):
        yield "receive", power.tail_w - power.idle_w, _tails(radio, power.tail_s, last_s)


def _known(computing: ComputingPower | None) -> ComputingPower:
    if computing is None:
        raise ValueError(
            "watts by kind of block (by_kind) are drawn by the blocks of a model, which is not said here (give "
            "computing, a ComputingPower of the cluster's devices and the model)"
        )
    return computing


def _task_j(kind: Kind, power: PowerModel, computing: ComputingPower | None) -> dict[str, float]:
    """The joules of a task by state that do not depend on its seconds."""
    if power.by_kind and kind.op in COMPUTE:
        return {"compute": _known(computing).of(kind).joules}
    return message_j(kind, power)


def _tails(radio: Sequence[Intervals], tail_s: float, last_s: float) -> Intervals:
    """Behind each time on the air, until the radio sleeps, the next time on the air begins, or the iteration ends."""
    start_s, end_s = _union(*map(np.concatenate, zip(*radio, strict=True)))
    return end_s, np.minimum(end_s + tail_s, np.append(start_s[1:], max(last_s, end_s[-1])))


def energy_by_state_j(
    spans: RankSpans,
    power: PowerModel,
    makespan_s: float,
    *,
    last_s: float,
    computing: ComputingPower | None = None,
) -> dict[str, float]:
    """Return the joules of one rank by state, from its spans of an iteration with this makespan that ends then.

    ``computing`` is asked where the power model names watts by kind of block; ValueError where it is not given then.
    """
    times = state_s(spans)
    work_s = _length_s(_union(*map(np.concatenate, zip(*times.values(), strict=True)))) if times else 0.0
    energy = {"idle": power.idle_w * work_s, "waiting": power.idle_w * (makespan_s - work_s)}
    energy |= dict.fromkeys(("compute", "transmit", "receive"), 0.0)
    for state, watts, when in _drawn(spans, power, times, last_s, computing):
        energy[state] += watts * _length_s(when)
    for kind, count in spans.counts():
        for state, joules in _task_j(kind, power, computing).items():
            energy[state] += joules * count
    energy["static"] = power.static_w * makespan_s
    return energy


def power_over_time(
    trace: Trace, cluster: Cluster, rank: int, computing: ComputingPower | None = None
) -> list[tuple[float, float]]:
    """Return a rank's power as steps of (second, watts from then on), from the trace's first start to its last end."""
    at_s, watts = power_steps(trace, cluster, rank, computing)
    return list(zip(at_s.tolist(), watts.tolist(), strict=True))


def power_steps(
    trace: Trace, cluster: Cluster, rank: int, computing: ComputingPower | None = None
) -> tuple[Floats, Floats]:
    """Return the seconds of :func:`power_over_time`, and the watts.

    The joules of a message's bytes spread over its time on the air, those of a task's FLOP over its time; of a task
    that took none (an infinitely fast link), over the whole iteration. So the integral is the sum over all states.
    """
    power, spans = cluster.devices[rank].power, trace.of_rank(rank)
    joules = spans.each(lambda kind: sum(_task_j(kind, power, computing).values()), np.float64)
    lasts_s = spans.end_s - spans.start_s
    on_air = (joules != 0) & (lasts_s > 0)
    at_once = float(np.sum(joules[~on_air])) / trace.makespan_s if trace.makespan_s else 0.0
    whole = np.array([trace.first_s]), np.array([trace.last_s])
    drawn = [
        *(
            (np.full(len(when[0]), watts), *when)
            for _, watts, when in _drawn(spans, power, state_s(spans), trace.last_s, computing)
        ),
        (joules[on_air] / lasts_s[on_air], spans.start_s[on_air], spans.end_s[on_air]),
        (np.array([at_once]), *whole),
    ]
    watts, start_s, end_s = map(np.concatenate, zip(*drawn, strict=True))
    at_s, number = np.unique(np.concatenate([start_s, end_s]), return_inverse=True)
    changes = np.bincount(number, weights=np.concatenate([watts, -watts]))
    changes[0] += power.always_w
    return at_s, np.cumsum(changes)
