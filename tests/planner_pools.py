"""Clusters of many devices, as overrides of the configuration: alike, of four types, and all unlike by their NICs."""

from edgesim.units import si

BOARDS = ("jetson_tx2", "jetson_nano", "jetson_xavier_nx_15w", "raspberry_pi_4")
RATES_MBIT_PER_S = (300, 100, 1000, 50)
CLUSTERS = ("alike", "of four types", "unlike")


def cluster_words(kind: str, devices: int) -> tuple[str, ...]:
    """So many Nanos; or boards of four types in turn, each type with a NIC of its own, or each device."""
    if kind == "alike":
        return "cluster=nanos", f"cluster.count={devices}"
    types = len(BOARDS)
    more = [i if kind == "unlike" else 0 for i in range(devices)]
    rates = [si(f"{RATES_MBIT_PER_S[i % types] + more[i]} Mbit/s") for i in range(devices)]
    return (
        "cluster=demo",
        *(f"+device@devices.board_{i}={board}" for i, board in enumerate(BOARDS)),
        "cluster.name=pool",
        "cluster.devices=[" + ",".join(f"${{devices.board_{i % types}}}" for i in range(devices)) + "]",
        "cluster.network.transmit_bytes_per_s=[" + ",".join(f"{rate:.1f}" for rate in rates) + "]",
        "network.goodput=0.941",
    )
