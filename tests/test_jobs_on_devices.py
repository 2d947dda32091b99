"""Jobs on real ranks: whoever is lost, leaves or comes, the losses are those of one device that nothing disturbed."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from device_jobs import FRACTIONS, HEARTBEAT, HYBRID, LAYERS, four_hosts, losses_of_one_device, plan_of, played, setup

from edgesim.errors import RunError
from edgesim.job import Activity, JobTrace
from edgesim.planners.literature.asteroid import asteroid
from edgesim.recovery.heavy import heavy
from edgesim.recovery.restart import restart
from edgesim.scenario import Join, Leave, Loss, LossKind, Moment
from real_runtime.testbeds import netns
from real_runtime.testbeds.opening import open_testbed
from real_runtime.testbeds.spec import TestbedSpec
from real_runtime.testbeds.testbed import Testbed

ITERATIONS, TOLERANCE = 8, 1e-5
NEEDS_LINKS = pytest.mark.skipif(netns.problem() is not None, reason=f"no links of their own: {netns.problem()}")


pytestmark = [pytest.mark.xdist_group("testbed"), pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def testbed() -> Iterator[Testbed]:
    with open_testbed(TestbedSpec(fractions=FRACTIONS), four_hosts()) as opened:
        yield opened


@pytest.fixture(scope="module")
def undisturbed() -> list[float]:
    return losses_of_one_device(ITERATIONS)


def in_iteration(number: int, task: str | None = None) -> Moment:
    return Moment(iteration=number, task=task)


def goes_on(trace: JobTrace, undisturbed: list[float]) -> bool:
    """Whether every iteration counts once, and was trained on the right samples from the right weights."""
    return list(trace.losses) == pytest.approx(undisturbed, rel=TOLERANCE)


def test_a_job_that_nothing_disturbs_trains_as_one_device_does(testbed: Testbed, undisturbed: list[float]) -> None:
    trace = played(testbed, HYBRID)
    assert goes_on(trace, undisturbed)
    assert [span.first for span in trace.of(Activity.TRAINING)] == list(range(ITERATIONS))
    assert all(span.trace is not None for span in trace.spans)
    assert not trace.resumptions


def test_a_lost_replica_costs_nothing_that_was_committed(testbed: Testbed, undisturbed: list[float]) -> None:
    trace = played(testbed, HYBRID, [Loss(rank=1, when=in_iteration(3, "0F2@1"))])
    assert goes_on(trace, undisturbed)
    (resumed,) = trace.resumptions
    assert (resumed.change.lost, resumed.done, resumed.version) == ((1,), 3, 3)
    assert "rank 1 was killed by SIGKILL at 0" in resumed.change.why
    assert resumed.plan.ranks == (0, 2, 3)


@pytest.mark.parametrize(("rank", "task"), [(2, "1B1@2"), (3, "2F3@3")], ids=["middle", "last"])
def test_a_lost_stage_comes_from_its_backup(rank: int, task: str, testbed: Testbed, undisturbed: list[float]) -> None:
    trace = played(testbed, HYBRID, [Loss(rank=rank, when=in_iteration(5, task))])
    assert goes_on(trace, undisturbed)
    (resumed,) = trace.resumptions
    assert (resumed.done, resumed.version) == (5, 4)
    assert sum(span.redone for span in trace.of(Activity.TRAINING)) == 1
    assert next(trace.of(Activity.MIGRATION)).trace is not None


def test_two_devices_are_lost_one_after_the_other(testbed: Testbed, undisturbed: list[float]) -> None:
    trace = played(testbed, HYBRID, [Loss(rank=2, when=in_iteration(3)), Loss(rank=1, when=in_iteration(5))])
    assert goes_on(trace, undisturbed)
    assert [each.change.lost for each in trace.resumptions] == [(2,), (1,)]
    assert trace.resumptions[-1].plan.ranks == (0, 3)


def test_a_device_that_stops_is_missed_and_comes_back(testbed: Testbed, undisturbed: list[float]) -> None:
    loss = Loss(rank=1, when=in_iteration(2, "0F1@1"), kind=LossKind.STOP, lasts_s=2.5)
    trace = played(testbed, HYBRID, [loss])
    assert goes_on(trace, undisturbed)
    assert trace.resumptions[0].change.lost == (1,)
    assert "rank 1 was stopped (SIGSTOP)" in trace.resumptions[0].change.why
    change = trace.resumptions[0].change
    assert change.noticed_s - change.at_s >= HEARTBEAT.timeout_s - HEARTBEAT.period_s


def test_a_pause_that_nobody_misses_ends_nothing(testbed: Testbed, undisturbed: list[float]) -> None:
    loss = Loss(rank=1, when=in_iteration(2, "0F1@1"), kind=LossKind.STOP, lasts_s=0.15)
    trace = played(testbed, HYBRID, [loss])
    assert goes_on(trace, undisturbed)
    assert not [each for each in trace.resumptions if each.change.lost]


@NEEDS_LINKS
def test_a_link_that_goes_down_and_comes_back_is_told_from_a_stop(testbed: Testbed, undisturbed: list[float]) -> None:
    loss = Loss(rank=2, when=in_iteration(3, "1F1@2"), kind=LossKind.LINK_DOWN, lasts_s=3.0)
    trace = played(testbed, HYBRID, [loss])
    assert goes_on(trace, undisturbed)
    assert trace.resumptions[0].change.lost == (2,)
    assert "rank 2 lost its link" in trace.resumptions[0].change.why


def test_who_leaves_politely_takes_nothing_along(testbed: Testbed, undisturbed: list[float]) -> None:
    trace = played(testbed, HYBRID, [Leave(rank=2, when=in_iteration(3))])
    assert goes_on(trace, undisturbed)
    (resumed,) = trace.resumptions
    assert resumed.change.leaving == (2,)
    assert resumed.version == resumed.done
    assert not list(trace.of(Activity.LOST, Activity.DETECTION))


def test_who_comes_is_used_where_it_pays(testbed: Testbed, undisturbed: list[float]) -> None:
    plan = plan_of([0, 3, LAYERS], [[3], [2]])
    trace = played(testbed, plan, [Join(rank=0, when=in_iteration(2))], members=(2, 3))
    assert goes_on(trace, undisturbed)
    (resumed,) = trace.resumptions
    assert resumed.change.joining == (0,)
    assert 0 in resumed.plan.ranks


def test_heavy_rescheduling_gathers_and_scatters(testbed: Testbed, undisturbed: list[float]) -> None:
    policy = heavy(setup(testbed.cluster), planner=asteroid)
    trace = played(testbed, HYBRID, [Loss(rank=2, when=in_iteration(5))], policy=policy)
    assert goes_on(trace, undisturbed)
    assert next(trace.of(Activity.MIGRATION)).says == "gather"


def test_a_restart_reads_the_last_checkpoint(testbed: Testbed, undisturbed: list[float], tmp_path: Path) -> None:
    policy = restart(setup(testbed.cluster))
    loss = Loss(rank=2, when=in_iteration(5))
    trace = played(testbed, HYBRID, [loss], policy=policy, checkpoints=tmp_path, checkpoint_every=3)
    assert goes_on(trace, undisturbed)
    (resumed,) = trace.resumptions
    assert (resumed.done, resumed.version) == (5, 3)
    assert len(list(trace.of(Activity.RESTART))) == 1


def test_a_restart_reads_disks_of_their_own_and_moves_the_rest(
    testbed: Testbed, undisturbed: list[float], tmp_path: Path
) -> None:
    policy = restart(setup(testbed.cluster))
    loss = Loss(rank=2, when=in_iteration(5, "1F1@2"))
    own = {"checkpoints": tmp_path, "checkpoint_every": 2, "own_disks": True}
    trace = played(testbed, HYBRID, [loss], policy=policy, **own)  # type: ignore[arg-type]
    assert goes_on(trace, undisturbed)
    (resumed,) = trace.resumptions
    assert (resumed.done, resumed.version) == (5, 4)
    assert len(list(trace.of(Activity.RESTART))) == len(list(trace.of(Activity.MIGRATION))) == 1
    files = {path.parent.name: len(list(path.parent.iterdir())) for path in tmp_path.rglob("*.safetensors")}
    assert files == {f"rank-{rank}": 2 for rank in range(4)}  # of the two newest


def test_a_job_goes_on_from_a_checkpoint_under_another_plan(
    testbed: Testbed, undisturbed: list[float], tmp_path: Path
) -> None:
    played(testbed, HYBRID, iterations=4, checkpoints=tmp_path, checkpoint_every=2)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["version-2", "version-4"]
    other = plan_of([0, LAYERS], [[3, 1]])
    trace = played(testbed, other, resume=tmp_path / "version-4")
    assert list(trace.losses) == pytest.approx(undisturbed[4:], rel=TOLERANCE)


def test_a_job_without_a_policy_ends_with_who_was_lost(testbed: Testbed) -> None:
    with pytest.raises(RunError, match=r"the job ends after 2 iterations: rank 2 was killed by SIGKILL at .*@2"):
        played(testbed, HYBRID, [Loss(rank=2, when=in_iteration(2))], recovers=False)


def test_a_job_that_nobody_is_left_of_waits_and_goes_on_from_its_checkpoint(
    testbed: Testbed, undisturbed: list[float], tmp_path: Path
) -> None:
    plan = plan_of([0, 3, LAYERS], [[3], [2]])
    stops = [Loss(rank=rank, when=in_iteration(3), kind=LossKind.STOP, lasts_s=2.5) for rank in (2, 3)]
    trace = played(testbed, plan, stops, members=(2, 3), checkpoints=tmp_path, checkpoint_every=2)
    assert goes_on(trace, undisturbed)
    assert trace.resumptions[0].version == 2
    assert trace.seconds(Activity.WAITING) > 0
