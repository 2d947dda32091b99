"""What shapes an emulated host's line? A token bucket (tc TBF), in whose queue urgent packets overtake all others.

Urgent are those that ask for low delay (heartbeats): the queue has three bands (tc pfifo_fast), and they are in the
first. Otherwise whoever sends a large message would not be heard until it has left.
"""

from collections.abc import Iterator, Sequence
from math import ceil

from edgesim.cluster import Cluster
from edgesim.units import mbit_per_s

# A token bucket gives every idle link a free burst: 5 ms of the rate keeps it small against a message, and large enough
# that the shaper's interrupts do not steal computation (16 KB at 100 Mbit/s were seen to cost 39 %, 64 KB under 11 %).
_BURST_S, _MIN_BURST_BYTES = 0.005, 16 * 1024
_QUEUE_S = 0.4  # what may wait in the shaper before TCP sees a loss
_FRAME_BYTES = 1514


def nic_rates(cluster: Cluster, slow_motion: float = 1.0) -> list[float]:
    """[rank] bytes per second of each host's line, the slower of its two directions."""
    return [min(up, down) / slow_motion for up, down in zip(*cluster.network.bytes_per_s, strict=True)]


def emulated(cluster: Cluster, fractions: Sequence[float]) -> str:
    """The hosts that are emulated, for people."""
    return ", ".join(
        f"{device.name} at {fraction:.2f} core and {mbit_per_s(rate):g} Mbit/s"
        for device, fraction, rate in zip(cluster.devices, fractions, nic_rates(cluster), strict=True)
    )


def shaped(device: str, bytes_per_s: float) -> Iterator[str]:
    """Yield commands that shape what leaves by a device."""
    # Each band holds as many packets as the device says when the queue is made.
    yield f"ip link set dev {device} txqueuelen {ceil(bytes_per_s * _QUEUE_S / _FRAME_BYTES)}"
    yield f"tc qdisc add dev {device} root handle 1: {_bucket(bytes_per_s)}"
    yield f"tc qdisc add dev {device} parent 1:1 handle 10: pfifo_fast"


# To change a token bucket fills it, with milliseconds of the rate, each time. So while rates change, a class of HTB is
# behind it, which keeps its tokens, and the bucket is as good as none, or holds everything. It cuts large packets: a
# class sends a whole one as soon as it may send any, and would be up to 64 KB too fast.
_WIDE_BIT_PER_S, _HOLD_BIT_PER_S, _CUT_S, _MIN_CUT_BYTES = 10**11, 8, 0.0005, 2 * _FRAME_BYTES


def made_changeable(device: str, bytes_per_s: float) -> Iterator[str]:
    """Yield commands of tc after which a device's rate can be changed again and again; what waits there is lost.

    The bucket becomes small first: a packet that waited, and is larger than it, would never leave, nor any behind it.
    """
    yield let_go(device, bytes_per_s)
    yield f"qdisc replace dev {device} parent 1:1 handle 20: htb default 1"
    yield f"class add dev {device} parent 20: classid 20:1 {_changeable(bytes_per_s, bytes_per_s)}"
    yield f"qdisc add dev {device} parent 20:1 handle 30: pfifo_fast"


def made_steady(device: str, bytes_per_s: float) -> Iterator[str]:
    """Yield commands of tc after which all is as :func:`shaped` made it."""
    yield f"qdisc replace dev {device} parent 1:1 handle 10: pfifo_fast"
    yield f"qdisc change dev {device} root handle 1: {_bucket(bytes_per_s)}"


def changed(device: str, bytes_per_s: float, own_bytes_per_s: float) -> str:
    """The command of tc that gives a changeable device another rate than its own; what waits there stays there."""
    return f"class change dev {device} parent 20: classid 20:1 {_changeable(bytes_per_s, own_bytes_per_s)}"


def held(device: str) -> str:
    """The command of tc after which nothing leaves a changeable device: it waits there."""
    return _outer(device, _HOLD_BIT_PER_S, _MIN_CUT_BYTES)


def let_go(device: str, bytes_per_s: float) -> str:
    """The command of tc after which it may leave again, as soon as one more packet comes."""
    return _outer(device, _WIDE_BIT_PER_S, max(_MIN_CUT_BYTES, round(bytes_per_s * _CUT_S)))


def _outer(device: str, bit_per_s: int, cut_bytes: int) -> str:
    bucket = f"tbf rate {bit_per_s}bit burst {cut_bytes}b limit {cut_bytes}b"
    return f"qdisc change dev {device} root handle 1: {bucket}"


def _changeable(bytes_per_s: float, own_bytes_per_s: float) -> str:
    burst = _burst_bytes(own_bytes_per_s)
    rate = f"{round(bytes_per_s * 8)}bit"
    return f"htb rate {rate} ceil {rate} burst {burst}b cburst {burst}b quantum {_FRAME_BYTES}"


def _bucket(bytes_per_s: float) -> str:
    burst, latency_ms = _burst_bytes(bytes_per_s), round(_QUEUE_S * 1e3)
    return f"tbf rate {round(bytes_per_s * 8)}bit burst {burst}b latency {latency_ms}ms"


def _burst_bytes(bytes_per_s: float) -> int:
    return max(_MIN_BURST_BYTES, round(bytes_per_s * _BURST_S))
