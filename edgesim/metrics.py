"""What did it mean? Time, bytes, energy and memory as folds over a trace; the code cannot know which player made it.

Definitions, for a trace on ranks d = 0..n-1, S samples, T the makespan:

    makespan_s      T          start of the first task to the end of the last
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

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from math import inf
from typing import Any

from edgesim.cluster import Cluster, Device, Grid, PowerModel
from edgesim.energy import energy_by_state_j, wire_bytes
from edgesim.memory import Memory, RankLoad, Share, block_bytes, held_bytes, ring_bytes
from edgesim.model import BlockKind, Model, SplitBy
from edgesim.schedule import COMPUTE, Op, Task
from edgesim.trace import Span, Trace
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
    """Compute the metrics of a trace, whoever played it; carbon dioxide only where a grid is given."""
    ranks = range(len(cluster.devices))
    spans: dict[int, list[Span]] = {rank: [] for rank in ranks}
    for span in trace:
        spans[span.task.rank].append(span)
    makespan_s, samples = trace.makespan_s, workload.batch_samples
    busy_s = [sum(span.seconds for span in spans[rank] if span.task.op in COMPUTE) for rank in ranks]
    working = [rank for rank in ranks if busy_s[rank] > 0]
    power = [device.power for device in cluster.devices]
    energy = tuple(energy_by_state_j(spans[rank], power[rank], makespan_s) for rank in ranks)
    energy_j = sum(sum(states.values()) for states in energy)
    return Metrics(
        player=trace.player,
        makespan_s=makespan_s,
        samples_per_s=samples / makespan_s,
        latency_s=makespan_s,
        bubble=1 - sum(busy_s) / (makespan_s * len(working)) if working else 1.0,
        utilisation=tuple(busy / makespan_s for busy in busy_s),
        sent_bytes=tuple(sum(wire_bytes(span.task) for span in spans[rank]) for rank in ranks),
        peak_bytes=tuple(
            max(
                (held for _, held in memory_over_time(spans[rank], model, workload, cluster.devices[rank])), default=0.0
            )
            for rank in ranks
        ),
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


def _per_charge(power: PowerModel, energy_j: dict[str, float], samples: int) -> float | None:
    if power.battery_j is None:
        return None
    iteration_j = sum(energy_j.values())
    return samples * power.battery_j / iteration_j if iteration_j else inf


def memory_over_time(
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
