"""Small nouns for tests: round numbers, no hidden state, every one built anew by a call."""

from collections.abc import Callable, Mapping, Sequence
from math import inf

from edgesim.cluster import Cluster, Device, Network, Origin, PowerModel
from edgesim.model import Block, BlockKind, Cost, Layer, Model, SplitBy
from edgesim.plan import Depth, Plan, Stage, make_stages
from edgesim.profile import Point, Profile
from edgesim.schedule import Op, Payload, Schedule, Task
from edgesim.simulator import simulate
from edgesim.strategies.hybrid_pipeline import hybrid_pipeline
from edgesim.trace import Trace
from edgesim.workload import Optimiser, Purpose, Workload


def block(
    name: str = "only",
    *,
    output_bytes: float = 1000,
    parameter_bytes: int = 4000,
    stash_bytes: float = 500,
    flop: float = 1e6,
) -> Block:
    """A block whose bytes are per sample and do not depend on tokens; backward costs twice the forward FLOPs."""
    return Block(
        name=name,
        kind=BlockKind.MLP,
        forward_flop=Cost(per_sample=flop),
        backward_flop=Cost(per_sample=2 * flop),
        forward_bytes=Cost(per_sample=1e3),
        backward_bytes=Cost(per_sample=2e3),
        parameter_bytes=parameter_bytes,
        output_bytes=Cost(per_sample=output_bytes),
        stash_bytes=Cost(per_sample=stash_bytes),
        split_by=SplitBy.NOTHING,
        splits=0,
    )


def chain(layers: int, *, output_bytes: float = 1000, parameter_bytes: int = 4000, stash_bytes: float = 500) -> Model:
    """Equal layers of one block each."""
    part = block(output_bytes=output_bytes, parameter_bytes=parameter_bytes, stash_bytes=stash_bytes)
    return Model(
        name=f"chain{layers}",
        architecture="chain",
        hyper={},
        layers=tuple(Layer(name=f"l{i}", blocks=(part,)) for i in range(layers)),
    )


def power(**more: float) -> PowerModel:
    """A board that draws whole watts; ``more`` overrides any of them, or adds joules."""
    watts: dict[str, float] = {"idle_w": 1, "compute_w": 5, "transmit_w": 2, "receive_w": 1.5}
    return PowerModel(**(watts | more), source="test")  # type: ignore[arg-type]


def device(name: str = "board", *, flop_per_s: float = 1e9, memory_bytes: float = 1e9, **more: object) -> Device:
    """A board of 1 GFLOP/s that can use any memory; ``more`` overrides any other field."""
    rest = {
        "installed_bytes": inf,
        "memory_bytes_per_s": inf,
        "disk_bytes_per_s": 1e6,
        "power": power(),
        "origin": Origin.ASSUMED,
    }
    fields = rest | {"source": "test"} | more
    return Device(name=name, flop_per_s=flop_per_s, memory_bytes=memory_bytes, **fields)  # type: ignore[arg-type]


def switched(
    ranks: int, *, bytes_per_s: float = inf, latency_s: float = 0.0, goodput: float = 1.0, burst_bytes: float = 0.0
) -> Network:
    """Equal full-duplex NICs."""
    return Network.switched(
        transmit_bytes_per_s=[bytes_per_s] * ranks,
        latency_s=latency_s,
        goodput=goodput,
        burst_bytes=burst_bytes,
        origin=Origin.ASSUMED,
        source="test",
    )


def radio(ranks: int, *, bytes_per_s: float = inf, latency_s: float = 0.0, goodput: float = 1.0) -> Network:
    """Stations that share the air."""
    rates = [[bytes_per_s] * ranks] * ranks
    return Network.radio(bytes_per_s=rates, latency_s=latency_s, goodput=goodput, origin="assumed", source="test")


def pairs(ranks: int, *, bytes_per_s: float = inf, latency_s: float = 0.0, goodput: float = 1.0) -> Network:
    """Equal independent links."""
    rates = [[bytes_per_s] * ranks] * ranks
    return Network.pairs(bytes_per_s=rates, latency_s=latency_s, goodput=goodput, origin="assumed", source="test")


def homogeneous(ranks: int, *, network: Network | None = None, **more: object) -> Cluster:
    """Equal boards; by default on an infinitely fast network."""
    board = device(**more)  # type: ignore[arg-type]
    return Cluster(name=f"{ranks} boards", devices=(board,) * ranks, network=network or switched(ranks))


def named(ranks: int, *, network: Network | None = None) -> Cluster:
    """Boards named ``d0``, ``d1`` ..., so that a profile can give each its own speed."""
    boards = tuple(device(f"d{rank}") for rank in range(ranks))
    return Cluster(name=f"{ranks} named boards", devices=boards, network=network or switched(ranks))


def constant_profile(
    model: Model, cluster: Cluster, *, forward_s: float = 0.010, backward_s: float = 0.020, update_s: float = 0.0
) -> Profile:
    """The same seconds for every layer on every device, whatever the samples."""
    return table(model, cluster, lambda _rank, _layer, _samples: (forward_s, backward_s), update_s=update_s)


def linear_profile(
    model: Model,
    cluster: Cluster,
    *,
    forward_s: float = 0.010,
    backward_s: float = 0.020,
    update_s: float = 0.0,
    speeds: Sequence[float] = (),
) -> Profile:
    """Seconds per sample and layer, on ``named`` devices divided by the speed of each."""

    def cost_s(rank: int, _layer: int, samples: int) -> tuple[float, float]:
        speed = speeds[rank] if speeds else 1
        return samples * forward_s / speed, samples * backward_s / speed

    return table(model, cluster, cost_s, update_s=update_s)


def table(
    model: Model, cluster: Cluster, cost_s: Callable[[int, int, int], tuple[float, float]], *, update_s: float = 0.0
) -> Profile:
    """A profile from a function (first rank with this device, layer, samples) to (forward, backward) seconds."""
    points: list[Point] = []
    ranks = {board.name: rank for rank, board in reversed(list(enumerate(cluster.devices)))}
    for name, rank in sorted(ranks.items()):
        for number, layer in enumerate(model.layers):
            for samples in (1, 64):
                for op, seconds in zip("FB", cost_s(rank, number, samples), strict=True):
                    points.append(_point(layer, name, op, samples, seconds))
            points.append(_point(layer, name, "UPDATE", 0, update_s))
    return Profile(model=model.name, origin=Origin.ASSUMED, source="test", points=tuple(points))


def _point(layer: Layer, name: str, op: str, samples: int, seconds: float) -> Point:
    return Point(block=layer.name, device=name, op=op, samples=samples, tokens=1, share=1.0, seconds=seconds)


def workload(
    *, micro_batches: int = 1, micro_batch_samples: int = 1, optimiser: Optimiser = Optimiser.SGD, **more: object
) -> Workload:
    """One training iteration of micro-batches."""
    fields = {"purpose": Purpose.TRAIN, "tokens": 1, "learning_rate": 0.1} | more
    return Workload(
        batch_samples=micro_batches * micro_batch_samples,
        micro_batch_samples=micro_batch_samples,
        optimiser=optimiser,
        **fields,  # type: ignore[arg-type]
    )


def plan_of(model: Model, stages: Sequence[Stage], *, micro_batches: int) -> Plan:
    """A plan of stages."""
    return Plan(
        model=model.name,
        stages=tuple(stages),
        micro_batches=micro_batches,
        micro_batch_samples=sum(stages[0].samples),
        planner="by hand",
    )


def pipeline_plan(
    model: Model, *, micro_batches: int, depth: Depth = Depth.ONE_F_ONE_B, micro_batch_samples: int = 1
) -> Plan:
    """One layer and one rank per stage."""
    stages = len(model.layers)
    return hybrid_plan(model, [[micro_batch_samples]] * stages, micro_batches=micro_batches, depth=depth)


def hybrid_plan(
    model: Model, samples: Sequence[Sequence[int]], *, micro_batches: int, depth: Depth = Depth.ONE_F_ONE_B
) -> Plan:
    """One layer per stage, but the last stage takes the rest; ``samples`` per stage and replica; ranks in order."""
    groups, rank = [], 0
    for shares in samples:
        groups.append(range(rank, rank + len(shares)))
        rank += len(shares)
    cuts = [*range(len(samples)), len(model.layers)]
    stages = make_stages(cuts=cuts, groups=groups, samples=samples, depth=depth, micro_batches=micro_batches)
    return plan_of(model, stages, micro_batches=micro_batches)


def data_plan(model: Model, shares: Sequence[int], *, micro_batches: int = 1) -> Plan:
    """The whole model on every rank."""
    stage = Stage(layers=(0, len(model.layers)), ranks=tuple(range(len(shares))), samples=tuple(shares), in_flight=1)
    return plan_of(model, [stage], micro_batches=micro_batches)


def send(rank: int, peer: int, nbytes: int, *, micro_batch: int = 0, needs: Sequence[str] = (), **more: object) -> Task:
    """One end of a message."""
    return _message(Op.SEND, rank, peer, nbytes, micro_batch, needs, more)


def receive(
    rank: int, peer: int, nbytes: int, *, micro_batch: int = 0, needs: Sequence[str] = (), **more: object
) -> Task:
    """The other end."""
    return _message(Op.RECV, rank, peer, nbytes, micro_batch, needs, more)


def _message(
    op: Op, rank: int, peer: int, nbytes: int, micro_batch: int, needs: Sequence[str], more: Mapping[str, object]
) -> Task:
    fields = {"payload": Payload.ACTIVATION, "layers": (1, 1)} | dict(more)
    return Task(
        op=op,
        rank=rank,
        stage=rank,
        micro_batch=micro_batch,
        peers=(peer,),
        nbytes=nbytes,
        needs=tuple(needs),
        **fields,  # type: ignore[arg-type]
    )


def collective(op: Op, ranks: Sequence[int], nbytes: int, *, needs: Sequence[str] = ()) -> list[Task]:
    """One program of one task for each member."""
    return [
        Task(op=op, rank=rank, stage=0, layers=(0, 1), peers=tuple(ranks), nbytes=nbytes, needs=tuple(needs))
        for rank in ranks
    ]


def compute(op: Op, rank: int, micro_batch: int | None = 0, *, needs: Sequence[str] = ()) -> Task:
    """A computation of layer 0 on one sample."""
    return Task(
        op=op, rank=rank, stage=rank, layers=(0, 1), micro_batch=micro_batch, samples=(0, 1), needs=tuple(needs)
    )


def schedule_of(*programs: Sequence[Task]) -> Schedule:
    """Programs in rank order."""
    return Schedule(tuple(tuple(program) for program in programs))


def play(plan: Plan, model: Model, cluster: Cluster, profile: Profile) -> Trace:
    """The plan's training iteration, simulated."""
    asked = workload(micro_batches=plan.micro_batches, micro_batch_samples=plan.micro_batch_samples)
    return simulate(hybrid_pipeline(plan, model, asked), cluster=cluster, model=model, profile=profile, tokens=1)


def play_programs(cluster: Cluster, *programs: Sequence[Task], forward_s: float = 1.0) -> Trace:
    """Hand-written programs; every forward takes ``forward_s``, every backward twice that."""
    model = chain(2)
    profile = constant_profile(model, cluster, forward_s=forward_s, backward_s=2 * forward_s)
    return simulate(schedule_of(*programs), cluster=cluster, model=model, profile=profile, tokens=1)


def ends_s(trace: Trace) -> dict[str, float]:
    """When each task ends."""
    return {span.task.name: span.end_s for span in trace}


def starts_s(trace: Trace) -> dict[str, float]:
    """When each task starts."""
    return {span.task.name: span.start_s for span in trace}
