"""How long would a run take with some inputs of another? A simulation of the mixture, for any choice of them."""

from collections.abc import Callable, Collection
from dataclasses import replace

from edgesim.cluster import Cluster, Network
from edgesim.plan import Plan
from edgesim.profile import Profile
from edgesim.profile.variants import Variant, profile_of_variants
from edgesim.scenario import Scenario
from edgesim.schedule import Schedule
from experiments.explain import inputs as named
from experiments.explain.inputs import Input, bandwidths, slowdowns
from experiments.explain.worlds import World

_WHOLE = {named.MODEL, named.CLUSTER}  # inputs after which nothing of the first run's nouns can be played
_PLANS = {named.WORKLOAD, named.STRATEGY, named.PLAN, named.MEMORY}  # inputs after which everything lies elsewhere


def mixtures(first: World, second: World, differ: list[Input]) -> Callable[[Collection[int]], float]:
    """The simulated makespan of the first run where the inputs with these numbers are the second run's."""
    if any(each.what in _WHOLE for each in differ):
        return _whole(first, second, differ)
    worlds = first, second
    names = [
        [f"{rank} of {side}" for rank in range(len(world.setup.cluster.devices))] for side, world in enumerate(worlds)
    ]
    profile = profile_of_variants(
        {
            names[side][rank]: Variant(world.setup.profile, device)
            for side, world in enumerate(worlds)
            for rank, device in enumerate(world.setup.cluster.devices)
        }
    )

    schedules: dict[object, Schedule] = {}

    def seconds(chosen: Collection[int]) -> float:
        switched = [differ[i] for i in chosen]
        devices = tuple(
            replace(worlds[side].setup.cluster.devices[rank], name=names[side][rank])
            for rank in range(len(names[0]))
            for side in [any(each.what == named.DEVICE and each.rank == rank for each in switched)]
        )
        network = _network(first.setup.cluster.network, second.setup.cluster.network, switched)
        cluster = Cluster(name=first.setup.cluster.name, devices=devices, network=network)
        mixed, which = _mixed(first, second, differ, switched, cluster, profile)
        key = which, mixed.plan.stages
        if key not in schedules:
            schedules[key] = mixed.schedule()
        return mixed.setup.simulate(schedules[key]).makespan_s

    return seconds


def _mixed(
    first: World, second: World, differ: list[Input], switched: list[Input], cluster: Cluster, profile: Profile
) -> tuple[World, bool]:
    """The mixture, and whether its strategy and workload are the second run's."""
    scenario = _scenario(first.setup.scenario, second.setup.scenario, switched)
    lies = [each for each in switched if each.what in _PLANS]
    all_lie = len(lies) == sum(each.what in _PLANS for each in differ)
    world, plan = (second, second.plan) if lies and all_lie else (first, first.plan)
    if lies and not all_lie and lies[0].plan is not None:
        plan = lies[0].plan
    if not lies:
        plan = _plan(first.plan, second.plan, switched)
    setup = replace(world.setup, cluster=cluster, profile=profile, scenario=scenario)
    return replace(world, setup=setup, plan=plan), world is second


def _whole(first: World, second: World, differ: list[Input]) -> Callable[[Collection[int]], float]:
    """The same where all but what happens is the second run's at once, or the first's."""

    def seconds(chosen: Collection[int]) -> float:
        switched = [differ[i] for i in chosen]
        world = second if {each.what for each in switched} & _WHOLE else first
        scenario = _scenario(first.setup.scenario, second.setup.scenario, switched)
        return replace(world, setup=replace(world.setup, scenario=scenario)).trace().makespan_s

    return seconds


def _plan(one: Plan, two: Plan, switched: list[Input]) -> Plan:
    what = {each.what for each in switched}
    stages = tuple(
        replace(
            a,
            samples=(b if named.SAMPLES in what else a).samples,
            in_flight=(b if named.IN_FLIGHT in what else a).in_flight,
        )
        for a, b in zip(one.stages, two.stages, strict=False)
    )
    return replace(one, stages=stages) if what & {named.SAMPLES, named.IN_FLIGHT} else one


def _network(one: Network, two: Network, switched: list[Input]) -> Network:
    mixed = one
    for each in switched:
        if each.what == named.NETWORK:
            return two
        if each.what == named.LATENCY:
            mixed = replace(mixed, latency_s=two.latency_s)
        elif each.what == named.RATE:
            mixed = replace(mixed, bytes_per_s=_rates(mixed, two, each.rank))
        elif each.what == named.LINKS:
            mixed = replace(mixed, **named.other_costs(two))
    return mixed


def _rates(one: Network, two: Network, rank: int | None) -> tuple[tuple[float, ...], ...]:
    """The rates of one NIC, or all."""
    if rank is None:
        return two.bytes_per_s
    return tuple(
        tuple(there if i == rank else here for i, (here, there) in enumerate(zip(*rows, strict=True)))
        for rows in zip(one.bytes_per_s, two.bytes_per_s, strict=True)
    )


def _scenario(one: Scenario, two: Scenario, switched: list[Input]) -> Scenario:
    what, busy = {each.what for each in switched}, {each.rank for each in switched if each.what == named.NEIGHBOUR}
    varying, links = (two if name in what else one for name in (named.JITTER, named.BANDWIDTH))
    events = (
        *([varying.jitter] if varying.jitter is not None else []),
        *(event for event in slowdowns(one) if event.rank not in busy),
        *(event for event in slowdowns(two) if event.rank in busy),
        *bandwidths(links),
    )
    drawn = varying if varying.jitter is not None else links
    return Scenario(events=events, seed=drawn.seed, iteration=drawn.iteration)
