"""What did a meter read in an earlier run? A power log that was kept, read again to the bit."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from edgesim.errors import text_of
from edgesim.metered import MeterFacts, PowerLog, log_from_text
from real_runtime.meters.meter import JobClock


@dataclass(frozen=True, slots=True, kw_only=True)
class Replay:
    """A power log of an earlier run (power_*.csv), with the traces of which it goes."""

    path: str

    @property
    def facts(self) -> MeterFacts:
        """What is known of the meter that read it."""
        return self._kept().facts

    def log(self, ranks: Sequence[int], clock: JobClock) -> PowerLog:
        """Return its readings, of these ranks. Raises ValueError for a file that is no power log."""
        return replace(self._kept(), ranks=tuple(ranks))

    def _kept(self) -> PowerLog:
        return log_from_text(text_of(self.path, "power log"), source=self.path)
