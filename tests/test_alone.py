"""A plan that is slower than one device says so, and what it would take without its messages."""

import pytest
from builders import (
    chain,
    constant_profile,
    data_plan,
    device,
    homogeneous,
    named,
    pipeline_plan,
    switched,
    table,
    workload,
)

from edgesim.cluster import Cluster
from edgesim.plan import Plan
from edgesim.planners.alone import fastest_alone, why_slower
from edgesim.planners.literature.asteroid import asteroid
from edgesim.planners.problem import Problem, ask
from edgesim.simulator import simulate
from edgesim.strategies.hybrid_pipeline import hybrid_pipeline
from experiments.configuration.command_line import composed
from experiments.configuration.setup import prepare
from experiments.execution.play import Played, play

F_S, B_S, UPDATE_S = 1.0, 2.0, 0.5  # of a layer


def a_problem(*, bytes_per_s: float, ranks: int = 2, memory_bytes: float = 1e9, new_tokens: int = 0) -> Problem:
    model = chain(2, output_bytes=1000, parameter_bytes=4000)
    cluster = homogeneous(ranks, network=switched(ranks, bytes_per_s=bytes_per_s), memory_bytes=memory_bytes)
    profile = constant_profile(model, cluster, forward_s=F_S, backward_s=B_S, update_s=UPDATE_S)
    purpose = {"purpose": "infer"} if new_tokens else {}
    asked = workload(micro_batches=4, new_tokens=new_tokens, **purpose)
    return Problem(model=model, cluster=cluster, profile=profile, workload=asked)


def seconds(problem: Problem, plan: Plan) -> float:
    schedule = hybrid_pipeline(plan, problem.model, problem.workload)
    return simulate(
        schedule, cluster=problem.cluster, model=problem.model, profile=problem.profile, tokens=1
    ).makespan_s


def test_alone_a_device_takes_what_its_layers_take() -> None:
    alone = fastest_alone(a_problem(bytes_per_s=1))
    assert alone is not None
    assert (alone.rank, alone.device, alone.seconds) == (0, "board", 4 * 2 * (F_S + B_S) + 2 * UPDATE_S)


def test_the_fastest_device_that_can_hold_the_model_counts() -> None:
    model = chain(2)
    boards = (device("d0"), device("d1", memory_bytes=16_000), device("d2"))
    cluster = Cluster(name="three", devices=boards, network=switched(3))
    profile = table(model, cluster, lambda rank, *_: (1 / (1 + rank % 2), 2 / (1 + rank % 2)))
    alone = fastest_alone(Problem(model=model, cluster=cluster, profile=profile, workload=workload()))
    assert alone is not None
    assert (alone.rank, alone.seconds) == (0, 6), "rank 1 is twice as fast, and cannot hold 17 kB"


def test_nobody_is_compared_with_devices_that_cannot_hold_the_model_or_generate_tokens() -> None:
    assert fastest_alone(a_problem(bytes_per_s=1, memory_bytes=16_000)) is None
    assert fastest_alone(a_problem(bytes_per_s=1, new_tokens=3)) is None


def test_a_plan_that_is_as_fast_has_nothing_to_explain() -> None:
    problem = a_problem(bytes_per_s=1e9)
    plan = pipeline_plan(problem.model, micro_batches=4)
    assert seconds(problem, plan) < 25
    assert why_slower(problem, plan, seconds(problem, plan)) == ""
    assert why_slower(problem, problem.alone(planner="alone", rank=1), 25.0) == ""


def test_a_pipeline_on_slow_links_says_what_it_would_take_without_them() -> None:
    """Each device computes 4 micro-batches of 3 s and half a second of update; (4 + 2 - 1) 3 s without links."""
    problem = a_problem(bytes_per_s=100)
    plan = pipeline_plan(problem.model, micro_batches=4)
    taken_s = seconds(problem, plan)
    assert taken_s > 25
    assert why_slower(problem, plan, taken_s) == (
        f"{taken_s / 25:.3g} times as long as board alone (25 s): rank 0 (board) computes for 12.5 s, "
        "and if messages and all-reduces took no time it would be 15.5 s"
    )


def test_replicas_that_add_up_for_long_say_so_too() -> None:
    """As many micro-batches as alone, and 8 kB there and back at 100 B/s."""
    problem = a_problem(bytes_per_s=100)
    plan = data_plan(problem.model, [1, 1], micro_batches=4)
    said = why_slower(problem, plan, 25.0 + 80.0)
    assert said.endswith(
        "rank 0 (board) computes for 25 s, and if messages and all-reduces took no time it would be 25 s"
    )


def test_iterations_that_overlap_are_not_held_against_a_formula_of_those_that_do_not() -> None:
    """A second board of a quarter of the speed: 4 (1 + 1/4) 3 s and more if the pipeline drained, on any links."""
    model, cluster = chain(2), named(2)
    profile = table(model, cluster, lambda rank, *_: (1.0 * (1 + 3 * rank), 2.0 * (1 + 3 * rank)))
    problem = Problem(model=model, cluster=cluster, profile=profile, workload=workload(micro_batches=4))
    said = why_slower(problem, pipeline_plan(model, micro_batches=4), 30.0)
    assert said == "1.25 times as long as d0 alone (24 s): rank 1 (d1) computes for 48 s"


@pytest.mark.parametrize("bytes_per_s", [10, 1e3, 1e6])
def test_asteroid_that_may_leave_devices_out_is_never_slower_than_one(bytes_per_s: float) -> None:
    model, cluster = chain(4), named(3, network=switched(3, bytes_per_s=bytes_per_s))
    profile = table(model, cluster, lambda rank, _, samples: (samples / (1 + rank), 2 * samples / (1 + rank)))
    problem = Problem(
        model=model,
        cluster=cluster,
        profile=profile,
        workload=workload(micro_batches=4, micro_batch_samples=4),
    )
    plan = ask(lambda asked: asteroid(asked, leave_out=True), problem)
    alone = fastest_alone(problem)
    assert alone is not None
    assert plan.predicted_s is not None
    assert plan.predicted_s <= alone.seconds * (1 + 1e-9)


def played(*words: str) -> Played:
    cfg = composed("method=asteroid", "workload.batch_samples=256", "workload.micro_batch_samples=16", *words)
    return play(cfg, prepare(cfg))


def test_asteroid_says_why_it_is_slower_where_links_are_too_slow_for_resnet_50() -> None:
    """Of testbeds A to D, four models and two rates these are three: B, C and D at 100 Mbit/s."""
    words = ("model=resnet50", "workload=images", "cluster=asteroid_d", "network.rate=100 Mbit/s")
    said = played(*words).slower_because
    assert said.startswith("1.02 times as long as jetson-tx2 alone")
    assert "rank 0 (jetson-tx2) computes for" in said
    assert played(*words, "planner.leave_out=true").slower_because == ""


def test_asteroid_keeps_its_depth_and_shares_micro_batches_unevenly() -> None:
    """On an NX, two TX2 and three Nanos: 2 (P - p) - 1 in flight, and most samples for the NX."""
    plan = played("model=efficientnet_b1", "workload=images", "cluster=asteroid_c", "network.rate=100 Mbit/s").plan
    assert [stage.in_flight for stage in plan.stages] == [5, 3, 1]
    assert plan.stages[0].samples == (6, 5, 5)
