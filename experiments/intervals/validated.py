"""Which executed plans say how far predictions may be off? Those beside the profile, or those that are named.

``residuals=FILE`` names them; else they are beside the measured profile, NAME.residuals.json of NAME.profile.json,
where ``python -m experiments.validate`` writes them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgesim.intervals import Interval, Residuals, WorkKind

_PROFILE, _RESIDUALS = ".profile.json", ".residuals.json"
NEVER = "no plan was executed beside this profile (run: python -m experiments.validate)"


@dataclass(frozen=True, slots=True, kw_only=True)
class PredictedInterval:
    """Between which seconds a prediction lies, or in words why that is not known."""

    interval: Interval | None = None
    why: str = ""

    def __str__(self) -> str:
        if self.interval is None:
            return f"no interval: {self.why}"
        out = self.interval.left_out
        beside = f" ({out} more were disturbed by other load and left out)" if out else ""
        return f"{self.interval}, as {self.interval.residuals} executed plans say{beside}"

    def to_dict(self) -> dict[str, Any]:
        """Write it as plain data."""
        if self.interval is None:
            return {"why_none": self.why}
        each = self.interval
        told = {"low_s": each.low_s, "high_s": each.high_s, "level": each.level, "plans": each.residuals}
        return told | ({"left_out": each.left_out} if each.left_out else {})


@dataclass(frozen=True, slots=True, kw_only=True)
class Validated:
    """The residuals of plans that were executed, and their file; None, and in words why, where there are none."""

    residuals: Residuals | None = None
    why: str = NEVER
    path: str = ""

    def interval(self, simulated_s: float, kind: WorkKind) -> PredictedInterval:
        """Return what they say of a new plan."""
        if self.residuals is None:
            return PredictedInterval(why=self.why)
        try:
            return PredictedInterval(interval=self.residuals.interval(simulated_s, kind))
        except ValueError as error:
            return PredictedInterval(why=str(error))


def beside(profile: Path) -> Path:
    """Where the residuals of a profile's predictions are.

    >>> str(beside(Path("profiles/netns.profile.json")))
    'profiles/netns.residuals.json'
    """
    return profile.with_name(profile.name.removesuffix(_PROFILE) + _RESIDUALS)


def residuals_file(config: Mapping[str, Any]) -> str | None:
    """The file that a configuration names, or that is there beside its profile."""
    named: str | None = config.get("residuals")
    profile: str | None = config["profile"].get("path")
    if named is not None or profile is None or str(profile) == "???":
        return named
    there = beside(Path(profile))
    return str(there) if there.is_file() else None


def validated(config: Mapping[str, Any], profile_hash: str) -> Validated:
    """What is known of a configuration's predictions. Raises ValueError for a file that is damaged, or not there."""
    path = residuals_file(config)
    if path is None:
        return Validated()
    residuals = Residuals.load(Path(path))
    if residuals.profile_hash not in ("", profile_hash):
        why = f"{path} is of another profile than this one (validate again: python -m experiments.validate)"
        return Validated(why=why)
    return Validated(residuals=residuals, path=path)
