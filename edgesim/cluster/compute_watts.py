"""What does a board draw while it computes blocks of a kind? Watts that grow with the share of its peak it reaches."""

from dataclasses import dataclass
from math import inf

from edgesim.units import require_numbers

ANY_KIND = "any"


@dataclass(frozen=True, slots=True, kw_only=True)
class ComputeWatts:
    """Watts while blocks of a kind are computed: a straight line in the fraction ``u`` of ``flop_per_s`` they reach.

        stalled_w + (watts - stalled_w) u / at_fraction

    So a second of computing takes ``stalled_w``, and each FLOP joules on top, as in the roofline model of energy (Choi
    et al., IPDPS 2013): small micro-batches, which reach little of the peak, draw less. Forward and backward passes of
    a kind draw alike; their FLOP and seconds differ.

    Attributes:
        kind: a block kind (attention: products and softmax; mlp and head: matrix multiplication; conv; connective:
            element-wise; embedding: look-ups), or "any" for those that are not named.
        watts: what is drawn at ``at_fraction``, by what the states of the device's power model count, ``static_w``
            left out.
        at_fraction: which fraction of ``flop_per_s`` was reached when ``watts`` were read.
        stalled_w: what is drawn by a device that computes and gets no FLOP done, for it waits for its memory; None:
            ``watts``, whatever is reached.
        source: where the numbers come from.
    """

    kind: str
    watts: float
    source: str
    at_fraction: float = 1.0
    stalled_w: float | None = None

    def __post_init__(self) -> None:
        require_numbers(f"watts of {self.kind}", self)
        if not 0 < self.at_fraction <= 1:
            raise ValueError(
                f"watts of {self.kind}: at_fraction is a share of flop_per_s in (0, 1], got {self.at_fraction}"
            )
        if not 0 <= self.least_w <= self.watts < inf:
            raise ValueError(
                f"watts of {self.kind}: need 0 <= stalled_w <= watts, got stalled_w={self.stalled_w}, "
                f"watts={self.watts}"
            )

    @property
    def least_w(self) -> float:
        """Watts that are drawn whatever is reached."""
        return self.watts if self.stalled_w is None else self.stalled_w

    def j_per_flop(self, flop_per_s: float) -> float:
        """Return the joules of each FLOP on top of ``least_w``, on a device with this peak."""
        return (self.watts - self.least_w) / (self.at_fraction * flop_per_s)
