"""In what do the ranks of a job live? Lines that change and can be cut, slow-downs, and an ear for their hearts."""

from contextlib import ExitStack

from edgesim.scenario import Scenario
from real_runtime.control.rank_process import Message
from real_runtime.jobs.heard import NetworkHeartbeats
from real_runtime.testbeds.scenarios.player import ScenarioPlayer
from real_runtime.testbeds.scenarios.starts import lines_of
from real_runtime.testbeds.shaping import nic_rates
from real_runtime.testbeds.testbed import Testbed


class Surroundings:
    """All that a scenario does to hosts but losses, from the job's first second on; ``period_s`` is of heartbeats."""

    def __init__(self, testbed: Testbed, scenario: Scenario, *, period_s: float) -> None:
        self._coordinator, cluster, slow = testbed.coordinator, testbed.cluster, testbed.spec.slow_motion
        self._start_s: float | None = None
        with ExitStack() as leaving:
            self.lines = leaving.enter_context(lines_of(testbed.hosts, self._coordinator, cluster, slow))
            self._player = ScenarioPlayer(
                scenario, self.lines, self._tell, bytes_per_s=nic_rates(cluster), slow_motion=slow
            )
            leaving.callback(self._player.close)
            ear = testbed.hosts.ear(period_s)
            self.heartbeats = NetworkHeartbeats(ear, self._tell, range(len(cluster.devices)))
            leaving.callback(self.heartbeats.close)
            self._leaving = leaving.pop_all()

    def begin(self, start_s: float) -> None:
        """Let the job's first second be at ``start_s`` of the monotonic clock."""
        self._start_s = start_s
        self._player.begin(start_s)

    def greet(self, rank: int) -> None:
        """Tell a new process how it is: its heart is to beat, and its speed is that of its device in the scenario."""
        self.heartbeats.greet(rank)
        self.lines.tell_again(rank)
        if self._start_s is not None:
            self._player.tell_pace(rank, self._start_s)

    def calm(self) -> None:
        """Let all be as without a scenario."""
        self._player.end()

    def close(self) -> None:
        """End, for good. Raises RunError where something of the scenario could not be done."""
        self._leaving.close()

    def _tell(self, rank: int, message: Message) -> None:
        self._coordinator.ranks[rank].tell(message)
