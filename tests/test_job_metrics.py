"""What do a job's figures say, against jobs of which all is known by hand?"""

import json
from dataclasses import replace

import pytest
from job_builders import COSTS, PLANNING_S, a_job, a_setup, killed, leaves, pipeline, played, stages

from edgesim.cluster import ComputeWatts
from edgesim.job import Activity, JobMetrics, JobTrace, measure_job
from edgesim.memory import carried_bytes
from edgesim.metrics import measure
from edgesim.recovery.training_setup import TrainingSetup

about = pytest.approx


def measured(setup: TrainingSetup, trace: JobTrace) -> JobMetrics:
    problem = setup.problem
    return measure_job(trace, cluster=problem.cluster, model=problem.model, workload=problem.workload)


def test_of_a_job_in_which_nothing_happens_every_figure_is_its_iterations() -> None:
    setup = a_setup(3)
    trace = played(setup, a_job(setup, pipeline(setup, 0, 1, 2), iterations=40, replicate_every=None))
    (span,) = trace.spans
    assert span.trace is not None
    problem, found = setup.problem, measured(setup, trace)
    alone = measure(span.trace, cluster=problem.cluster, model=problem.model, workload=problem.workload)
    assert found.trained_samples == 40 * 8
    assert (found.redone_samples, found.discarded_samples, found.recoveries) == (0, 0, ())
    assert found.goodput_samples_per_s == about(8 / (alone.makespan_s + COSTS.between_s))
    idle_j = 40 * COSTS.between_s * sum(device.power.idle_w for device in problem.cluster.devices)
    assert found.energy_j == about(40 * alone.energy_j + idle_j)
    assert sum(found.bytes_by_payload.values()) == 40 * sum(alone.sent_bytes)
    assert found.peak_bytes == (alone.peak_bytes,)
    assert found.seconds_by_activity["training"] == found.end_s == trace.end_s


def test_boards_and_kinds_of_blocks_draw_in_jobs_what_they_draw_in_an_iteration() -> None:
    """A board around a module draws while nothing is played too; what computes draws by kind as in each iteration."""
    setup = a_setup(3)
    trace = played(setup, a_job(setup, pipeline(setup, 0, 1, 2), iterations=40, replicate_every=None))
    (span,) = trace.spans
    assert span.trace is not None
    kinds = (ComputeWatts(kind="mlp", watts=9.0, stalled_w=4.0, source="test"),)
    problem = setup.problem
    boards = tuple(
        replace(each, power=replace(each.power, by_kind=kinds, static_w=0.5)) for each in problem.cluster.devices
    )
    cluster = replace(problem.cluster, devices=boards)
    found = measure_job(trace, cluster=cluster, model=problem.model, workload=problem.workload)
    alone = measure(span.trace, cluster=cluster, model=problem.model, workload=problem.workload)
    assert found.energy_by_state_j["static"] == about(3 * 0.5 * found.end_s)
    assert found.energy_by_state_j["compute"] == about(
        40 * sum(states["compute"] for states in alone.energy_by_state_j)
    )


def test_a_recovery_is_told_by_what_it_was_at() -> None:
    setup = a_setup(3)
    trace = played(setup, a_job(setup, pipeline(setup, 0, 1, 2)), killed(1, 15.0))
    found = measured(setup, trace)
    (recovery,) = found.recoveries
    assert recovery.change == "lost: rank 1"
    assert recovery.detection_s == about(0.4)
    assert recovery.planning_s == about(PLANNING_S)
    assert recovery.reconnection_s == about(COSTS.regroup_s + COSTS.go_back_s)
    assert recovery.restart_s == 0
    parts = recovery.detection_s + recovery.planning_s + recovery.reconnection_s + recovery.migration_s
    assert recovery.pause_s == about(parts)
    assert recovery.migration_s == trace.seconds(Activity.MIGRATION) > 0
    assert recovery.redone_iterations * 8 == found.redone_samples == 9 * 8
    assert found.discarded_samples == 8
    assert recovery.samples_per_s_before is not None
    assert recovery.samples_per_s_after is not None
    assert recovery.samples_per_s_after == about(recovery.samples_per_s_before * 2 / 3, rel=0.25)  # two boards of three


def test_bytes_are_told_apart_by_what_they_carry() -> None:
    setup = a_setup(4)
    job = a_job(setup, stages(setup, [0, 3, 6], [[0], [1, 2]]), iterations=11)
    found = measured(setup, played(setup, job))
    state = sum(carried_bytes(layer, setup.problem.workload) for layer in setup.problem.model.layers[:3])
    assert found.bytes_by_payload == {
        "activation": 11 * 8 * 1000,
        "gradient": 11 * 8 * 1000,
        "all_reduce": 11 * 2 * 12_000,  # a ring of two: each sends all of its gradients once
        "weights": state,  # one backup, of the stage without a replica
    }


def test_snapshots_and_backups_are_held_beside_what_is_trained() -> None:
    setup = a_setup(3)
    plan = pipeline(setup, 0, 1, 2)
    with_them, without = (
        measured(setup, played(setup, a_job(setup, plan, replicate_every=every))).peak_bytes[0] for every in (10, None)
    )
    state = sum(carried_bytes(layer, setup.problem.workload) for layer in setup.problem.model.layers[:2])
    assert with_them == tuple(nbytes + 2 * state for nbytes in without)


def test_memory_is_told_for_each_plan() -> None:
    setup = a_setup(3)
    found = measured(setup, played(setup, a_job(setup, pipeline(setup, 0, 1, 2)), leaves(1, 9.0)))
    before, after = found.peak_bytes
    assert after[1] == 0 < before[1]
    assert after[0] > before[0]


def test_what_a_recovery_has_gone_back_to_is_kept_until_backups_are_sent() -> None:
    setup = a_setup(3)
    plans = pipeline(setup, 0, 1, 2), pipeline(setup, 0, 2)
    _, after = measured(setup, played(setup, a_job(setup, plans[0], replicate_every=None), leaves(1, 9.0))).peak_bytes
    (plain,) = measured(setup, played(setup, a_job(setup, plans[1], replicate_every=None))).peak_bytes
    state = sum(carried_bytes(layer, setup.problem.workload) for layer in setup.problem.model.layers[:3])
    assert (after[0], after[2]) == (plain[0] + state, plain[2] + state)


def test_metrics_are_plain_data() -> None:
    setup = a_setup(3)
    found = measured(setup, played(setup, a_job(setup, pipeline(setup, 0, 1, 2)), killed(1, 9.0)))
    data = json.loads(json.dumps(found.to_dict()))
    assert data["recoveries"][0]["change"] == "lost: rank 1"
    assert data["player"] == "simulated"


def test_a_job_that_takes_no_time_has_no_rates() -> None:
    setup = a_setup(1)
    empty = JobTrace(player="simulated", spans=(), resumptions=(), batch_samples=8)
    with pytest.raises(ValueError, match="nothing to measure: 0 spans of a job take 0 s"):
        measured(setup, empty)
