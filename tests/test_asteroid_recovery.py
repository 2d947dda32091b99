"""Does the study of Asteroid's recovery play what it is asked, at paper scale?"""

import pytest

from edgesim.scenario import Loss, Moment, Scenario
from experiments.asteroid.losing import Losing
from experiments.configuration.command_line import composed

ITERATIONS = 20


@pytest.fixture(scope="module")
def losing() -> Losing:
    cfg = composed("experiment=asteroid_recovery")
    return Losing.of(cfg, dict(cfg.asteroid_recovery.policies))


def lost(losing: Losing, rank: int) -> Scenario:
    return Scenario(events=(Loss(rank=rank, when=Moment(at_s=12.5 * losing.iteration_s)),))


def test_a_job_in_which_nothing_happens_takes_its_iterations(losing: Losing) -> None:
    metrics = losing.undisturbed(ITERATIONS)
    assert metrics.end_s == pytest.approx(ITERATIONS * losing.iteration_s)
    assert metrics.recoveries == ()


@pytest.mark.parametrize("policy", ["lightweight", "heavy", "restart", "proven"])
def test_every_policy_goes_on_after_a_loss_and_trains_all_iterations(losing: Losing, policy: str) -> None:
    outcome = losing.played(policy, lost(losing, losing.ranks[-1]), ITERATIONS)
    assert isinstance(outcome, tuple)
    metrics = outcome[1]
    (recovery,) = metrics.recoveries
    assert metrics.iterations == ITERATIONS
    assert recovery.change == f"lost: rank {losing.ranks[-1]}"
    # Only a restart goes back to a checkpoint: that of iteration 10, when 12 were done.
    assert recovery.redone_iterations == (2 if policy == "restart" else 0)
    assert (recovery.restart_s > 0) == (policy == "restart")


def test_a_device_is_named_with_its_stage_and_whether_others_hold_it_too(losing: Losing) -> None:
    stages = losing.prepared.plan.stages
    for s, stage in enumerate(stages):
        for rank in stage.ranks:
            said = losing.named(rank)
            assert f"stage {s} of {len(stages)}" in said
            assert said.endswith("alone" if len(stage.ranks) == 1 else "replicated")
