"""What was executed so far? A file per setting, written when all its plans have been; a study goes on behind the last.

A file holds what was measured, and nothing that follows from it: the calibration, each plan's iterations, and the times
of all tasks in the iteration of median length. So when the simulator has changed, a study is judged again without a
testbed.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgesim.cluster import Network
from edgesim.errors import reading, text_of
from edgesim.plan import Plan
from edgesim.profile import Profile
from edgesim.schedule import Schedule
from edgesim.trace import Trace
from experiments.configuration.network_file import network_from_json, network_to_json
from experiments.configuration.result_folders import json_text, write_text
from experiments.fidelity_study.draws import DrawnSetting
from real_runtime.execution import host_of, share_of

FORMAT = 1
_DIGITS = 7  # of a moment in seconds: a tenth of a microsecond


@dataclass(frozen=True, kw_only=True)
class Played:
    """What came of a plan.

    Attributes:
        name: in its setting.
        strategy: that played it.
        plan: where everything lived.
        runs: [run][iteration] measured seconds of those that count; none where it failed or was skipped.
        start_s: [task] when it began in the iteration of median length, in the schedule's order.
        end_s: [task] when it ended there.
        rehearsed: what its hosts computed alone, of a plan of blocks.
        disturbed: the largest share of the processors that other programs took; None where nothing is known of them.
        reason: why it was not executed, or failed.
    """

    name: str
    strategy: str
    plan: Plan
    runs: tuple[tuple[float, ...], ...] = ()
    start_s: tuple[float, ...] = ()
    end_s: tuple[float, ...] = ()
    rehearsed: Profile | None = None
    disturbed: float | None = None
    reason: str = ""

    @property
    def measured_s(self) -> tuple[float, ...]:
        """All iterations that count."""
        return tuple(seconds for run in self.runs for seconds in run)

    def trace(self, schedule: Schedule) -> Trace:
        """The iteration of median length."""
        return Trace(schedule=schedule, start_s=self.start_s, end_s=self.end_s, player="measured")

    def to_dict(self) -> dict[str, Any]:
        """Write it as plain data."""
        moments = {name: [round(at, _DIGITS) for at in getattr(self, name)] for name in ("start_s", "end_s")}
        return {
            "name": self.name,
            "strategy": self.strategy,
            "plan": self.plan.to_json(),
            "runs": [list(run) for run in self.runs],
            **moments,
            "rehearsed": self.rehearsed and self.rehearsed.to_json(),
            "disturbed": self.disturbed,
            **({"disturbed_on": host} if (host := host_of(self.disturbed)) else {}),
            "reason": self.reason,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "Played":
        """Read what :meth:`to_dict` wrote."""
        lists: dict[str, Any] = {name: tuple(data[name]) for name in ("start_s", "end_s")}
        rehearsed = None if data["rehearsed"] is None else Profile.from_json(data["rehearsed"])
        nouns = {"plan": Plan.from_json(data["plan"]), "rehearsed": rehearsed, "runs": tuple(map(tuple, data["runs"]))}
        of_host = {"disturbed": share_of(data["disturbed"], host)} if (host := data.get("disturbed_on")) else {}
        known = {name: value for name, value in data.items() if name != "disturbed_on"}
        return cls(**{**known, **lists, **nouns, **of_host})


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A setting that was played.

    Attributes:
        key: its name among all settings.
        words: its configuration.
        testbed: the kind of testbed.
        profile: measured layers; None where none of the plans asks for any.
        network: as it was measured.
        plans: what came of each.
        took_s: how long all of it took, beside opening the testbed and timing its links.
    """

    key: str
    words: tuple[str, ...]
    testbed: str
    profile: Profile | None
    network: Network
    plans: tuple[Played, ...]
    took_s: float

    def to_json(self) -> str:
        """Write it as text."""
        text: str = json_text(
            {
                "format": FORMAT,
                "key": self.key,
                "words": list(self.words),
                "testbed": self.testbed,
                "profile": self.profile and self.profile.to_json(),
                "network": network_to_json(self.network),
                "plans": [plan.to_dict() for plan in self.plans],
                "took_s": self.took_s,
            }
        )
        return text

    @classmethod
    def from_json(cls, text: str, *, source: str) -> "Entry":
        """Read what :meth:`to_json` wrote. Raises ValueError, naming the source, for anything else."""
        with reading(source, "entry of the study's journal", written_by="experiments.fidelity_study"):
            data = json.loads(text)
            if data.pop("format") != FORMAT:
                raise ValueError(f"its format is not {FORMAT} (play the setting again)")
            nouns = {
                "words": tuple(data["words"]),
                "profile": None if data["profile"] is None else Profile.from_json(data["profile"]),
                "network": network_from_json(data["network"]),
                "plans": tuple(map(Played.from_dict, data["plans"])),
            }
            return cls(**{**data, **nouns})


class Journal:
    """The folder of a study's entries; what was drawn otherwise does not belong there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def holds(self, setting: DrawnSetting) -> bool:
        """Whether the setting was played. Raises ValueError where the file's words are not the drawn ones."""
        if not self._path(setting).is_file():
            return False
        if (words := self.entry(setting).words) != setting.words:
            raise ValueError(
                f"{self._path(setting)} was drawn as {' '.join(words)}, now it is {' '.join(setting.words)} "
                "(take the study's settings as they were, or another folder for results)"
            )
        return True

    def entry(self, setting: DrawnSetting) -> Entry:
        """What was played of a setting."""
        path = self._path(setting)
        return Entry.from_json(text_of(path, "entry of the journal"), source=str(path))

    def keep(self, entry: Entry) -> None:
        """Write it; the file appears whole or not at all."""
        write_text(self.folder / f"{entry.key}.json", entry.to_json())

    def entries(self, settings: Sequence[DrawnSetting]) -> list[tuple[DrawnSetting, Entry]]:
        """All that was played of these."""
        return [(setting, self.entry(setting)) for setting in settings if self.holds(setting)]

    def _path(self, setting: DrawnSetting) -> Path:
        return self.folder / f"{setting.key}.json"
