"""Are the Lagrangian bounds below every pipeline, and do labels and solvers find the same best choice?"""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_ilp_hybrid_pipeline import a_problem

from edgesim.errors import PlanError
from edgesim.plan import Depth
from edgesim.planners.exact.pipelines.branch_and_bound import BranchAndBound, SearchLimits
from edgesim.planners.exact.pipelines.candidates import PipelineFamily
from edgesim.planners.exact.pipelines.label_setting import Choice, LabelSetting
from edgesim.planners.exact.pipelines.labels import DeviceCounts, Labels, joined, undominated
from edgesim.planners.exact.pipelines.lagrangian import DualPrices, Relaxation, WindowCosts
from edgesim.planners.exact.pipelines.milp import StageMilp
from edgesim.planners.exact.pipelines.milp_in_pulp import in_pulp
from edgesim.planners.exact.pipelines.search import PipelineSearch
from edgesim.planners.exact.pipelines.stage_table import Stages
from edgesim.workload import Purpose

repeatable = settings(max_examples=30, deadline=None, derandomize=True, database=None)
depths = st.sampled_from(Depth)
HALF_A_MINUTE = SearchLimits(time_limit_s=30, gap=1e-6)


def search_of(
    seed: int, *, layers: int = 4, devices: int = 3, depth: Depth = Depth.ASTEROID, **more: object
) -> PipelineSearch:
    problem = a_problem(seed, layers=layers, devices=devices, **more)  # type: ignore[arg-type]
    return PipelineSearch(problem, PipelineFamily(depth=depth, replicas=2), planner="test")


def every_choice(milp: StageMilp) -> list[Choice]:
    """All paths of candidates with no more devices than there are."""
    c, shape = milp.columns, milp.shape
    found: list[Choice] = []

    def grow(choice: Choice, at: int, left: np.ndarray) -> None:
        if at == shape.layers:
            found.append(choice)
            return
        for number in np.flatnonzero(c.start == at).tolist():
            after = not choice or c.position[number] == c.position[choice[-1]] - 1
            if after and (c.replicas[number] <= left).all():
                grow((*choice, number), int(c.stop[number]), left - c.replicas[number])

    grow((), 0, np.array(shape.devices))
    return found


def rows_of(stages: Stages, choice: Choice) -> list[int]:
    """The stages of a choice of candidates."""
    return [int(np.flatnonzero((stages.candidate == number).any(axis=1))[0]) for number in choice]


@repeatable
@given(seed=st.integers(0, 10_000), depth=depths, prices=st.lists(st.floats(0, 0.2), min_size=3, max_size=3))
def test_no_pipeline_costs_less_than_the_bound_at_any_prices(seed: int, depth: Depth, prices: list[float]) -> None:
    search = search_of(seed, depth=depth)
    choices = every_choice(search.milp)
    if not choices:
        return
    seconds = [search.seconds(choice) for choice in choices]
    stages = Stages(search.milp)
    relaxation = Relaxation(stages, np.arange(len(stages)), WindowCosts(least_u_s=0.0, below_s=2 * max(seconds)))
    bound = relaxation.bound_at(DualPrices(devices_s=np.array(prices[: len(stages.shape.devices)])))
    through = bound.through_s()
    for choice, value_s in zip(choices, seconds, strict=True):
        assert bound.bound_s <= value_s * (1 + 1e-9)
        assert through[rows_of(stages, choice)].max() <= value_s * (1 + 1e-9)


@repeatable
@given(seed=st.integers(0, 10_000), depth=depths)
def test_best_prices_are_at_least_as_good_as_none_and_still_a_bound(seed: int, depth: Depth) -> None:
    search = search_of(seed, depth=depth, memory=100.0)
    best_s = min(search.seconds(choice) for choice in every_choice(search.milp))
    stages = Stages(search.milp)
    relaxation = Relaxation(stages, np.arange(len(stages)), WindowCosts(least_u_s=0.0, below_s=10 * best_s))
    nothing = DualPrices.zero(len(stages.shape.devices))
    assert (
        relaxation.bound_at(nothing).bound_s
        <= relaxation.ascend(nothing, late=lambda: False).bound_s
        <= best_s * (1 + 1e-9)
    )


@repeatable
@given(seed=st.integers(0, 10_000), depth=depths, purpose=st.sampled_from([Purpose.TRAIN, Purpose.INFER]))
def test_the_integer_programme_over_all_candidates_says_what_labels_find(
    seed: int, depth: Depth, purpose: Purpose
) -> None:
    search = search_of(seed, depth=depth, purpose=purpose)
    found = search.run(time_limit_s=30)
    everyone = np.arange(len(search.milp.columns))
    if not found.choice:
        return
    whole = in_pulp(search.milp, everyone, (0.0, np.inf))
    result = whole.solve(time_limit_s=30, gap=1e-7)
    assert result.bound_s <= found.value_s * (1 + 1e-5)
    if depth is not Depth.ONE_F_ONE_B:  # whose way around it takes by its senders' ends
        assert result.bound_s == pytest.approx(found.value_s, rel=1e-5)
        assert search.seconds(result.choice) == pytest.approx(found.value_s, rel=1e-5)


@repeatable
@given(seed=st.integers(0, 10_000), depth=depths, enough=st.integers(1, 6))
def test_labels_find_the_best_few_of_all(seed: int, depth: Depth, enough: int) -> None:
    search = search_of(seed, depth=depth, memory=100.0, samples=2)
    everything = sorted(search.seconds(choice) for choice in every_choice(search.milp))
    stages = Stages(search.milp)
    relaxation = Relaxation(stages, np.arange(len(stages)), WindowCosts(least_u_s=0.0, below_s=everything[-1] * 1.01))
    bound = relaxation.bound_at(DualPrices.zero(len(stages.shape.devices)))
    labels = LabelSetting(bound, most_u_s=np.inf, enough=enough)
    best = labels.run(most=100_000, late=lambda: False)
    assert best.complete
    assert [value_s for value_s, _ in best.choices] == pytest.approx(everything[:enough])
    assert [search.seconds(choice) for _, choice in best.choices] == pytest.approx(everything[:enough])


def test_a_beam_is_not_called_complete() -> None:
    search = search_of(1, memory=100.0)
    stages = Stages(search.milp)
    relaxation = Relaxation(stages, np.arange(len(stages)), WindowCosts(least_u_s=0.0, below_s=1e3))
    bound = relaxation.bound_at(DualPrices.zero(len(stages.shape.devices)))
    labels = LabelSetting(bound, most_u_s=np.inf)
    assert not labels.run(most=100_000, beam=1, late=lambda: False).complete
    assert not labels.run(most=1, late=lambda: False).complete


@repeatable
@given(seed=st.integers(0, 10_000), share=st.floats(0.0, 1.0))
def test_within_a_limit_it_finds_the_cheapest_choice_that_keeps_it(seed: int, share: float) -> None:
    """Each stage costs something beside its time; the limit lies between the fastest and the slowest choice."""
    search = search_of(seed, layers=3, memory=100.0)
    columns = search.milp.columns
    beside_s = np.random.default_rng(seed).uniform(0.0, 2.0, len(columns.start)) * columns.replicas.sum(axis=1)
    # What a stage costs beside is the same wherever it stands.
    _, first, row = np.unique(
        np.stack([columns.start, columns.stop, columns.group, columns.split]),
        axis=1,
        return_index=True,
        return_inverse=True,
    )
    beside_s = beside_s[first][row.ravel()]
    choices = every_choice(search.milp)
    seconds = {choice: search.seconds(choice) for choice in choices}
    limit_s = min(seconds.values()) * (1 - share) + max(seconds.values()) * share
    costs = {
        choice: seconds[choice] + float(beside_s[list(choice)].sum())
        for choice in choices
        if seconds[choice] <= limit_s * (1 + 1e-9)
    }
    milp = StageMilp(replace(columns, beside_s=beside_s), replace(search.milp.shape, limit_s=limit_s * (1 + 1e-6)))
    found = BranchAndBound(milp, HALF_A_MINUTE, seconds=lambda choice: costs.get(choice, np.inf)).run()
    assert found.value_s == pytest.approx(min(costs.values()), rel=1e-6)
    assert found.bound_s == pytest.approx(found.value_s, rel=1e-6)


def test_a_warm_start_changes_nothing() -> None:
    one = search_of(3, layers=6, devices=4)
    first = BranchAndBound(one.milp, HALF_A_MINUTE, seconds=one.seconds)
    alone = first.run()
    again = BranchAndBound(one.milp, HALF_A_MINUTE, seconds=one.seconds, warm_start=first.warm_start).run()
    assert again.value_s == alone.value_s


def test_stages_know_where_they_may_stand() -> None:
    """Deeper positions hold more micro-batches in flight, so that fewer stages fit."""
    stages = Stages(search_of(0, layers=6, devices=4).milp)
    there = stages.candidate >= 0
    counts = there.sum(axis=0)[2:]
    assert all(after <= before for before, after in pairwise(counts.tolist()))
    assert (stages.furthest == [max(np.flatnonzero(row)) for row in there]).all()


@pytest.mark.parametrize("seed", range(4))
def test_a_search_without_time_does_not_take_what_it_knows_for_the_best(seed: int) -> None:
    """Windows that it had no time to look into may hold a better choice."""
    search = search_of(seed, memory=100.0)
    choices = every_choice(search.milp)
    best_s, worst = min(map(search.seconds, choices)), max(choices, key=search.seconds)
    stopped = BranchAndBound(search.milp, SearchLimits(time_limit_s=0.0, gap=1e-6), seconds=search.seconds).run([worst])
    assert stopped.bound_s <= best_s * (1 + 1e-9)
    assert not stopped.proven


# --- labels ---


def test_devices_taken_are_counted_kind_by_kind() -> None:
    counts = DeviceCounts((2, 3), positions=4)
    taken, more = counts.number(np.array([[0, 0], [2, 1], [1, 3]])), counts.number(np.array([[1, 0], [0, 1], [1, 2]]))
    assert counts.fit(taken, more).tolist() == [[True, True, True], [False, True, False], [True, False, False]]
    first_only = np.array([True, False])
    assert counts.take_all(taken, first_only).tolist() == [False, True, False]


def test_more_kinds_than_a_number_can_count_are_refused() -> None:
    with pytest.raises(PlanError, match="64 kinds of devices are more than can be counted"):
        DeviceCounts((1,) * 64, positions=1)


def test_a_label_goes_only_if_another_of_its_devices_is_as_good_in_everything() -> None:
    """The second costs more, with the same tail; the third has the shorter tail; the fourth takes other devices."""
    one = Labels.empty_end(0, 0)
    labels = joined(
        [
            replace(one, cost_s=np.array([cost_s]), tail_s=np.array([tail_s]))
            for cost_s, tail_s in ((1.0, 2.0), (1.5, 2.0), (1.5, 1.0), (9.0, 9.0))
        ]
    )
    group = np.array([0, 0, 0, 1])
    assert sorted(undominated(labels, group, enough=1).cost_s.tolist()) == [1.0, 1.5, 9.0]
    assert len(undominated(labels, group, enough=2)) == 4, "the second best is asked for as well"
