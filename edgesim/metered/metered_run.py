"""What did a run take, by all meters that read its hosts? Joules that count only if every host was read, and by whom.

Energy is said by where it comes from: ``measured`` if sensors read every host, ``estimated`` or ``synthetic`` as soon
as one of them was read by none. What is computed from times and watts is neither: it is from measured, or simulated,
times (metrics.py).
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from math import fsum
from typing import Any

from edgesim.metered.attribution import EnergyByState, attribute
from edgesim.metered.joules import LogEnergy, TraceOnClock, energy_of
from edgesim.metered.power_log import Evidence, PowerLog, Quantity


@dataclass(frozen=True, slots=True, kw_only=True)
class MeteredRun:
    """What meters say of a run.

    Attributes:
        hosts: how many the run's cluster has.
        samples: of all iterations together.
        energies: of each meter.
        attributions: of each meter, where its joules went; None where that cannot be known.
        untold: of each meter why it cannot; nothing where it can.
    """

    hosts: int
    samples: int
    energies: tuple[LogEnergy, ...]
    attributions: tuple[EnergyByState | None, ...]
    untold: tuple[str, ...]

    @property
    def refused(self) -> str:
        """Why the run has no joules of its own; nothing where it has."""
        read = [rank for each in self.energies for rank in each.log.ranks]
        if unread := [str(rank) for rank in range(self.hosts) if rank not in read]:
            return f"no joules of the whole run: no meter read rank{'s' * (len(unread) > 1)} {', '.join(unread)}"
        if len(set(read)) < len(read):
            twice = next(rank for rank in read if read.count(rank) > 1)
            return f"no joules of the whole run: {read.count(twice)} meters read rank {twice}"
        return "; ".join(each.whole.refused for each in self.energies if each.whole.refused)

    @property
    def energy_j(self) -> float | None:
        """The joules of its iterations on all hosts; None where they are refused."""
        if self.refused:
            return None
        return fsum(each.whole.energy_j for each in self.energies if each.whole.energy_j is not None)

    @property
    def energy_per_sample_j(self) -> float | None:
        """Joules of all hosts for a sample; None where they are refused."""
        return None if self.energy_j is None else self.energy_j / self.samples

    @property
    def evidence(self) -> Evidence:
        """What its joules are: measured only if all meters are."""
        kinds = {each.log.facts.evidence for each in self.energies}
        return next((kind for kind in (Evidence.SYNTHETIC, Evidence.ESTIMATED) if kind in kinds), Evidence.MEASURED)

    @property
    def covers(self) -> str:
        """What was read of the hosts, all kinds of it."""
        return ", ".join(dict.fromkeys(str(each.log.facts.covers) for each in self.energies))

    @property
    def coverage(self) -> float:
        """The least share of the run that a meter saw."""
        return min((each.whole.coverage for each in self.energies), default=0.0)

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for JSON."""
        return {
            "energy_j": self.energy_j,
            "energy_per_sample_j": self.energy_per_sample_j,
            "evidence": str(self.evidence),
            "covers": self.covers,
            "coverage": self.coverage,
            "refused": self.refused,
            "meters": [_of_meter(*each) for each in zip(self.energies, self.attributions, self.untold, strict=True)],
        }


def _of_meter(energy: LogEnergy, attribution: EnergyByState | None, untold: str) -> dict[str, Any]:
    log = energy.log
    return {
        "ranks": list(log.ranks),
        **{name: str(value) if isinstance(value, str) else value for name, value in asdict(log.facts).items()},
        "notes": list(log.notes),
        "whole": asdict(energy.whole),
        "iterations": [asdict(each) for each in energy.iterations],
        "phases": {name: asdict(each) for name, each in energy.phases.items()},
        "by_state": asdict(attribution) if attribution else None,
        "no_states": untold,
    }


def metered_run(
    logs: Sequence[PowerLog], played: Sequence[TraceOnClock], *, hosts: int, batch_samples: int
) -> MeteredRun:
    """Return what meters say of iterations that were played."""
    attributions: list[EnergyByState | None] = []
    untold: list[str] = []
    for log in logs:
        try:
            # A counter's times are its own; the power of other meters may be of a little earlier.
            attributions.append(attribute(log, played, align=log.facts.quantity is Quantity.POWER))
            untold.append("")
        except ValueError as error:
            attributions.append(None)
            untold.append(str(error))
    return MeteredRun(
        hosts=hosts,
        samples=batch_samples * len(played),
        energies=tuple(energy_of(log, played) for log in logs),
        attributions=tuple(attributions),
        untold=tuple(untold),
    )
