"""Runs that differ in one thing by much, and in others by little: small worlds in which a cause is planted.

Beside the cause, another device is a little slower and another NIC, too, so that whoever names whatever differs is
wrong as often as not.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache, partial

import numpy as np
from builders import chain, data_plan, device, linear_profile, switched, workload

from edgesim.cluster import Cluster
from edgesim.model import Model
from edgesim.plan import Depth, Plan
from edgesim.planners.baselines.exhaustive import exhaustive
from edgesim.scenario import Event, Jitter, Scenario, Slowdown
from edgesim.strategies.hybrid_pipeline import hybrid_pipeline
from experiments.configuration.setup import Setup
from experiments.explain.worlds import Side, World

RANKS, LAYERS, BATCH, MICRO_BATCH = 3, 6, 48, 6
HUGE_BYTES = 1e12


@dataclass(frozen=True, kw_only=True)
class Planted:
    """A case: what is planted, where, and the two sides.

    ``links`` are what may be blamed instead of ``where`` if only traces are known.
    """

    what: str
    where: str
    before: Side
    after: Side
    links: tuple[str, ...] = ()


def cluster(
    *, rates: tuple[float, ...] = (2e6,) * RANKS, latency_s: float = 0.001, memory_bytes: tuple[float, ...] = ()
) -> Cluster:
    """Three boards on a switch."""
    memory = memory_bytes or (HUGE_BYTES,) * RANKS
    boards = tuple(device(f"d{rank}", memory_bytes=memory[rank]) for rank in range(RANKS))
    network = replace(switched(RANKS, latency_s=latency_s), bytes_per_s=(rates, rates))
    return Cluster(name="three boards", devices=boards, network=network)


def model(**more: int) -> Model:
    """Six equal layers that pass on some kilobytes."""
    return chain(LAYERS, output_bytes=4000, **more)


def planner(setup: Setup) -> Plan:
    """The best pipeline that fits."""
    strategy = partial(setup.seconds, strategy=hybrid_pipeline)
    return exhaustive(setup.problem, groups="pipeline", depth=Depth.ONE_F_ONE_B, evaluate=strategy)


def world(
    *,
    at: Cluster | None = None,
    speeds: tuple[float, ...] = (1.0,) * RANKS,
    of: Model | None = None,
    events: tuple[Event, ...] = (),
    seed: int = 0,
    plan: Plan | None = None,
) -> World:
    """A small pipeline, planned unless its plan is given."""
    known, where = of or model(), at or cluster()
    profile = linear_profile(known, where, forward_s=0.002, backward_s=0.004, update_s=0.001, speeds=speeds)
    setup = Setup(
        cluster=where,
        model=known,
        workload=workload(micro_batches=BATCH // MICRO_BATCH, micro_batch_samples=MICRO_BATCH),
        profile=profile,
        scenario=Scenario(events=events, seed=seed),
    )
    return World(setup=setup, plan=plan or planner(setup), strategy=hybrid_pipeline, replan=planner)


@cache
def undisturbed() -> World:
    """What most cases begin with."""
    return world()


def side(of: World, name: str, *, known: bool = True) -> Side:
    """What it is simulated to do, with or without knowing what was simulated."""
    return Side(name=name, trace=of.trace(), world=of if known else None)


def _little(random: np.random.Generator, but: int) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Speeds and rates of which those of ranks but one are up to 4 % less."""
    less = [1.0 if rank == but else 1 - 0.04 * random.random() for rank in range(2 * RANKS)]
    return tuple(less[:RANKS]), tuple(2e6 * each for each in less[RANKS:])


def planted(kind: str, seed: int, *, known: bool = True) -> Planted:
    """A case of a kind, with numbers drawn by its seed."""
    random = np.random.default_rng([sorted(KINDS).index(kind), seed])
    rank = int(random.integers(RANKS))
    before, after, what, where, links = KINDS[kind](random, rank)
    sides = {name: side(of, name, known=known) for name, of in (("before", before), ("after", after))}
    return Planted(what=what, where=where, links=links, **sides)


Drawn = tuple[World, World, str, str, tuple[str, ...]]


def _same_plan(before: World, **more: object) -> World:
    return world(plan=before.plan, **more)  # type: ignore[arg-type]


def _slower_device(random: np.random.Generator, rank: int) -> Drawn:
    before, (speeds, rates) = undisturbed(), _little(random, rank)
    slower = tuple(s / random.uniform(1.3, 2.5) if r == rank else s for r, s in enumerate(speeds))
    after = _same_plan(before, at=cluster(rates=rates), speeds=slower)
    return before, after, "device speed", f"rank {rank}", ()


def _slower_link(random: np.random.Generator, rank: int) -> Drawn:
    before, (speeds, rates) = undisturbed(), _little(random, rank)
    slower = tuple(s / random.uniform(3, 6) if r == rank else s for r, s in enumerate(rates))
    ends = tuple(f"link {a}>{b}" for a in range(RANKS) for b in range(RANKS) if a != b and rank in (a, b))
    after = _same_plan(before, at=cluster(rates=slower), speeds=speeds)
    return before, after, "link rate", f"rank {rank}", (*ends, "all links")


def _higher_latency(random: np.random.Generator, rank: int) -> Drawn:
    before, (speeds, rates) = undisturbed(), _little(random, rank)
    after = _same_plan(before, at=cluster(rates=rates, latency_s=random.uniform(0.01, 0.05)), speeds=speeds)
    return before, after, "latency", "", ()


def _fewer_in_flight(random: np.random.Generator, rank: int) -> Drawn:
    before, (speeds, rates) = undisturbed(), _little(random, rank)
    stages = tuple(replace(stage, in_flight=1) for stage in before.plan.stages)
    after = world(at=cluster(rates=rates), speeds=speeds, plan=replace(before.plan, stages=stages))
    return before, after, "micro-batches in flight", "", ()


def _uneven_samples(random: np.random.Generator, rank: int) -> Drawn:
    speeds, rates = _little(random, rank)
    plan = data_plan(model(), [2, 2, 2], micro_batches=BATCH // MICRO_BATCH)
    shares = [1, 1, 1]
    shares[rank] = 4
    uneven = data_plan(model(), shares, micro_batches=BATCH // MICRO_BATCH)
    return world(plan=plan), world(at=cluster(rates=rates), speeds=speeds, plan=uneven), "samples per rank", "", ()


def _smaller_memory(random: np.random.Generator, rank: int) -> Drawn:
    speeds, rates = _little(random, rank)
    large = model(parameter_bytes=10**6)
    memory = tuple(3e6 * random.uniform(0.9, 1.1) if r == rank else HUGE_BYTES for r in range(RANKS))
    before = world(of=large)
    after = world(of=large, at=cluster(rates=rates, memory_bytes=memory), speeds=speeds)
    return before, after, "memory", f"rank {rank}", ()


def _jitter(random: np.random.Generator, rank: int) -> Drawn:
    before, (speeds, rates) = undisturbed(), _little(random, rank)
    event = Jitter(variation=random.uniform(0.3, 0.6), source="test")
    after = _same_plan(before, at=cluster(rates=rates), speeds=speeds, events=(event,), seed=int(random.integers(99)))
    return before, after, "varying durations", "", ()


def _busy_neighbour(random: np.random.Generator, rank: int) -> Drawn:
    before, (speeds, rates) = undisturbed(), _little(random, rank)
    whole_s = before.trace().makespan_s
    begins = random.uniform(0.1, 0.3)
    ends = begins + 0.5
    factor = random.uniform(0.3, 0.6)
    event = Slowdown(rank=rank, start_s=begins * whole_s, end_s=ends * whole_s, factor=factor, source="test")
    after = _same_plan(before, at=cluster(rates=rates), speeds=speeds, events=(event,))
    return before, after, "busy device", f"rank {rank}", ()


KINDS: dict[str, Callable[[np.random.Generator, int], Drawn]] = {
    "slower device": _slower_device,
    "slower link": _slower_link,
    "higher latency": _higher_latency,
    "fewer in flight": _fewer_in_flight,
    "uneven samples": _uneven_samples,
    "smaller memory": _smaller_memory,
    "jitter": _jitter,
    "busy neighbour": _busy_neighbour,
}
SEEN_IN_TRACES = ("slower device", "slower link", "higher latency", "jitter", "busy neighbour")
"""Kinds after which the schedule is the same, so that traces alone can tell."""
