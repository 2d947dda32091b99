"""How near was the simulator to each executed plan, and what makes the rest? Simulated anew from the calibration."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import log
from statistics import median

from edgesim.explanation import CauseShare, drawn_makespans, swaps
from edgesim.intervals import Residual, WorkKind
from edgesim.units import mbit_per_s
from experiments.analysis.fidelity import ITERATION, FidelityRow
from experiments.analysis.fidelity import rows as fidelity_rows
from experiments.configuration.setup import Setup
from experiments.fidelity_study.asked import Part
from experiments.fidelity_study.drawn_plans import STRATEGIES
from experiments.fidelity_study.draws import DrawnSetting, setup_of
from experiments.fidelity_study.journal import Entry, Played
from experiments.fidelity_study.playing import simulated


@dataclass(frozen=True, kw_only=True)
class Judged:
    """A plan in both players.

    Attributes:
        setting: its setting's key.
        part: what its cluster is used for.
        case: the model with its workload.
        kind: of the workload.
        hosts: of the cluster.
        rate_mbit_per_s: the line rate.
        played: what was executed.
        simulated_s: seconds of an iteration; None where it was not executed.
        kinds: a row per kind of task, of the iteration of median length.
        shares: what each cause adds to the simulated seconds, so that they are the measured ones.
        drawn: what iterations take over the simulated seconds, drawn from the repeats of its calibration; none where it
            kept none.
    """

    setting: str
    part: Part
    case: str
    kind: WorkKind
    hosts: int
    rate_mbit_per_s: float
    played: Played
    simulated_s: float | None = None
    kinds: tuple[FidelityRow, ...] = ()
    shares: tuple[CauseShare, ...] = ()
    drawn: tuple[float, ...] = ()

    @property
    def measured_s(self) -> float | None:
        """The median of all iterations of all runs."""
        return median(self.played.measured_s) if self.played.measured_s else None

    @property
    def error(self) -> float | None:
        """Simulated over measured, less 1."""
        if self.simulated_s is None or self.measured_s is None:
            return None
        return self.simulated_s / self.measured_s - 1

    @property
    def spread(self) -> float | None:
        """How far its iterations are apart, all runs together: the logarithm of the largest over the smallest."""
        seconds = self.played.measured_s
        return log(max(seconds) / min(seconds)) if len(seconds) > 1 else None

    @property
    def cause(self) -> CauseShare | None:
        """What makes the most of the difference, in its own direction; None where there is none."""
        if self.simulated_s is None or self.measured_s is None:
            return None
        along = [share for share in self.shares if share.seconds * (self.measured_s - self.simulated_s) > 0]
        return max(along, key=lambda share: abs(share.seconds), default=None)

    def residual(self) -> Residual:
        """What it says of other plans of its kind; asked of a plan that was executed."""
        assert self.simulated_s is not None, f"{self.played.name} of {self.setting} was not executed"
        return Residual.of(
            kind=self.kind,
            setting=self.setting,
            plan=self.played.name,
            simulated_s=self.simulated_s,
            measured_s=self.played.measured_s,
            disturbed=self.played.disturbed,
        )


def judged(entries: Sequence[tuple[DrawnSetting, Entry]]) -> list[Judged]:
    """Every plan of every setting that was played, in their order."""
    return [each for setting, entry in entries for each in _of_setting(setting, entry)]


def _of_setting(setting: DrawnSetting, entry: Entry) -> list[Judged]:
    cluster = setting.on.cluster
    setup = setup_of(entry.words, cluster)
    setup = setup.calibrated(entry.profile or setup.profile, entry.network)
    rate = mbit_per_s(cluster.network.slowest_bytes_per_s)
    return [_judged(setting, setup, played, rate) for played in entry.plans]


def _judged(setting: DrawnSetting, setup: Setup, played: Played, rate_mbit_per_s: float) -> Judged:
    simulated_s: float | None = None
    kinds: list[FidelityRow] = []
    shares: tuple[CauseShare, ...] = ()
    drawn: tuple[float, ...] = ()
    if played.runs:
        schedule = STRATEGIES[played.strategy](played.plan, setup.model, setup.workload)
        profile = played.rehearsed or setup.profile
        said, happened = simulated(setup, profile, schedule), played.trace(schedule)
        drawn = drawn_makespans(said, profile, [device.name for device in setup.cluster.devices])
        network = setup.cluster.network
        simulated_s, shares = said.makespan_s, swaps(said, happened, networks=(network, network))
        kinds = fidelity_rows(strategy=played.strategy, plan=played.name, simulated=said, measured=[happened])
    return Judged(
        setting=setting.key,
        part=setting.on.part,
        case=setting.case,
        kind=setting.kind,
        hosts=len(setting.on.fractions),
        rate_mbit_per_s=rate_mbit_per_s,
        played=played,
        simulated_s=simulated_s,
        kinds=tuple(row for row in kinds if row.kind != ITERATION),
        shares=shares,
        drawn=drawn,
    )
