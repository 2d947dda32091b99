"""What did folds say span by span? Memory, joules, watts and pictures of a trace, as an oracle for tests."""

import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

from edgesim.cluster import Cluster, Device, PowerModel
from edgesim.energy import message_j
from edgesim.memory import Memory, RankLoad, Share, block_bytes, held_bytes, ring_bytes
from edgesim.model import BlockKind, Model, SplitBy
from edgesim.schedule import COLLECTIVE, COMPUTE, Op, Stream, Task
from edgesim.trace import Span, Trace
from edgesim.workload import Workload


def old_memory_over_time(
    spans: Sequence[Span], model: Model, workload: Workload, device: Device
) -> list[tuple[float, float]]:
    """Return a rank's memory as steps of (second, bytes from then on); no steps for a rank that computes nothing.

    It begins and ends with what is held through the whole iteration (Memory.resting_bytes). A micro-batch's stash lives
    from its F to its B, the transient of inference during its F, the ring's part during its all-reduce. The spans stand
    in the order of the rank's program, which is the order in which its compute stream plays them.

    Where tasks are of blocks, so are stashes and transients: of a block, from the first of its tasks to the last.
    """
    if any(span.task.block for span in spans if span.task.op in (Op.F, Op.B)):
        return _blocks_over_time(spans, model, workload, device)
    parts = _parts(spans, model, workload, device)
    changes: list[tuple[float, float]] = []
    for span in spans:
        if (part := parts.get(span.task.layers)) is None:
            continue
        held, in_flight = part
        if span.task.op is Op.F:
            changes.append((span.start_s, held.stash_bytes / in_flight + held.transient_bytes))
            if held.transient_bytes:
                changes.append((span.end_s, -held.transient_bytes))
        elif span.task.op is Op.B:
            changes.append((span.end_s, -held.stash_bytes / in_flight))
        elif span.task.op is Op.ALL_REDUCE:
            changes.extend([(span.start_s, held.ring_bytes), (span.end_s, -held.ring_bytes)])
    return _steps(sum(held.resting_bytes for held, _ in parts.values()), changes)


def _steps(now: float, changes: Iterable[tuple[float, float]]) -> list[tuple[float, float]]:
    """From changes of bytes at seconds to what is held from there on."""
    steps: list[tuple[float, float]] = []
    for at_s, change in changes:
        if not steps:
            steps.append((at_s, now))
        now += change
        steps.append((at_s, now))
    return steps


def _parts(
    spans: Iterable[Span], model: Model, workload: Workload, device: Device
) -> dict[tuple[int, int], tuple[Memory, int]]:
    """For each range of layers that the rank computes, what it holds, and its micro-batches in flight at their most."""
    tasks: dict[tuple[int, int], list[Task]] = defaultdict(list)
    for span in spans:
        if span.task.op in (Op.F, Op.B, Op.ALL_REDUCE):
            tasks[span.task.layers].append(span.task)
    parts: dict[tuple[int, int], tuple[Memory, int]] = {}
    for layers, mine in tasks.items():
        forwards = [task for task in mine if task.op is Op.F]
        if not forwards:
            continue
        start, stop = forwards[0].samples
        in_flight = _most_in_flight(mine)
        held = held_bytes(
            model,
            workload,
            RankLoad(
                layers=layers,
                samples=stop - start,
                in_flight=in_flight,
                micro_batches=len({task.micro_batch for task in forwards}),
                replicas=max((len(task.peers) for task in mine if task.op is Op.ALL_REDUCE), default=1),
                context_bytes=0.0 if parts else device.context_bytes,  # once for a rank, whatever it holds
            ),
        )
        parts[layers] = held, in_flight
    return parts


def _most_in_flight(tasks: Iterable[Task]) -> int:
    now = most = 0
    for task in tasks:
        now += {Op.F: 1, Op.B: -1}.get(task.op, 0)
        most = max(most, now)
    return most


def _blocks_over_time(
    spans: Sequence[Span], model: Model, workload: Workload, device: Device
) -> list[tuple[float, float]]:
    """Do what :func:`memory_over_time` does for a rank whose tasks are blocks, parts of blocks, or tiles."""
    mine = [span for span in spans if span.task.op in (Op.F, Op.B)]
    rings = [span for span in spans if span.task.op is Op.ALL_REDUCE and span.task.payload is None]
    tasks = [span.task for span in mine]
    layers = min(task.layers[0] for task in tasks), max(task.layers[1] for task in tasks)
    share, samples = _share_of(tasks, model), tasks[0].samples[1] - tasks[0].samples[0]
    held = held_bytes(
        model,
        workload,
        RankLoad(
            layers=layers,
            samples=samples,
            in_flight=_most_at_once([task.micro_batch for task in tasks]),
            micro_batches=len({task.micro_batch for task in tasks}),
            replicas=max((len(span.task.peers) for span in rings), default=1),
            context_bytes=device.context_bytes,
            share=share,
        ),
    )
    needs = dict(block_bytes(model, layers, samples=samples, workload=workload, share=share))
    changes: list[tuple[float, float]] = []
    for block, start_s, end_s in _lives(mine, model, kept=workload.trains):
        changes += [(start_s, needs[block]), (end_s, -needs[block])]
    for span in rings:
        spare = ring_bytes(span.task.nbytes, replicas=len(span.task.peers))
        changes += [(span.start_s, spare), (span.end_s, -spare)]
    return _steps(held.resting_bytes, sorted(changes, key=lambda change: change[0]))


def _lives(spans: Iterable[Span], model: Model, *, kept: bool) -> Iterable[tuple[str, float, float]]:
    """From when to when each block's bytes are held: task by task, or ``kept`` over all of a micro-batch's tasks."""
    whole = {
        f"{layer.name}/{part.name}": f"{layer.name}/{block.name}"
        for layer in model.layers
        for block in layer.blocks
        for part in (block, *block.parts)
    }
    lives: dict[object, tuple[str, float, float]] = {}
    for number, span in enumerate(spans):
        block = whole[span.task.block]
        key = (span.task.micro_batch, block) if kept else number
        first_s = lives[key][1] if key in lives else span.start_s
        lives[key] = (block, first_s, span.end_s)
    return lives.values()


def _share_of(tasks: Sequence[Task], model: Model) -> Share:
    """What of its stage a rank has, by the units and tokens of its first micro-batch, or of the prompt.

    Raises ValueError for a task of a block that the model lacks.
    """
    shares: dict[BlockKind, float] = {}
    tokens: int | None = None
    for task in tasks:
        block = model.block(task.block)
        if task.micro_batch != tasks[0].micro_batch:
            continue
        if task.units[1]:
            shares.setdefault(block.kind, (task.units[1] - task.units[0]) / block.splits)
        if task.tokens[1] and tokens is None and block.split_by is SplitBy.TOKENS:
            tokens = task.tokens[1] - task.tokens[0]
    return Share(
        heads=shares.get(BlockKind.ATTENTION, 1.0),
        columns=shares.get(BlockKind.MLP, shares.get(BlockKind.HEAD, 1.0)),
        tokens=tokens,
    )


def _most_at_once(micro_batches: Sequence[int | None]) -> int:
    """How many micro-batches are at most between the first and the last of their tasks."""
    last = {micro_batch: i for i, micro_batch in enumerate(micro_batches)}
    started: set[int | None] = set()
    most = 0
    for i, micro_batch in enumerate(micro_batches):
        started.add(micro_batch)
        most = max(most, len(started))
        if last[micro_batch] == i:
            started.remove(micro_batch)
    return most


def old_state_s(spans: Iterable[Span]) -> dict[str, list[tuple[float, float]]]:
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


def old_energy_by_state_j(spans: Sequence[Span], power: PowerModel, makespan_s: float) -> dict[str, float]:
    """Return the joules of one rank by state, from its spans of an iteration with this makespan."""
    times = old_state_s(spans)
    work_s = _length_s(_union([interval for intervals in times.values() for interval in intervals]))
    energy = {"idle": power.idle_w * work_s, "waiting": power.idle_w * (makespan_s - work_s)}
    energy |= {state: watts * _length_s(times.get(state, [])) for state, watts in _above_idle_w(power).items()}
    for span in spans:
        for state, joules in message_j(span.task, power).items():
            energy[state] += joules
    return energy | {"static": 0.0}


def old_power_over_time(trace: Trace, cluster: Cluster, rank: int) -> list[tuple[float, float]]:
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

    for state, intervals in old_state_s(spans).items():
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


def old_to_perfetto(traces: Iterable[Trace]) -> str:
    """Write Chrome's trace format for ui.perfetto.dev: a process per player and rank, a thread per stream."""
    events: list[dict[str, Any]] = []
    for number, trace in enumerate(traces):
        zero_s = min(trace.start_s, default=0.0)
        offset = 1000 * number
        lanes: dict[tuple[int, Stream], int] = {}
        for span in trace:
            rank, stream = span.task.rank, span.task.stream
            if (rank, stream) not in lanes:
                lanes[rank, stream] = len(lanes)
                events.append(_label("process_name", offset + rank, 0, f"{trace.player} rank {rank}"))
                events.append(_label("thread_name", offset + rank, lanes[rank, stream], str(stream)))
            events.append(
                {
                    "name": span.task.name,
                    "cat": str(span.task.op),
                    "ph": "X",
                    "pid": offset + rank,
                    "tid": lanes[rank, stream],
                    "ts": (span.start_s - zero_s) * 1e6,
                    "dur": span.seconds * 1e6,
                    "args": _details(span.task),
                }
            )
        for r in trace.readings:
            at_us = (r.at_s - zero_s) * 1e6
            events.append({"name": r.what, "ph": "C", "pid": offset + r.rank, "ts": at_us, "args": {r.what: r.value}})
    return json.dumps({"traceEvents": events, "displayTimeUnit": "ms"})


def _details(task: Task) -> dict[str, Any]:
    """What a click on a task shows; tokens and units where it is of some of them."""
    ranges = {"tokens": task.tokens, "units": task.units}
    divided = {name: some for name, some in ranges.items() if some[1]}
    return {"layers": task.layers, "samples": task.samples, "bytes": task.nbytes, **divided}


def _label(what: str, pid: int, tid: int, name: str) -> dict[str, Any]:
    return {"name": what, "ph": "M", "pid": pid, "tid": tid, "args": {"name": name}}
