"""The size of micro-batches can be a planner's choice: the fastest of all that divide the batch."""

from functools import partial

import pytest
from builders import chain, constant_profile, homogeneous, linear_profile, named, switched, workload

from edgesim.errors import InfeasibleError, OutOfMemoryError, PlanError
from edgesim.plan import Plan
from edgesim.planners.baselines.even import even
from edgesim.planners.baselines.even_blocks import even_blocks
from edgesim.planners.cost_models.pipeline_time import iteration_s
from edgesim.planners.literature.asteroid import asteroid
from edgesim.planners.literature.eco_fl import eco_fl
from edgesim.planners.micro_batches import divisors, with_best_micro_batch
from edgesim.planners.problem import Problem, ask
from edgesim.profile import estimate
from edgesim.zoo.bert import bert
from experiments.configuration.command_line import composed
from experiments.configuration.setup import prepare


def a_problem(*, constant: bool, memory_bytes: float = 1e9, latency_s: float = 0.0) -> Problem:
    """Two boards and layers, a batch of 12; a micro-batch takes the same whatever its samples, or as long as these."""
    model = chain(2, output_bytes=0)
    cluster = homogeneous(2, network=switched(2, latency_s=latency_s), memory_bytes=memory_bytes)
    profile = constant_profile(model, cluster) if constant else linear_profile(model, cluster)
    return Problem(
        model=model, cluster=cluster, profile=profile, workload=workload(micro_batches=3, micro_batch_samples=4)
    )


def cut(plan: Plan) -> tuple[int, int]:
    return plan.micro_batches, plan.micro_batch_samples


def test_all_that_divide_a_batch_are_tried() -> None:
    asked = []

    def planner(problem: Problem) -> Plan:
        asked.append(problem.workload.micro_batch_samples)
        return eco_fl(problem)

    ask(with_best_micro_batch(planner), a_problem(constant=True))
    assert asked == [4, 12, 6, 3, 2, 1]
    assert list(divisors(1)) == [1]


def test_what_takes_as_long_for_many_samples_as_for_one_is_done_at_once() -> None:
    assert cut(ask(with_best_micro_batch(eco_fl), a_problem(constant=True))) == (1, 12)


def test_a_pipeline_is_filled_by_many_small_micro_batches() -> None:
    """Where each message takes a second, no more are worth it than 1F1B keeps in flight: 2.54 s, 2.72 s for one."""
    assert cut(ask(with_best_micro_batch(eco_fl), a_problem(constant=False))) == (12, 1)
    found = cut(ask(with_best_micro_batch(eco_fl), a_problem(constant=False, latency_s=1.0)))
    assert found == (2, 6)


def test_no_other_size_is_faster_by_the_planner_s_own_seconds() -> None:
    problem = a_problem(constant=False, latency_s=0.02)
    for planner in (eco_fl, asteroid):
        best = ask(with_best_micro_batch(planner), problem)
        own = ask(planner, problem)
        values = [iteration_s(problem, p) if p.predicted_s is None else p.predicted_s for p in (best, own)]
        assert values[0] <= values[1]


def test_a_size_that_does_not_fit_is_left_out() -> None:
    """Weights and gradients take 8 kB; a stage stashes 0.5 kB for each sample of one micro-batch, or of two."""
    deep = partial(even, groups="pipeline", depth="gpipe")
    assert cut(ask(with_best_micro_batch(deep), a_problem(constant=True, memory_bytes=14_000))) == (1, 12)
    with pytest.raises(OutOfMemoryError):
        ask(with_best_micro_batch(deep), a_problem(constant=True, memory_bytes=13_999))
    assert cut(ask(with_best_micro_batch(eco_fl), a_problem(constant=True, memory_bytes=11_000))) == (2, 6)
    with pytest.raises(InfeasibleError):
        ask(with_best_micro_batch(eco_fl), a_problem(constant=True, memory_bytes=8_499))


def test_divided_blocks_keep_the_workload_s_micro_batches() -> None:
    model = bert(name="small", layers=1, hidden=64, heads=4, columns=128, vocabulary=259, positions=64)
    cluster = named(2)
    asked = workload(micro_batches=2, tokens=16)
    profile = estimate(model, cluster.devices, samples=(1, 2), tokens=16)
    problem = Problem(model=model, cluster=cluster, profile=profile, workload=asked)
    with pytest.raises(PlanError, match=r"take planner\.micro_batch=workload"):
        ask(with_best_micro_batch(partial(even_blocks, units=True, tokens=False)), problem)


def test_a_run_plays_the_micro_batches_of_its_plan() -> None:
    words = ("method=eco_fl", "network.rate=1000 Mbit/s")
    own, best = (prepare(composed(*words, *more)) for more in ((), ("planner.micro_batch=best",)))
    assert own.plan.micro_batch_samples == own.setup.workload.micro_batch_samples == 8
    assert best.plan.micro_batch_samples == best.setup.workload.micro_batch_samples != 8
    assert best.plan.batch_samples == best.setup.workload.batch_samples == 32
    seconds = [each.setup.simulate(each.schedule).makespan_s for each in (own, best)]
    assert seconds[1] < seconds[0]
    assert best.setup.measure(best.setup.simulate(best.schedule)).samples_per_s == pytest.approx(32 / seconds[1])
