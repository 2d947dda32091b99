"""How do all ranks and a scenario begin an iteration at the same second? All say that they are ready, and hear when."""

import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager

from edgesim.cluster import Cluster
from edgesim.scenario import Scenario
from real_runtime.control.coordinator import Coordinator
from real_runtime.control.meeting_place import start_key
from real_runtime.control.rank_process import Message
from real_runtime.testbeds.netns import NetnsHosts
from real_runtime.testbeds.scenarios.cables import NetnsWiring
from real_runtime.testbeds.scenarios.lines import Lines, PacedWiring
from real_runtime.testbeds.scenarios.player import LEAD_S, ScenarioPlayer
from real_runtime.testbeds.scenarios.refusals import refuse_for_iterations, refuse_on_boards, refuse_under_quota
from real_runtime.testbeds.shaping import nic_rates
from real_runtime.testbeds.spec import TestbedSpec


@contextmanager
def lines_of(hosts: object, coordinator: Coordinator, cluster: Cluster, slow_motion: float) -> Iterator[Lines]:
    """The lines of a testbed's hosts, to be changed while they run. Raises RunError where one could not be."""
    rates = nic_rates(cluster, slow_motion)
    wiring = NetnsWiring(hosts, rates) if isinstance(hosts, NetnsHosts) else PacedWiring(coordinator)
    lines = Lines(wiring, rates)
    try:
        yield lines
    finally:
        lines.restore()
        wiring.close()


class Starts:
    """The starts of a command's iterations."""

    def __init__(self, player: ScenarioPlayer, coordinator: Coordinator, ranks: int) -> None:
        self._player, self._coordinator, self._ranks = player, coordinator, ranks
        self._ready = Counter[int]()

    def hear(self, message: Message) -> None:
        """Hear that a rank is ready for an iteration; when all are, the scenario begins with it."""
        iteration = message["ready"]
        self._ready[iteration] += 1
        if self._ready[iteration] == self._ranks:
            start_s = time.monotonic() + LEAD_S
            self._player.begin(start_s)
            self._coordinator.meeting_place.put(start_key(message["number"], iteration), repr(start_s))


@contextmanager
def starts_under(
    scenario: Scenario, hosts: object, coordinator: Coordinator, cluster: Cluster, spec: TestbedSpec
) -> Iterator[Starts | None]:
    """What lets each iteration start with a scenario; None where nothing happens, and ranks need not ask.

    Raises ValueError for a scenario that only the simulator or only a job can play, RunError where it fails.
    """
    refuse_for_iterations(scenario)
    if spec.cpu_quota:
        refuse_under_quota(scenario)
    if spec.kind == "ssh":
        refuse_on_boards(scenario, in_job=False)
    if not scenario.events:
        yield None
        return
    with lines_of(hosts, coordinator, cluster, spec.slow_motion) as lines:
        player = ScenarioPlayer(
            scenario,
            lines,
            lambda rank, message: coordinator.ranks[rank].tell(message),
            bytes_per_s=nic_rates(cluster),
            slow_motion=spec.slow_motion,
        )
        with closing(player):
            yield Starts(player, coordinator, len(cluster.devices))
