"""What differs between two simulated runs? Each input that can be switched by itself, with where and how it differs."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from edgesim.cluster import Device, Network, Topology
from edgesim.errors import EdgesimError
from edgesim.plan import Plan
from edgesim.scenario import Event, Scenario, Slowdown
from edgesim.units import show
from experiments.explain.worlds import World

# What an input is called.
DEVICE, RATE, LATENCY, LINKS, NETWORK = "device speed", "link rate", "latency", "links' other costs", "network"
MODEL, WORKLOAD, CLUSTER = "model", "workload", "cluster"
PLAN, SAMPLES, IN_FLIGHT, STRATEGY, MEMORY = "plan", "samples per rank", "micro-batches in flight", "strategy", "memory"
ROUGH = frozenset((NETWORK, MODEL, WORKLOAD, CLUSTER, PLAN, STRATEGY, MEMORY))
"""Of these, those that say that all is different, and nothing of how."""
JITTER, NEIGHBOUR, BANDWIDTH = "varying durations", "busy device", "bandwidth over time"


@dataclass(frozen=True, slots=True, kw_only=True)
class Input:
    """Something that differs.

    Attributes:
        what: one of the names above.
        where: a rank, a link; "" for all.
        detail: how, in words.
        rank: the rank whose device, rate or slow-downs differ; None where it is not of one.
        plan: what is planned if this alone differs; None where that is not known, or does not depend on it.
    """

    what: str
    where: str = ""
    detail: str = ""
    rank: int | None = None
    plan: Plan | None = None


def inputs(first: World, second: World) -> list[Input]:
    """All that differs and changes what is simulated, each once."""
    one, two = first.setup, second.setup
    if one.model != two.model:
        return [
            Input(what=MODEL, detail=f"{one.model.name} -> {two.model.name}"),
            *_scenarios(one.scenario, two.scenario),
        ]
    if len(one.cluster.devices) != len(two.cluster.devices):
        detail = f"{one.cluster.name} -> {two.cluster.name}"
        return [Input(what=CLUSTER, detail=detail), *_scenarios(one.scenario, two.scenario)]
    return [
        *_plans(first, second),
        *_devices(first, second),
        *_networks(one.cluster.network, two.cluster.network),
        *_scenarios(one.scenario, two.scenario),
    ]


def _devices(first: World, second: World) -> Iterator[Input]:
    devices = zip(first.setup.cluster.devices, second.setup.cluster.devices, strict=True)
    for rank, (one, two) in enumerate(devices):
        if _disks(one) != _disks(two) or not _equally_fast(first, one, second, two):
            yield Input(what=DEVICE, where=f"rank {rank}", rank=rank, detail=_how_fast(first, second, rank))


def _disks(device: Device) -> tuple[float, float]:
    return device.disk_bytes_per_s, device.writes_bytes_per_s


def _equally_fast(first: World, one: Device, second: World, two: Device) -> bool:
    """Whether both profiles say the same of a device, as far as both say anything; its name does not count."""
    said = [_said_of(world, device) for world, device in ((first, one), (second, two))]
    formulas = [_formula(world, device) for world, device in ((first, one), (second, two))]
    return formulas[0] == formulas[1] and all(said[0][key] == said[1][key] for key in said[0].keys() & said[1].keys())


def _said_of(world: World, device: Device) -> dict[object, float]:
    points = world.setup.profile.points
    return {(p.block, p.op, p.portion): p.seconds for p in points if p.device == device.name}


def _formula(world: World, device: Device) -> object:
    """What estimates of it rest on; None where it was measured."""
    estimates = world.setup.profile.estimates
    known = None if estimates is None else estimates.devices.get(device.name)
    return known and (known.flop_per_s, known.memory_bytes_per_s, known.efficiency)


def _how_fast(first: World, second: World, rank: int) -> str:
    """How many times as long the rank takes for what the first plan gives it, where both profiles know."""
    names = [world.setup.cluster.devices[rank].name for world in (first, second)]
    said = "" if names[0] == names[1] else f"{names[0]} -> {names[1]}"
    try:
        (stage,) = (stage for stage in first.plan.stages if rank in stage.ranks)
        samples = stage.samples[stage.ranks.index(rank)]
        took_s = [w.setup.problem.seconds(rank=rank, layers=stage.layers, samples=samples) for w in (first, second)]
        return ", ".join([*([said] if said else []), f"{took_s[1] / took_s[0]:.3g} times as long"])
    except (EdgesimError, ValueError, ZeroDivisionError):
        return said


def _networks(one: Network, two: Network) -> Iterator[Input]:
    if one.topology is not two.topology:
        yield Input(what=NETWORK, detail=f"{one.topology} -> {two.topology}")
        return
    yield from _rates(one, two)
    if one.latency_s != two.latency_s:
        most = [max(map(max, network.latency_s)) for network in (one, two)]
        yield Input(what=LATENCY, where=_whose(one, two), detail=" -> ".join(show(s, "s") for s in most))
    if other_costs(one) != other_costs(two):
        yield Input(what=LINKS)


def other_costs(network: Network) -> dict[str, Any]:
    """What links cost besides their rates and latencies."""
    names = ("goodput", "burst_bytes", "acknowledgement", "hand_over_s", "step_s")
    return {name: getattr(network, name) for name in names}


def rates_of(network: Network, rank: int) -> tuple[float, ...]:
    """Line rates of all that ends at a rank: of its NIC, or of its links both ways."""
    if network.topology is Topology.SWITCHED:
        return network.bytes_per_s[0][rank], network.bytes_per_s[1][rank]
    others = [other for other in range(network.ranks) if other != rank]
    return tuple(network.bytes_per_s[a][b] for other in others for a, b in ((rank, other), (other, rank)))


def _rates(one: Network, two: Network) -> Iterator[Input]:
    """One for all NICs if all differ by one factor, or where links have rates of their own; else one per NIC."""
    differ = [rank for rank in range(one.ranks) if rates_of(one, rank) != rates_of(two, rank)]
    if not differ:
        return
    slowest = [min(min(rates_of(network, rank)) for rank in differ) for network in (one, two)]
    factors = {
        round(b / a, 9) for rank in differ for a, b in zip(rates_of(one, rank), rates_of(two, rank), strict=True)
    }
    if one.topology is not Topology.SWITCHED or (len(differ) == one.ranks > 1 and len(factors) == 1):
        whose = f"rank {differ[0]}" if len(differ) == 1 else "" if len(differ) == one.ranks else _ranks(differ)
        yield Input(what=RATE, where=whose, detail=_rate_detail(*slowest))
        return
    for rank in differ:
        least = [min(rates_of(network, rank)) for network in (one, two)]
        yield Input(what=RATE, where=f"rank {rank}", rank=rank, detail=_rate_detail(*least))


def _rate_detail(before: float, after: float) -> str:
    return f"{8 * before / 1e6:.4g} -> {8 * after / 1e6:.4g} Mbit/s"


def _whose(one: Network, two: Network) -> str:
    """The rank at which all latencies end that differ; "" where they have none in common, or all differ."""
    pairs = [
        (i, j)
        for i in range(one.ranks)
        for j in range(one.ranks)
        if i != j and one.latency_s[i][j] != two.latency_s[i][j]
    ]
    common = set.intersection(*map(set, pairs)) if pairs else set()
    return f"rank {common.pop()}" if len(common) == 1 and one.ranks > 2 else ""


def _ranks(ranks: list[int]) -> str:
    return f"ranks {', '.join(map(str, ranks))}"


def _scenarios(one: Scenario, two: Scenario) -> Iterator[Input]:
    if one.jitter != two.jitter or (one.jitter and (one.seed, one.iteration) != (two.seed, two.iteration)):
        yield Input(what=JITTER, detail=_events(one.jitter, two.jitter))
    for rank in sorted({event.rank for each in (one, two) for event in slowdowns(each)}):
        before, after = ([event for event in slowdowns(each) if event.rank == rank] for each in (one, two))
        if before != after:
            yield Input(what=NEIGHBOUR, where=f"rank {rank}", rank=rank, detail=_events(*(after or before)))
    if bandwidths(one) != bandwidths(two) or (bandwidths(one) and one.seed != two.seed):
        yield Input(what=BANDWIDTH, detail=_events(*bandwidths(one), *bandwidths(two)))


def _events(*events: Event | None) -> str:
    said = list(dict.fromkeys(str(event) for event in events if event is not None))
    return "; ".join(said[:2]) + (" ..." if len(said) > 2 else "")


def slowdowns(scenario: Scenario) -> list[Slowdown]:
    """What slows devices down."""
    return [event for event in scenario.events if isinstance(event, Slowdown)]


def bandwidths(scenario: Scenario) -> list[Event]:
    """What changes the bandwidth of links."""
    jitter = scenario.jitter
    return [event for event in scenario.events if event != jitter and not isinstance(event, Slowdown)]


def _plans(first: World, second: World) -> Iterator[Input]:
    """Each part of a plan that differs, if the rest is the same; one for all, where it lies elsewhere."""
    one, two = first.setup.workload, second.setup.workload
    if replace(one, micro_batch_samples=1) != replace(two, micro_batch_samples=1):
        yield Input(what=WORKLOAD, detail=f"{one} -> {two}")
        return
    if _named(first) != _named(second):
        yield Input(what=STRATEGY, detail=" -> ".join(_how_named(first, second)))
        return
    before, after = first.plan, second.plan
    if _is_same(before, after):
        return
    if memory := _because_of_memory(first, second):
        yield from memory
        return
    if _places(before) != _places(after) or before.micro_batches != after.micro_batches:
        yield Input(what=PLAN, detail=f"{before} -> {after}")
        return
    if [stage.samples for stage in before.stages] != [stage.samples for stage in after.stages]:
        yield Input(what=SAMPLES, detail=f"{_each(before, 'samples')} -> {_each(after, 'samples')}")
    if _each(before, "in_flight") != _each(after, "in_flight"):
        yield Input(what=IN_FLIGHT, detail=f"{_each(before, 'in_flight')} -> {_each(after, 'in_flight')}")


def _each(plan: Plan, name: str) -> str:
    return " | ".join(str(getattr(stage, name)) for stage in plan.stages)


def _places(plan: Plan) -> list[object]:
    """All of a plan but samples and depth."""
    whole = plan.micro_batch_samples
    return [(whole, replace(stage, samples=(whole,) * len(stage.ranks), in_flight=1)) for stage in plan.stages]


def _named(world: World) -> tuple[str, dict[str, str]]:
    """A strategy and its options, as its configuration names it."""
    function = getattr(world.strategy, "func", world.strategy)
    options = getattr(world.strategy, "keywords", {})
    return getattr(function, "__name__", str(function)), {name: str(value) for name, value in options.items()}


def _how_named(first: World, second: World) -> list[str]:
    """Both strategies, with the options in which they differ if that is all."""
    (one, before), (two, after) = _named(first), _named(second)
    if one != two:
        return [one, two]
    names = [name for name in dict.fromkeys((*before, *after)) if before.get(name) != after.get(name)]
    return [", ".join(f"{name}={options.get(name)}" for name in names) for options in (before, after)]


def _because_of_memory(first: World, second: World) -> list[Input]:
    """Memory, if told of the second's the first's planner plans otherwise; and the plan, if it would differ anyway.

    Nothing where memory is the same, or does not change the plan.
    """
    one, two = first.setup, second.setup
    devices = list(zip(one.cluster.devices, two.cluster.devices, strict=True))
    differ = [rank for rank, (a, b) in enumerate(devices) if a.memory_bytes != b.memory_bytes]
    if not differ and one.head_room == two.head_room:
        return []
    alone, without = _replanned(first, second), _replanned(second, first)
    if alone is None or _is_same(alone, first.plan):
        return []
    where = f"rank {differ[0]}" if len(differ) == 1 else _ranks(differ) if differ else ""
    memory = Input(what=MEMORY, where=where, plan=alone, detail=f"another plan: {first.plan} -> {alone}")
    if _is_same(alone, second.plan) or without is None or _is_same(without, first.plan):
        return [memory]
    return [memory, Input(what=PLAN, plan=without, detail=f"{first.plan} -> {without}")]


def _replanned(world: World, other: World) -> Plan | None:
    """What its planner makes with the other's memory; None where it makes no plan."""
    devices = tuple(
        replace(mine, memory_bytes=their.memory_bytes, installed_bytes=max(mine.installed_bytes, their.memory_bytes))
        for mine, their in zip(world.setup.cluster.devices, other.setup.cluster.devices, strict=True)
    )
    cluster = replace(world.setup.cluster, devices=devices)
    try:
        return world.replan(replace(world.setup, cluster=cluster, head_room=other.setup.head_room))
    except (EdgesimError, ValueError):
        return None


def _is_same(one: Plan, two: Plan) -> bool:
    return (one.stages, one.micro_batches) == (two.stages, two.micro_batches)
