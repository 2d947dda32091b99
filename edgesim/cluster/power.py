"""What does a device draw, and what does its electricity emit? Watts by state, joules by message, grams by kWh."""

from dataclasses import dataclass
from itertools import product
from math import inf

from edgesim.units import si


@dataclass(frozen=True, slots=True, kw_only=True)
class PowerModel:
    """What a device draws: watts of the whole board in each state, and joules of its messages.

    States add above idle: a device that computes while it transmits draws
    ``idle_w + (compute_w - idle_w) + (transmit_w - idle_w)``. Other power modes of a board are other devices.

    Attributes:
        idle_w: watts of a device that does nothing.
        compute_w: watts while it computes; forward passes, where the next two say what others draw.
        backward_w: watts while it computes gradients; None: as in forward passes.
        update_w: watts while it changes weights, which is work of its memory; None: as in forward passes.
        transmit_w: watts while its NIC or radio sends; that counts by its time on the air.
        receive_w: watts while it receives.
        transmit_j_per_byte: what a byte sent costs beside that; 0 says that air time tells all. An old linear model of
            802.11 cards is 1.9 uJ/B + 420 uJ per packet sent, 0.42 uJ/B + 330 uJ received, 0.8 W idle: transmit_w and
            receive_w are idle_w there, and the packets of a long message go into its bytes (420 uJ per 1448 B are
            0.29 uJ/B).
        transmit_j_per_message: what a message sent costs beside its bytes.
        receive_j_per_byte: what a byte received costs.
        receive_j_per_message: what a message received costs beside its bytes.
        tail_w: watts of a radio that stays awake behind its last byte, in case there is more; None: it does not.
        tail_s: how long it stays so (Linux waits for 100 ms unless told otherwise: mac80211's dynamic power save). What
            depends on the gaps between messages has no closed form: planners of energy refuse it.
        battery_j: what a charge holds; None on mains.
        source: where the numbers come from.
    """

    idle_w: float
    compute_w: float
    transmit_w: float
    receive_w: float
    source: str
    transmit_j_per_byte: float = 0.0
    transmit_j_per_message: float = 0.0
    receive_j_per_byte: float = 0.0
    receive_j_per_message: float = 0.0
    battery_j: float | None = None
    backward_w: float | None = None
    update_w: float | None = None
    tail_w: float | None = None
    tail_s: float = 0.0

    def __post_init__(self) -> None:
        for state in ("compute_w", "transmit_w", "receive_w", "backward_w", "update_w", "tail_w"):
            watts = getattr(self, state)
            if watts is not None and not 0 <= self.idle_w <= watts < inf:
                raise ValueError(f"power model: need 0 <= idle_w <= {state}, got idle_w={self.idle_w}, {state}={watts}")
        for way, per in product(("transmit", "receive"), ("byte", "message")):
            if not 0 <= getattr(self, f"{way}_j_per_{per}") < inf:
                joules = getattr(self, f"{way}_j_per_{per}")
                raise ValueError(f"power model: {way}_j_per_{per} must be finite and >= 0, got {joules}")
        if not 0 <= self.tail_s < inf or (self.tail_s > 0) != (self.tail_w is not None):
            raise ValueError(
                f"power model: a radio's tail is tail_w for tail_s, got tail_w={self.tail_w}, tail_s={self.tail_s} "
                "(give both, or neither)"
            )
        if self.battery_j is not None and not 0 < self.battery_j < inf:
            raise ValueError(f"power model: battery_j must be positive, got {self.battery_j} (leave it out on mains)")

    @property
    def backward_draw_w(self) -> float:
        """Watts while it computes gradients."""
        return self.compute_w if self.backward_w is None else self.backward_w

    @property
    def update_draw_w(self) -> float:
        """Watts while it changes weights."""
        return self.compute_w if self.update_w is None else self.update_w

    @property
    def computes_alike(self) -> bool:
        """Whether all that it computes draws the same watts."""
        return self.compute_w == self.backward_draw_w == self.update_draw_w


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """What the mains emit per kWh delivered: grams of CO2, as ``source`` counts them."""

    g_per_kwh: float
    source: str

    def __post_init__(self) -> None:
        if not 0 <= self.g_per_kwh < inf:
            raise ValueError(f"grid: g_per_kwh must be finite and >= 0, got {self.g_per_kwh}")

    def grams(self, energy_j: float) -> float:
        """Return the grams that this energy emits."""
        return energy_j / si("1 kWh") * self.g_per_kwh
