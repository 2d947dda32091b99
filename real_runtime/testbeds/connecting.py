"""What are the ranks of a testbed told, so that they are connected, and as slow as the devices that they stand for?"""

from collections.abc import Sequence
from math import inf

from real_runtime.control.rank_process import Message
from real_runtime.testbeds.shaping import nic_rates
from real_runtime.testbeds.testbed import Testbed


def joins(testbed: Testbed, ranks: Sequence[int]) -> dict[int, Message]:
    """[rank] The command that connects these ranks, and no others, from now on."""
    testbed.generation += 1
    hosts, rates = testbed.hosts, nic_rates(testbed.cluster, testbed.spec.slow_motion)
    return {
        rank: {
            "do": "join",
            "rank": rank,
            "members": list(ranks),
            "generation": testbed.generation,
            "interface": hosts.interface_of(rank),
            "nic_bytes_per_s": rates[rank] if hosts.paces else None,
            "is_throttled": testbed.spec.cpu_quota,
        }
        for rank in ranks
    }


def dilation(testbed: Testbed, rank: int) -> Message:
    """The command that makes a rank as slow as its device, and limits its memory where a cgroup does not."""
    spec, device = testbed.spec, testbed.cluster.devices[rank]
    memory_bytes = device.memory_bytes if spec.memory_limit and testbed.confine is None else None
    fraction = 1.0 if spec.cpu_quota else testbed.fractions[rank]
    paces = testbed.hosts.are_here  # disks of their own are as fast as they are
    rates = {
        "read_bytes_per_s": device.disk_bytes_per_s / spec.slow_motion if paces else inf,
        "write_bytes_per_s": device.writes_bytes_per_s / spec.slow_motion if paces else inf,
    }
    return {"do": "dilate", "fraction": fraction, "memory_bytes": memory_bytes, "disk": rates}


def renew(testbed: Testbed, rank: int) -> None:
    """Start a rank's process anew, in its device's control group; it is to be connected, and to be made as slow."""
    testbed.coordinator.renew(rank)
    if testbed.confine is not None:
        testbed.confine(rank)
