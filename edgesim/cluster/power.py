"""What does a device draw, and what does its electricity emit? Watts by state, joules by message, grams by kWh."""

from dataclasses import dataclass
from itertools import product
from math import inf

from edgesim.cluster.compute_watts import ComputeWatts
from edgesim.cluster.rail import Rail, refuse_rails
from edgesim.units import require_numbers, si


@dataclass(frozen=True, slots=True, kw_only=True)
class PowerModel:
    """What a device draws: watts of the whole board in each state, and joules of its messages.

    States add above idle: a device that computes while it transmits draws
    ``static_w + idle_w + (compute_w - idle_w) + (transmit_w - idle_w)``. Other power modes of a board are other
    devices: a mode has its own clock, watts and efficiency.

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
        static_w: what the board around the module draws as long as it is switched on: regulators, carrier, fan. It
            comes on top of every state's watts, whose numbers leave it out; 0 where these are of the whole board.
        by_kind: watts while it computes, by kind of block and by how much of its peak it reaches, forward and
            backward; ``compute_w`` is for kinds that are not named. Instead of ``backward_w``.
        rails: what flows over each rail, where it is known.
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
    static_w: float = 0.0
    by_kind: tuple[ComputeWatts, ...] = ()
    rails: tuple[Rail, ...] = ()

    def __post_init__(self) -> None:
        require_numbers("power model", self)
        object.__setattr__(self, "by_kind", tuple(self.by_kind))
        object.__setattr__(self, "rails", tuple(self.rails))
        self._refuse_kinds()
        refuse_rails(self.rails)
        if not 0 <= self.static_w < inf:
            raise ValueError(f"power model: static_w must be finite and >= 0, got {self.static_w}")
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

    def _refuse_kinds(self) -> None:
        kinds = [each.kind for each in self.by_kind]
        if twice := [kind for kind in kinds if kinds.count(kind) > 1]:
            raise ValueError(f"power model: by_kind names {twice[0]!r} twice")
        if self.by_kind and self.backward_w is not None:
            raise ValueError(
                f"power model: backward_w={self.backward_w} and by_kind both say what backward passes draw "
                "(leave one out)"
            )
        for each in self.by_kind:
            if each.least_w < self.idle_w:
                raise ValueError(
                    f"power model: {each.kind} draws {each.least_w} W at least, which is below idle_w={self.idle_w}"
                )

    @property
    def always_w(self) -> float:
        """Watts of a device that does nothing, the board around it included."""
        return self.static_w + self.idle_w

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
        return not self.by_kind and self.compute_w == self.backward_draw_w == self.update_draw_w


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
