"""What did executed plans take over what was simulated? Residuals, by kind of workload and testbed, and their file."""

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from math import exp, isfinite, log
from pathlib import Path
from statistics import fmean, median
from typing import Any

from edgesim.errors import reading, text_of
from edgesim.intervals.conformal import LEVEL, Interval, bounds
from edgesim.since_3_11 import StrEnum
from edgesim.whole_files import json_text, write_text
from edgesim.workload import Workload

FORMAT = 1
"""The version of the file."""


class WorkKind(StrEnum):
    """What is asked of a model, as far as errors of predictions go: each has residuals of its own."""

    TRAIN = "train"
    INFER = "infer"
    GENERATE = "generate"


def kind_of(workload: Workload) -> WorkKind:
    """Return which kind a workload is: fine-tuning is training."""
    if workload.trains:
        return WorkKind.TRAIN
    return WorkKind.GENERATE if workload.new_tokens else WorkKind.INFER


@dataclass(frozen=True, slots=True, kw_only=True)
class Residual:
    """What one executed plan took.

    Attributes:
        kind: of its workload.
        setting: what plans have in common that were compared with each other: hosts, network, model, workload.
        plan: its name in the setting.
        log_ratio: the logarithm of the measured seconds, in the median over iterations, over the simulated ones.
        repeats: the same of every measured iteration.
        disturbed: the largest share of the processors that other programs took meanwhile; None where nobody looked. A
            plan that was disturbed says nothing of others: it calibrates no interval.
    """

    kind: WorkKind
    setting: str
    plan: str
    log_ratio: float
    repeats: tuple[float, ...] = ()
    disturbed: float | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "kind", WorkKind(self.kind))
        object.__setattr__(self, "repeats", tuple(self.repeats))
        if not all(map(isfinite, (self.log_ratio, *self.repeats))):
            raise ValueError(f"residual of {self.plan} in {self.setting}: needs finite numbers, got {self.log_ratio}")

    @classmethod
    def of(
        cls,
        *,
        kind: WorkKind,
        setting: str,
        plan: str,
        simulated_s: float,
        measured_s: Sequence[float],
        disturbed: float | None = None,
    ) -> "Residual":
        """Return that of a plan with its simulated seconds, and those of every measured iteration; all above 0."""
        if not simulated_s > 0 or not measured_s or not min(measured_s) > 0:
            raise ValueError(f"residual of {plan} in {setting}: needs seconds above 0, simulated and measured")
        repeats = tuple(log(seconds / simulated_s) for seconds in measured_s)
        middle = log(median(measured_s) / simulated_s)
        return cls(kind=kind, setting=setting, plan=plan, log_ratio=middle, repeats=repeats, disturbed=disturbed)


@dataclass(frozen=True, kw_only=True)
class Residuals:
    """The residuals of plans that were executed on one kind of testbed.

    Attributes:
        testbed: its kind: netns, loopback, ssh.
        source: what was executed, in words; they are measured.
        profile_hash: of the profile whose predictions were validated; "" where each setting had one of its own.
        residuals: a residual per plan.
    """

    testbed: str
    source: str
    residuals: tuple[Residual, ...]
    profile_hash: str = ""

    def __str__(self) -> str:
        told = f"residuals of {len(self.residuals)} plans executed on {self.testbed} ({self.source})"
        out = sum(bool(each.disturbed) for each in self.residuals)
        return f"{told}, {out} of them disturbed by other load and left out" if out else told

    def of(self, kind: WorkKind) -> tuple[Residual, ...]:
        """Return those of one kind of workload, without the disturbed ones."""
        return tuple(each for each in self.residuals if each.kind is kind and not each.disturbed)

    def left_out(self, kind: WorkKind) -> int:
        """Return how many plans of a kind other load disturbed."""
        return sum(each.kind is kind and bool(each.disturbed) for each in self.residuals)

    def interval(self, simulated_s: float, kind: WorkKind, level: float = LEVEL) -> Interval:
        """Return between which seconds a new plan of this kind lies. Raises ValueError where too few were executed."""
        mine, out = self.of(kind), self.left_out(kind)
        try:
            low, high = bounds([each.log_ratio for each in mine], level)
        except ValueError as error:
            beside = f"; {out} more were disturbed by other load and left out" if out else ""
            raise ValueError(f"{self.testbed}, {kind}: {error}{beside}") from None
        return Interval(
            low_s=simulated_s * exp(low),
            high_s=simulated_s * exp(high),
            level=level,
            residuals=len(mine),
            left_out=out,
        )

    def deviations(self, kind: WorkKind) -> tuple[tuple[float, ...], ...]:
        """Return by setting and plan how far each residual is off the mean of its setting, where it has two or more.

        What a setting's plans have in common decides no comparison between them.
        """
        settings: dict[str, list[float]] = defaultdict(list)
        for each in self.of(kind):
            settings[each.setting].append(each.log_ratio)
        several = [mine for mine in settings.values() if len(mine) > 1]
        return tuple(tuple(one - fmean(mine) for one in mine) for mine in several)

    def save(self, path: Path) -> None:
        """Write the file; it appears whole or not at all."""
        data = {"format": FORMAT, "testbed": self.testbed, "source": self.source, "profile_hash": self.profile_hash}
        write_text(path, json_text(data | {"residuals": [asdict(each) for each in self.residuals]}))

    @classmethod
    def load(cls, path: Path) -> "Residuals":
        """Read what :meth:`save` wrote. Raises ValueError, naming the file, for anything else, or another version."""
        text = text_of(path, "residuals")
        with reading(str(path), "file of residuals", written_by="experiments.validate"):
            return cls._from_dict(json.loads(text))

    @classmethod
    def _from_dict(cls, data: Mapping[str, Any]) -> "Residuals":
        if data["format"] != FORMAT:
            raise ValueError(f"it has format {data['format']}, known is {FORMAT} (validate again)")
        return cls(
            testbed=data["testbed"],
            source=data["source"],
            profile_hash=data["profile_hash"],
            residuals=tuple(Residual(**each) for each in data["residuals"]),
        )
