"""What can be done to the hosts of a testbed, and what are their ranks at? The hands of a scenario."""

from collections.abc import Callable
from dataclasses import dataclass

from real_runtime.testbeds.scenarios.lines import Lines
from real_runtime.testbeds.testbed import Testbed


@dataclass(slots=True, kw_only=True)
class TestbedHosts:
    """The hosts of a testbed; ``iteration`` says which one of the job is played now."""

    __test__ = False  # not a test class, whatever its name says

    testbed: Testbed
    lines: Lines
    iteration: Callable[[], int]

    def signal(self, rank: int, number: int) -> None:
        """Send a rank's process a signal, if it is there."""
        self.testbed.coordinator.ranks[rank].signal(number)

    def lives(self, rank: int) -> bool:
        """Whether the rank's process is there, as far as anybody hears of it."""
        process = self.testbed.coordinator.ranks[rank]
        return process.exit_code() is None and process.is_seen

    def foretell(self, rank: int, iteration: int, task: str, number: int) -> None:
        """Tell a rank what happens to it at a task."""
        told = {"do": "foretell", "iteration": iteration, "task": task, "signal": number}
        self.testbed.coordinator.ranks[rank].tell(told)

    def cut(self, rank: int) -> None:
        """Unplug a host's cable."""
        self.lines.cut(rank)

    def mend(self, rank: int) -> None:
        """Plug it in again."""
        self.lines.mend(rank)
