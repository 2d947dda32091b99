"""What would a meter read of hosts whose watts are known? For emulated hosts, which have no meter of their own.

The true power of a host is idle_w, and on top what each state takes per second and each byte on the wire. The meter
means it over its period, errs by a share of it that is normally distributed, and reads a clock that is behind; the
noise is drawn from the seed.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from edgesim.cluster import PowerModel
from edgesim.metered.activity import WIRE, Activity, activity_of, together
from edgesim.metered.joules import TraceOnClock, Window
from edgesim.metered.power_log import Covers, Evidence, MeterFacts, PowerLog, Quantity
from edgesim.schedule import COMPUTE, Op
from edgesim.trace import Floats

_AROUND_PERIODS = 3  # that it reads before the first window and after the last


@dataclass(frozen=True, slots=True, kw_only=True)
class TrueWatts:
    """What a host draws: watts when idle, and above that by state (``compute F``, ``transmit``, ``disk`` ...).

    ``j_per_byte`` is what a byte takes that is ``transmit``ted or ``receive``d.
    """

    idle_w: float
    above_w: Mapping[str, float]
    j_per_byte: Mapping[str, float] = field(default_factory=dict)

    @classmethod
    def of(cls, power: PowerModel) -> "TrueWatts":
        """Return the watts that a device declares; time at its disk costs nothing there.

        Idle watts are those of the whole board. Raises ValueError for watts by kind of block: hosts are known by what
        they do, not by the blocks that they do it to.
        """
        if power.by_kind:
            kinds = ", ".join(each.kind for each in power.by_kind)
            raise ValueError(
                f"synthetic meter: watts by kind of block ({kinds}) cannot be read, because hosts are known by pass: "
                "forward, backward, update (give compute_w, backward_w and update_w instead of by_kind)"
            )
        draws_w = {Op.B: power.backward_draw_w, Op.UPDATE: power.update_draw_w}
        above_w = {f"compute {op}": draws_w.get(op, power.compute_w) - power.idle_w for op in sorted(COMPUTE)}
        wire_w = {"transmit": power.transmit_w - power.idle_w, "receive": power.receive_w - power.idle_w}
        j_per_byte = {"transmit": power.transmit_j_per_byte, "receive": power.receive_j_per_byte}
        return cls(idle_w=power.always_w, above_w=above_w | wire_w, j_per_byte=j_per_byte)


@dataclass(frozen=True, slots=True, kw_only=True)
class SyntheticMeter:
    """A meter of declared watts.

    Attributes:
        period_s: from reading to reading, each the mean since the one before.
        noise: standard deviation of a reading, as a share of it.
        behind_s: how much its clock is behind that of the traces.
        seed: of the noise; each rank has its own.
    """

    period_s: float = 0.1
    noise: float = 0.02
    behind_s: float = 0.02
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.noise < 1:
            raise ValueError(f"synthetic meter: noise must be a share from 0 to below 1, got {self.noise:g}")

    @property
    def facts(self) -> MeterFacts:
        """What is known of it."""
        return MeterFacts(
            source=f"synthetic meter of declared watts (noise {self.noise:.3g}, seed {self.seed})",
            covers=Covers.BOARD,
            evidence=Evidence.SYNTHETIC,
            quantity=Quantity.POWER,
            period_s=self.period_s,
            resolution=0.0,
            averages_s=self.period_s,
        )

    def read(self, played: Sequence[TraceOnClock], watts: TrueWatts, rank: int) -> PowerLog:
        """Return what it reads of a rank's host while traces are played, and shortly before and after."""
        return self.read_activity(activity_of(played, [rank]), [each.window_s for each in played], watts, rank)

    def read_activity(self, activity: Activity, windows: Sequence[Window], watts: TrueWatts, rank: int) -> PowerLog:
        """Return the same of what a host did, in these windows and at no other time."""
        if not windows:
            raise ValueError("synthetic meter: nothing was played, and so there is nothing to read")
        around_s = _AROUND_PERIODS * self.period_s
        start_s, end_s = min(windows)[0] - around_s, max(end for _, end in windows) + around_s
        count = int((end_s - start_s) / self.period_s)
        at_s: Floats = np.asarray(start_s + self.period_s * np.arange(1, 1 + count), dtype=np.float64)
        before_s: Floats = np.asarray(at_s - self.period_s, dtype=np.float64)
        power: Floats = np.full(count, float(watts.idle_w))
        for state, above_w in watts.above_w.items():
            power = power + above_w * together(activity, state, before_s, at_s) / self.period_s
        for state, j_per_byte in watts.j_per_byte.items():
            power = power + j_per_byte * together(activity, WIRE[state], before_s, at_s) / self.period_s
        noise = np.random.default_rng([self.seed, rank]).normal(1.0, self.noise, len(at_s))
        return PowerLog(
            facts=self.facts, ranks=(rank,), at_s=at_s - self.behind_s, value=power * np.maximum(noise, 0.0)
        )
