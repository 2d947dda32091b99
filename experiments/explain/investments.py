"""What is the next best investment? What 10 % more of each device's speed, link's rate or memory would save."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from edgesim.cluster import Device, Network, Topology
from edgesim.errors import EdgesimError
from edgesim.explanation.sensitivity import Gain
from edgesim.profile.variants import Variant, profile_of_variants
from edgesim.schedule import DISK
from experiments.explain.worlds import World

MORE = 0.1
"""The share by which everything is made faster, or larger, one after the other."""


def investments(world: World, *, replans: bool = True) -> tuple[Gain, ...]:
    """Simulate every investment; that which saves most comes first.

    Speeds and rates change under the plan as it is. More memory changes nothing but the plan: with ``replans``, the
    run's own planner is asked again.
    """
    trace = world.trace()
    base_s = trace.makespan_s
    found = [
        *_devices(world, base_s),
        *_networks(world, base_s),
        *(_disks(world, base_s) if trace.schedule.columns.each(lambda kind: kind.op in DISK, bool).any() else ()),
        *(_memory(world, base_s) if replans else ()),
    ]
    return tuple(sorted(found, key=lambda gain: -gain.saves_s))


def _on(world: World, devices: Sequence[Device], **more: object) -> World:
    cluster = replace(world.setup.cluster, devices=tuple(devices))
    return replace(world, setup=replace(world.setup, cluster=cluster, **more))  # type: ignore[arg-type]


def _with_network(world: World, network: Network) -> World:
    return replace(world, setup=replace(world.setup, cluster=replace(world.setup.cluster, network=network)))


def _devices(world: World, base_s: float) -> Iterator[Gain]:
    setup = world.setup
    devices = setup.cluster.devices
    names = [(f"{rank}", f"{rank} faster") for rank in range(len(devices))]
    profile = profile_of_variants(
        {
            name: Variant(setup.profile, device, speed)
            for device, both in zip(devices, names, strict=True)
            for name, speed in zip(both, (1.0, 1 + MORE), strict=True)
        }
    )
    for rank in sorted(world.plan.ranks):
        faster = [replace(device, name=names[r][r == rank]) for r, device in enumerate(devices)]
        seconds = _on(world, faster, profile=profile).trace().makespan_s
        yield Gain(what="computing", where=f"rank {rank}", saves_s=base_s - seconds)


def _networks(world: World, base_s: float) -> Iterator[Gain]:
    network = world.setup.cluster.network
    if network.ranks < 2 or len(world.plan.ranks) < 2:
        return
    switched = network.topology is Topology.SWITCHED

    def gain(what: str, where: str, other: Network) -> Gain:
        return Gain(what=what, where=where, saves_s=base_s - _with_network(world, other).trace().makespan_s)

    for rank in sorted(world.plan.ranks):
        yield gain("link rate", f"rank {rank}", _faster(network, _ends_at(rank, switched=switched)))
    yield gain("link rate", "all links", _faster(network, lambda _row, _column: True))
    shorter = tuple(tuple(seconds / (1 + MORE) for seconds in row) for row in network.latency_s)
    if shorter != network.latency_s:
        yield gain("latency", "all links", replace(network, latency_s=shorter))


def _ends_at(rank: int, *, switched: bool) -> Callable[[int, int], bool]:
    """Which entries of a network's rates are of a rank: its NIC's, or those of its links both ways."""
    return lambda row, column: column == rank or (not switched and row == rank)


def _faster(network: Network, such: Callable[[int, int], bool]) -> Network:
    rates = tuple(
        tuple(rate * (1 + MORE) if such(i, j) else rate for j, rate in enumerate(row))
        for i, row in enumerate(network.bytes_per_s)
    )
    return replace(network, bytes_per_s=rates)


def _disks(world: World, base_s: float) -> Iterator[Gain]:
    devices = world.setup.cluster.devices
    for rank in sorted(world.plan.ranks):
        faster = [_with_faster_disk(device) if r == rank else device for r, device in enumerate(devices)]
        yield Gain(what="disk", where=f"rank {rank}", saves_s=base_s - _on(world, faster).trace().makespan_s)


def _with_faster_disk(device: Device) -> Device:
    writes = device.disk_write_bytes_per_s
    return replace(
        device,
        disk_bytes_per_s=device.disk_bytes_per_s * (1 + MORE),
        disk_write_bytes_per_s=None if writes is None else writes * (1 + MORE),
    )


def _memory(world: World, base_s: float) -> Iterator[Gain]:
    """One line if not even more memory everywhere makes another plan, else one for each device."""
    ranks = range(len(world.setup.cluster.devices))
    everywhere = _replanned(world, ranks)
    if everywhere is None or everywhere.plan.stages == world.plan.stages:
        said = "the planner finds no plan" if everywhere is None else "the plan stays as it is"
        yield Gain(what="memory", where="all devices", saves_s=0.0, detail=said)
        return
    for rank in ranks:
        other = _replanned(world, [rank])
        if other is not None and other.plan.stages != world.plan.stages:
            saved_s = base_s - other.trace().makespan_s
            yield Gain(what="memory", where=f"rank {rank}", saves_s=saved_s, detail=f"plan: {other.plan}")
    saved_s = base_s - everywhere.trace().makespan_s
    yield Gain(what="memory", where="all devices", saves_s=saved_s, detail=f"plan: {everywhere.plan}")


def _replanned(world: World, ranks: Sequence[int]) -> World | None:
    devices = [
        replace(
            device, memory_bytes=device.memory_bytes * (1 + MORE), installed_bytes=device.installed_bytes * (1 + MORE)
        )
        if rank in ranks
        else device
        for rank, device in enumerate(world.setup.cluster.devices)
    ]
    larger = _on(world, devices)
    try:
        plan = world.replan(larger.setup)
    except (EdgesimError, ValueError):
        return None
    return replace(larger, setup=larger.setup.as_planned(plan), plan=plan)
