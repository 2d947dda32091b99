"""Problems for planners to be timed on: chains of half-blocks of a transformer on four types of devices."""

from dataclasses import replace

import builders

from edgesim.cluster import Cluster, Device, Network, PowerModel
from edgesim.model import Layer, Model
from edgesim.planners.problem import Problem
from edgesim.profile import estimate
from edgesim.workload import Optimiser

# Types of devices as in the suite's planning study: GFLOP/s, GB that can be used, MB/s of the NIC.
TYPES = ((200e9, 3e9, 60e6), (600e9, 6e9, 80e6), (1200e9, 12e9, 100e6), (2400e9, 24e9, 110e6))
WATTS = ((1.0, 5.0), (2.0, 10.0), (4.0, 20.0), (6.0, 45.0))  # idle and computing, of boards of that class
HIDDEN, TOKENS = 1024, 128  # of BERT-large, with a short sequence
SAMPLES, MICRO_BATCHES = 8, 16


def half_blocks(layers: int) -> Model:
    """Attention and MLP in turn, a layer each: 4 h² and 8 h² parameters."""
    parts = []
    for i in range(layers):
        parameters = (4 if i % 2 == 0 else 8) * HIDDEN**2
        flop = 2.0 * parameters * TOKENS
        parts.append(
            builders.block(
                output_bytes=4 * HIDDEN * TOKENS,
                parameter_bytes=4 * parameters,
                stash_bytes=4 * TOKENS * HIDDEN * (8 if i % 2 == 0 else 10),
                flop=flop,
            )
        )
    chain = tuple(Layer(name=f"l{i}", blocks=(part,)) for i, part in enumerate(parts))
    return Model(name=f"half-blocks-{layers}", architecture="chain", hyper={}, layers=chain)


def board(kind: int) -> Device:
    """A device of a type, with watts of its class."""
    flop_per_s, memory_bytes, _ = TYPES[kind]
    idle_w, compute_w = WATTS[kind]
    power = PowerModel(
        idle_w=idle_w, compute_w=compute_w, transmit_w=idle_w + 0.5, receive_w=idle_w + 0.5, source="benchmark"
    )
    return builders.device(f"type{kind}", flop_per_s=flop_per_s, memory_bytes=memory_bytes, power=power)


def low_mode(device: Device) -> Device:
    """Six tenths of the clock for four tenths of the watts above idle."""
    power = device.power
    saving = replace(power, compute_w=power.idle_w + 0.4 * (power.compute_w - power.idle_w))
    return replace(device, name=f"{device.name}-low", flop_per_s=0.6 * device.flop_per_s, power=saving)


def low_modes() -> dict[str, list[Device]]:
    """Of all types of a pool, by name."""
    return {f"type{kind}": [low_mode(board(kind))] for kind in range(len(TYPES))}


def pool(devices: int, layers: int) -> Problem:
    """As many devices of each type as go; memory binds, since Adam's state and all in flight are counted."""
    model = half_blocks(layers)
    boards = tuple(board(r % len(TYPES)) for r in range(devices))
    network = Network.switched(
        transmit_bytes_per_s=[TYPES[r % len(TYPES)][2] for r in range(devices)],
        latency_s=0.0002,
        goodput=1.0,
        origin="assumed",
        source="benchmark",
    )
    cluster = Cluster(name="pool", devices=boards, network=network)
    workload = builders.workload(micro_batches=MICRO_BATCHES, micro_batch_samples=SAMPLES, optimiser=Optimiser.ADAM)
    others = [mode for modes in low_modes().values() for mode in modes]
    profile = estimate(model, (*boards, *others), samples=range(1, SAMPLES + 1), tokens=1)
    return Problem(model=model, cluster=cluster, profile=profile, workload=workload)
