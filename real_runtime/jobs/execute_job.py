"""What does a job give on a testbed? Its trace, measured: who trained what when, and how it went on after losses."""

import logging
from collections.abc import Callable, Collection
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from edgesim.errors import RunError
from edgesim.job import Job, JobSpan, JobTrace, run_job
from edgesim.scenario import Scenario
from real_runtime.assignment import Assignment
from real_runtime.carrying.checkpoints import fitting
from real_runtime.jobs.device_player import DevicePlayer
from real_runtime.jobs.disturbed import job_watched, judged
from real_runtime.jobs.kept import Keeper
from real_runtime.testbeds.connecting import dilation, joins
from real_runtime.testbeds.scenarios.refusals import refuse_for_jobs, refuse_on_boards, refuse_under_quota
from real_runtime.testbeds.testbed import Testbed

logger = logging.getLogger(__name__)


def execute_job(
    testbed: Testbed,
    job: Job,
    assignment: Assignment,
    *,
    scenario: Scenario,
    checkpoints: Path | None = None,
    resume: Path | None = None,
    hears: Callable[[JobSpan], object] = lambda span: None,
) -> JobTrace:
    """Play a job on the hosts of a testbed, which all of its ranks need, while a scenario takes its course.

    ``assignment`` says what is trained, on which data and from which weights. Checkpoints are written into a folder of
    theirs, and with ``resume`` the job goes on from one of an earlier run; ``hears`` hears of every span as it ends.
    Raises RunError where the job cannot go on.
    """
    scenario.check(len(testbed.cluster.devices))
    refuse_for_jobs(scenario)
    if testbed.spec.cpu_quota:
        refuse_under_quota(scenario)
    if testbed.spec.kind == "ssh":
        refuse_on_boards(scenario, in_job=True)
    keeper = (
        None
        if checkpoints is None
        else Keeper(folder=checkpoints, assignment=assignment, own_disks=job.safety.own_disks)
    )
    done = 0 if resume is None else fitting(resume, assignment).version
    player = DevicePlayer(testbed, assignment, job.safety, scenario=scenario, keeper=keeper, hears=hears)
    try:
        with job_watched(testbed) as watch:
            player.begin(job.phases[job.phase_of(done)], job.members, done, resume)
            trace, began_s = run_job(job, player, done=done), player.happenings.began_s
            spans = judged(testbed, watch, trace.spans, began_s)
        return replace(trace, spans=spans, began_s=began_s / testbed.spec.slow_motion)
    finally:
        restore(testbed, player)


def restore(testbed: Testbed, player: DevicePlayer) -> None:
    """Leave the testbed as it was: all ranks are there, connected, and as slow as their devices.

    What a job has given counts though a host of its own is lost; the testbed is of no use then, and says so if asked.
    """
    with closing(player.surroundings):
        try:
            _restored(testbed, player)
        except RunError as error:
            if testbed.hosts.are_here:
                raise
            logger.warning("the testbed cannot be used any more: %s", error)


def _restored(testbed: Testbed, player: DevicePlayer) -> None:
    everybody: Collection[int] = range(len(testbed.cluster.devices))
    player.happenings.undo_all(everybody)
    player.surroundings.calm()
    player.group.talk.tell(everybody, {"do": "abort", "generation": testbed.generation})  # who still plays, ends
    player.members.wait_until_idle(everybody)
    renewed = player.members.renew_dead(everybody)
    testbed.coordinator.ask(joins(testbed, tuple(everybody)))
    if renewed:
        testbed.coordinator.ask({rank: dilation(testbed, rank) for rank in renewed})
