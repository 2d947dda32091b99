"""How does a scenario's second come to be? Lines change when it is there; ranks know their slow-downs beforehand.

A rank that knows at which speed it computes, and when, ends also what is under way at the right moment. Rates may
wander for ever, so they are told as time passes.
"""

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import groupby, islice
from operator import attrgetter

from edgesim.scenario import Scenario
from edgesim.scenario.timeline import Step, rate_steps
from real_runtime.control.rank_process import Message
from real_runtime.testbeds.scenarios.agenda import Agenda
from real_runtime.testbeds.scenarios.lines import Lines

Rows = Iterator[tuple[float, Iterator[Step]]]

LEAD_S = 0.02
"""From the word that a scenario begins until its first second: lines and ranks are told meanwhile."""


class ScenarioPlayer:
    """Plays rates and slow-downs of a scenario from a given second on, as often as it is begun.

    ``tell`` gives a rank a word; ``bytes_per_s`` are the hosts' rates as devices have them, not in slow motion.
    """

    def __init__(
        self,
        scenario: Scenario,
        lines: Lines,
        tell: Callable[[int, Message], object],
        *,
        bytes_per_s: Sequence[float],
        slow_motion: float = 1.0,
    ) -> None:
        scenario.check(len(bytes_per_s))
        self.scenario, self.lines, self._tell = scenario, lines, tell
        self._bytes_per_s, self._slow_motion = bytes_per_s, slow_motion
        self._agenda, self._lock = Agenda(), threading.Lock()
        self._begun = 0

    def begin(self, start_s: float) -> None:
        """Let the scenario's first second be at ``start_s`` of the monotonic clock, :data:`LEAD_S` from now or later.

        What went on of it before is over.
        """
        with self._lock:
            self._begun += 1
            self._agenda.clear()
            for rank in range(len(self._bytes_per_s)):
                self.tell_pace(rank, start_s)
            rows = groupby(rate_steps(self.scenario, self._bytes_per_s), key=attrgetter("at_s"))
            for _, steps in islice(rows, 1):  # as lines are at first
                self._change(steps)
            self._put_down(rows, start_s)

    def tell_pace(self, rank: int, start_s: float) -> None:
        """Tell a rank its slow-downs, of a scenario that begins at this second; a rank that comes later as well."""
        speeds = self.scenario.speeds(rank)
        pace = [(start_s + at_s * self._slow_motion, speed) for at_s, speed in speeds] if len(speeds) > 1 else []
        self._tell(rank, {"do": "keep_pace", "pace": pace})

    def end(self) -> None:
        """Let nothing more happen, and all be as without a scenario."""
        with self._lock:
            self._begun += 1
            self._agenda.clear()
            self.lines.restore()
            for rank in range(len(self._bytes_per_s)):
                self._tell(rank, {"do": "keep_pace", "pace": []})

    def close(self) -> None:
        """End, for good. Raises RunError where something could not be done."""
        self.end()
        self._agenda.close()

    def _put_down(self, rows: Rows, start_s: float) -> None:
        """Put down what comes next: only that, since rates may change for ever."""
        if (row := next(rows, None)) is None:
            return
        at_s, steps, begun = row[0], list(row[1]), self._begun

        def act() -> None:
            with self._lock:
                if self._begun == begun:
                    self._change(steps)
                    self._put_down(rows, start_s)

        self._agenda.at(start_s + at_s * self._slow_motion, act)

    def _change(self, steps: Iterable[Step]) -> None:
        for step in steps:
            self.lines.change(step.rank, step.factor)
