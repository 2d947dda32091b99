"""Where does every number on a page come from? Measured, from measured times, published, estimated, assumed."""

from collections.abc import Iterator

from edgesim.cluster import Device
from edgesim.units import show
from experiments.explain.worlds import World
from experiments.report.page import Cell
from experiments.report.plan_drawing import show_rate

HEADS = ("what", "value", "it is", "source")


def of_world(world: World) -> Iterator[tuple[Cell | str, ...]]:
    """A row for every number that a simulation rests on."""
    setup = world.setup
    network, profile = setup.cluster.network, setup.profile
    rates = sorted({show_rate(rate) for row in network.bytes_per_s for rate in row})
    yield "line rates", ", ".join(rates), str(network.origin), network.source
    latencies = [seconds for row in network.latency_s for seconds in row]
    ends = dict.fromkeys((min(latencies), max(latencies)))
    yield "latency", " to ".join(show(s, "s") for s in ends), str(network.origin), network.source
    yield "goodput", f"{network.goodput:.3g}", str(network.origin), network.source
    yield "seconds of blocks", f"{len(profile.points)} points", str(profile.origin), profile.provenance
    for device in {device.name: device for device in setup.cluster.devices}.values():
        yield from _of_device(device)
    yield "parameters, FLOPs, bytes", setup.model.name, "derived", "the model's layers in closed form, or counted"


def _of_device(device: Device) -> Iterator[tuple[str, ...]]:
    yield f"{device.name}: speed", show(device.flop_per_s, "FLOP/s"), str(device.origin), device.source
    yield f"{device.name}: memory", show(device.memory_bytes, "B"), str(device.origin), device.source
    yield f"{device.name}: watts", f"{device.power.compute_w:g} W computing", "see source", device.power.source


def of_players(players: list[str]) -> Iterator[tuple[str, ...]]:
    """What the figures of a run are, by who played it."""
    for player in players:
        simulated = player == "simulated"
        seconds = "predicted" if simulated else "measured"
        yield f"{player}: seconds, rates, bubble", "", seconds, "virtual time" if simulated else "clocks of the ranks"
        yield f"{player}: energy", "", f"computed from {player} times", "times of the trace and the devices' watts"
    yield "memory held, bytes sent", "", "computed from the plan", "the terms of edgesim.memory, the schedule's bytes"
    yield "what 10 % more would save", "", "predicted", "simulated anew; of a trace alone, played again"
