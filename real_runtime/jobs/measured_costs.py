"""What do hosts of a testbed need for a job beside its schedules? Measured by playing a few of its iterations.

Between iterations, to connect anew, to take up layers, to start processes anew: nothing of these depends on the plan
that comes after a loss, which nobody knows before.
"""

from statistics import median

from edgesim.cluster import Origin
from edgesim.job import HostCosts, Phase, Safety
from real_runtime.assignment import Assignment
from real_runtime.jobs.device_player import DevicePlayer
from real_runtime.jobs.execute_job import restore
from real_runtime.testbeds.testbed import Testbed

_ITERATIONS, _TIMES = 4, 3


def measure_host_costs(testbed: Testbed, phase: Phase, assignment: Assignment) -> HostCosts:
    """Play some iterations of a phase, and connect its ranks anew some times."""
    player = DevicePlayer(testbed, assignment, Safety(replicate_every=None))
    ranks = tuple(sorted(phase.plan.ranks))
    regrouped, taken_up = list[float](), list[float]()
    try:
        player.begin(phase, ranks)
        player.train(phase, 0, _ITERATIONS, player.safety)
        trained = [span for span in player.spans if span.trace is not None][1:]  # the first one warms up
        between_s = median(span.seconds - span.trace.makespan_s for span in trained if span.trace is not None)
        for done in range(_ITERATIONS, _ITERATIONS + _TIMES):
            player.train(phase, done, done + 1, player.safety)  # layers that have just been trained are taken up sooner
            player.spans.clear()
            player.regroup(ranks)
            player.go_back(phase, done + 1)
            regrouped.append(player.spans[0].seconds)
            taken_up.append(player.spans[1].seconds)
        player.restart(phase, 0)
        restart_s = player.spans[-1].seconds
    finally:
        restore(testbed, player)
    return HostCosts(
        between_s=max(0.0, between_s),
        regroup_s=median(regrouped),
        go_back_s=median(taken_up),
        restart_s=restart_s,
        origin=Origin.MEASURED,
        source=f"{_ITERATIONS + _TIMES} iterations and {_TIMES} reconnections of {len(ranks)} ranks on {testbed.name}",
    )
