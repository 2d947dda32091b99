"""What shares resources? A flow, with the seconds that each of its bytes takes of each."""

from typing import TypeVar

Hops = tuple[tuple[int, float], ...]  # (resource, seconds per byte)


class Flow:
    """What shares resources: its hops, its rate in bytes per second, and the resource that limits it."""

    __slots__ = ("bottleneck", "hops", "rate")

    def __init__(self, hops: Hops) -> None:
        self.hops, self.rate, self.bottleneck = hops, 0.0, -1


F = TypeVar("F", bound=Flow)
