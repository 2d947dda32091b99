"""Problems for planners to be timed on: chains of half-blocks of a transformer on four types of devices."""

import builders

from edgesim.cluster import Cluster, Network
from edgesim.model import Layer, Model
from edgesim.planners import Problem
from edgesim.profile import estimate
from edgesim.workload import Optimiser

# Types of devices as in the suite's planning study: GFLOP/s, GB that can be used, MB/s of the NIC.
TYPES = ((200e9, 3e9, 60e6), (600e9, 6e9, 80e6), (1200e9, 12e9, 100e6), (2400e9, 24e9, 110e6))
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
                output_bytes=4 * HIDDEN * TOKENS, parameter_bytes=4 * parameters,
                stash_bytes=4 * TOKENS * HIDDEN * (8 if i % 2 == 0 else 10), flop=flop,
            )
        )  # fmt: skip
    chain = tuple(Layer(name=f"l{i}", blocks=(part,)) for i, part in enumerate(parts))
    return Model(name=f"half-blocks-{layers}", architecture="chain", hyper={}, layers=chain)


def pool(devices: int, layers: int) -> Problem:
    """As many devices of each type as go; memory binds, since Adam's state and all in flight are counted."""
    model = half_blocks(layers)
    boards = tuple(
        builders.device(
            f"type{r % len(TYPES)}", flop_per_s=TYPES[r % len(TYPES)][0], memory_bytes=TYPES[r % len(TYPES)][1]
        )
        for r in range(devices)
    )
    network = Network.switched(
        transmit_bytes_per_s=[TYPES[r % len(TYPES)][2] for r in range(devices)], latency_s=0.0002, goodput=1.0,
        origin="assumed", source="benchmark",
    )  # fmt: skip
    cluster = Cluster(name="pool", devices=boards, network=network)
    workload = builders.workload(micro_batches=MICRO_BATCHES, micro_batch_samples=SAMPLES, optimiser=Optimiser.ADAM)
    profile = estimate(model, boards, samples=range(1, SAMPLES + 1), tokens=1)
    return Problem(model=model, cluster=cluster, profile=profile, workload=workload)
