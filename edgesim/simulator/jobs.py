"""How long does a whole job take, in virtual time? Its iterations, and what losses, leaves and joins make of them."""

from collections.abc import Mapping
from types import MappingProxyType

from edgesim.cluster import Cluster
from edgesim.job import HostCosts, Job, JobTrace, run_job
from edgesim.model import Model
from edgesim.profile import Profile
from edgesim.scenario import Scenario
from edgesim.simulator.iterations import Iterations
from edgesim.simulator.roster import Roster, paused
from edgesim.simulator.simulated_job import SimulatedJob
from edgesim.workload import Workload

NOTHING_HAPPENS = Scenario()


def simulate_job(
    job: Job,
    *,
    cluster: Cluster,
    model: Model,
    profile: Profile,
    workload: Workload,
    host_costs: HostCosts,
    scenario: Scenario = NOTHING_HAPPENS,
    planning_s: float | None = None,
    done: int = 0,
    profiles: Mapping[str, Profile] = MappingProxyType({}),
) -> JobTrace:
    """Play a whole job in virtual time, with what happens in it, and return its trace.

    ``planning_s`` is what a policy takes; None: what it takes on this machine. ``done`` iterations are those of a
    checkpoint, from which the job goes on. ``profiles`` are those of models that phases have of their own, by name;
    of others, ``profile`` says what their blocks take. Raises RunError where it cannot go on, ValueError for a scenario
    of unknown ranks or tasks, and what a policy or a simulation raises.
    """
    scenario.check(len(cluster.devices))
    heartbeat, events = job.safety.heartbeat, scenario.membership
    iterations = Iterations(cluster, model, profile, workload.tokens, scenario, profiles)
    iterations.happens_too(*paused(events, heartbeat))
    player = SimulatedJob(iterations, Roster(job.members, events, heartbeat), host_costs, workload, planning_s)
    return run_job(job, player, done=done)
