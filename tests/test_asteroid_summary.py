"""Does the summary of Asteroid's studies say what was run, and what makes a ratio?"""

import pytest
from job_builders import a_setup, stages
from table_builders import made

from edgesim.schedule import Op
from edgesim.simulator import simulate
from experiments.analysis.goodput import goodput
from experiments.asteroid.pauses import over_lightweight
from experiments.asteroid.ratios import FAMILIES, rates, ratios, told
from experiments.asteroid.terms import Terms, attributed, terms_of

about = pytest.approx


def row(method: str, samples_per_s: float | None, **changes: object) -> dict[str, object]:
    return made(method=method, samples_per_s=samples_per_s, **changes)


def test_a_ratio_is_over_the_fastest_of_its_family_where_both_run() -> None:
    found = rates(
        [
            row("asteroid", 12.0),
            row("eddl_even", 3.0),
            row("ddp", 6.0),
            row("asteroid", 5.0, cluster="other"),
            row("ddp", 10.0, cluster="other"),
            row("asteroid", 5.0, cluster="third"),
            row("ddp", None, cluster="third", status="out_of_memory"),
        ]
    )
    over = ratios(found, FAMILIES["dp"])
    assert [(each.ratio, each.method) for each in over] == [(2.0, "ddp"), (0.5, "ddp")]
    assert told(over) == {
        "cells": 2,
        "best": 2.0,
        "best_in": "bert_small on demo, 100 Mbit/s",
        "best_over": "ddp",
        "median": 1.25,
        "least": 0.5,
        "slower_in": 1,
        "best_by_model": {"bert_small": 2.0},
    }


def test_two_runs_of_one_method_in_a_cell_are_refused() -> None:
    with pytest.raises(ValueError, match="two runs of ddp"):
        rates([row("ddp", 6.0), row("ddp", 7.0)])


def test_what_a_plan_takes_longer_is_shared_among_its_terms() -> None:
    ours = Terms(computing_s=2.0, all_reduce_s=0.0, waiting_s=1.0)
    theirs = Terms(computing_s=1.0, all_reduce_s=6.0, waiting_s=0.0)
    assert attributed(ours, theirs) == {"computing": -0.25, "all_reduce": 1.5, "waiting": -0.25}
    with pytest.raises(ValueError, match="as long"):
        attributed(ours, ours)


LOSS = {"cluster": "c", "model": "m", "lost": "rank 1", "status": "done"}
PARTS = {"planning_s": 0.1, "reconnection_s": 0.2, "migration_s": 0.5, "restart_s": 0.0}


def test_a_pause_is_compared_with_the_lightweight_one_of_the_same_loss() -> None:
    lightweight = {**LOSS, **PARTS, "policy": "lightweight", "pause_s": 1.0, "samples_per_s_after": 9.0}
    heavy = {**lightweight, "policy": "heavy", "pause_s": 4.0, "migration_s": 3.7, "samples_per_s_after": 10.0}
    elsewhere = {**heavy, "lost": "rank 2", "pause_s": 100.0}  # lightweight did not go on there
    found = over_lightweight([lightweight, heavy, elsewhere], "heavy")
    assert found["losses"] == 1
    assert found["pause"]["most"] == 4.0
    assert found["pause_without_detection"]["median"] == about(4.0 / 0.8)
    assert found["migration_where_both_move"]["median"] == about(7.4)
    assert found["lightweight_rate_after"]["least"] == about(0.9)


def test_goodput_is_a_mean_over_the_seeds_that_all_policies_survive() -> None:
    """Seed 3 ends under heavy: then lightweight's share of it, which is higher than the others, counts for nobody."""
    same = {"cluster": "c", "model": "m", "mean_between_iterations": 20}
    shares = {"heavy": (0.7, 0.8, 0.9, None), "lightweight": (0.6, 0.7, 0.8, 1.0)}
    rows = [
        same | {"policy": policy, "seed": seed, "share_of_undisturbed": share, "status": "done" if share else "failed"}
        for policy, each in shares.items()
        for seed, share in enumerate(each)
    ]
    found = goodput(rows)["m on c"]["20"]
    assert {policy: each["seeds"] for policy, each in found.items()} == {"heavy": 3, "lightweight": 3}
    assert {policy: each["ended_early"] for policy, each in found.items()} == {"heavy": 1, "lightweight": 0}
    assert found["heavy"]["mean"] == about(0.8)
    assert found["lightweight"]["mean"] == about(0.7)
    assert found["heavy"]["half_width"] == about(4.303 * 0.1 / 3**0.5, rel=1e-3)


def test_the_terms_of_data_parallelism_are_computing_and_one_all_reduce() -> None:
    setup = a_setup(2)
    plan = stages(setup, [0, 6], [[0, 1]])
    problem = setup.problem
    trace = simulate(
        setup.strategy(plan), cluster=problem.cluster, model=problem.model, profile=problem.profile, tokens=1
    )
    terms = terms_of(trace, 2)
    rank = trace.of_rank(0)
    all_reduce = rank.chosen(rank.does(Op.ALL_REDUCE)).intervals
    assert len(all_reduce) == 1
    assert terms.all_reduce_s == about(float(all_reduce[0, 1] - all_reduce[0, 0]))
    # A sample of each of 4 micro-batches: 6 layers forward in 10 ms and back in 20, and updated in 1 ms.
    assert terms.computing_s == about(4 * 6 * 0.03 + 6 * 0.001)
    assert terms.computing_s + terms.all_reduce_s + terms.waiting_s == about(trace.makespan_s)


def test_the_terms_of_a_pipeline_have_no_all_reduce_and_wait_for_others() -> None:
    setup = a_setup(2)
    plan = stages(setup, [0, 3, 6], [[0], [1]])
    problem = setup.problem
    trace = simulate(
        setup.strategy(plan), cluster=problem.cluster, model=problem.model, profile=problem.profile, tokens=1
    )
    terms = terms_of(trace, 2)
    assert terms.all_reduce_s == 0
    assert terms.waiting_s > 0
