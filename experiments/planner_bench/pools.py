"""Which unequal devices might stand in a home? Pools of boards, each with a rate of its own, drawn from a seed."""

from dataclasses import dataclass

import numpy as np

from edgesim.units import si

# Boards of conf/device, listed so that a new file there does not change what a seed draws.
BOARDS = (
    "jetson_nano",
    "jetson_nano_5w",
    "jetson_nano_cpu",
    "jetson_tx2",
    "jetson_tx2_maxq",
    "jetson_tx2_cpu",
    "jetson_xavier_nx_10w",
    "jetson_xavier_nx_15w",
    "jetson_orin_nano_7w",
    "jetson_orin_nano_15w",
    "raspberry_pi_4",
    "raspberry_pi_5",
)
RATES_MBIT_PER_S = (50, 100, 300, 1000)  # of a NIC: Wi-Fi, or Ethernet
FEWEST, MOST = 4, 8  # devices


@dataclass(frozen=True, slots=True, kw_only=True)
class Pool:
    """Boards in rank order, and the rate of each one's NIC, each way."""

    name: str
    boards: tuple[str, ...]
    rates_mbit_per_s: tuple[int, ...]

    @property
    def overrides(self) -> tuple[str, ...]:
        """The demo's cluster with these devices, on a real Ethernet wire."""
        devices = ",".join(f"${{devices.board_{i}}}" for i in range(len(self.boards)))
        rates = ",".join(f"{si(f'{rate} Mbit/s'):.1f}" for rate in self.rates_mbit_per_s)
        return (
            "cluster=demo",
            *(f"+device@devices.board_{i}={board}" for i, board in enumerate(self.boards)),
            f"cluster.name={self.name}",
            f"cluster.devices=[{devices}]",
            f"cluster.network.transmit_bytes_per_s=[{rates}]",
            "network.goodput=0.941",  # TCP: 1448 bytes of every 1538, as in conf/cluster/nanos.yaml
            "cluster.network.source=drawn for the planner bench",
        )


def pools(seed: int, count: int) -> list[Pool]:
    """So many pools, named after the seed; a pool does not depend on how many are drawn."""
    return [_pool(seed, number) for number in range(count)]


def _pool(seed: int, number: int) -> Pool:
    draw = np.random.default_rng((seed, number))
    size = int(draw.integers(FEWEST, MOST + 1))
    return Pool(
        name=f"pool-{seed}-{number:02d}",
        boards=tuple(BOARDS[i] for i in draw.integers(len(BOARDS), size=size)),
        rates_mbit_per_s=tuple(RATES_MBIT_PER_S[i] for i in draw.integers(len(RATES_MBIT_PER_S), size=size)),
    )
