"""What do policies answer? Who holds what afterwards, from which version on, what moves, and whether it pays."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import pytest
from builders import chain, radio, switched
from hypothesis import given, settings
from hypothesis import strategies as st
from job_builders import a_setup, a_situation, pipeline, stages

from edgesim.errors import InfeasibleError, NothingFitsError
from edgesim.job import Recover, Recovery
from edgesim.model import Cost
from edgesim.plan import Plan
from edgesim.planners.literature.asteroid import asteroid
from edgesim.planners.problem import Problem
from edgesim.recovery.heavy import heavy
from edgesim.recovery.lightweight import lightweight
from edgesim.recovery.migrations import migrated_bytes
from edgesim.recovery.proven import proven
from edgesim.recovery.restart import restart
from edgesim.recovery.survivors import among, planned_among
from edgesim.recovery.training_setup import TrainingSetup
from edgesim.schedule import Op

repeatable = settings(max_examples=60, deadline=None, derandomize=True, database=None)
POLICIES: dict[str, Callable[[TrainingSetup], Recover]] = {
    "lightweight": lightweight,
    "heavy": partial(heavy, planner=asteroid),
    "restart": restart,
    "proven": partial(proven, time_limit_s=5.0),
}


def layers_of(recovery: Recovery) -> list[tuple[tuple[int, int], tuple[int, ...]]]:
    return [(stage.layers, stage.ranks) for stage in recovery.phase.plan.stages]


def senders(recovery: Recovery) -> set[int]:
    return {task.rank for each in recovery.migrations for task in each.schedule if task.op is Op.SEND}


# --- lightweight ---


def test_a_lost_replica_leaves_layers_where_they_are_and_its_samples_to_its_group() -> None:
    setup = a_setup(4, samples=4, speeds=[1, 1, 3, 1])
    plan = stages(setup, [0, 3, 6], [[0], [1, 2, 3]])
    answer = lightweight(setup)(a_situation(setup, plan, lost=[1]))
    assert layers_of(answer) == [((0, 3), (0,)), ((3, 6), (2, 3))]
    assert answer.phase.plan.stages[1].samples == (3, 1)  # one is three times as fast
    assert (answer.version, answer.migrations, answer.restarts) == (20, (), False)
    assert answer.phase.iterations == 100


def test_a_lost_stage_comes_from_its_backup_and_layers_are_divided_by_speed() -> None:
    setup = a_setup(3, speeds=[1, 1, 2])
    answer = lightweight(setup)(a_situation(setup, pipeline(setup, 0, 1, 2), lost=[1], replicated=17, done=20))
    assert layers_of(answer) == [((0, 2), (0,)), ((2, 6), (2,))]
    assert answer.version == 17
    assert answer.migrations == ()  # rank 2 keeps rank 1's layers
    assert answer.phase.iterations == 103
    assert "from iteration 17 on (3 done anew)" in answer.says


def test_layers_move_to_the_neighbour_that_is_to_compute_them() -> None:
    setup = a_setup(3)
    answer = lightweight(setup)(a_situation(setup, pipeline(setup, 0, 1, 2), lost=[2]))
    assert layers_of(answer) == [((0, 3), (0,)), ((3, 6), (1,))]
    (moved,) = answer.migrations
    # Layer 2 from rank 1 to rank 0, layers 4 and 5 from their backup on rank 0 to rank 1.
    assert [(copy.rank, copy.layers) for copy in moved.arriving] == [(0, (2, 3)), (1, (4, 6))]
    assert senders(answer) == {0, 1}


def test_layers_that_both_replicas_lack_are_sent_once_and_passed_on() -> None:
    """Two fast replicas lack the lost stage, which the slow last rank keeps."""
    setup = a_setup(4, speeds=[9, 9, 1, 1])
    plan = stages(setup, [0, 2, 4, 6], [[0, 1], [2], [3]])
    answer = lightweight(setup)(a_situation(setup, plan, lost=[2]))
    (moved,) = answer.migrations
    sent = {rank: 0 for rank in (0, 1, 3)}
    for task in moved.schedule:
        sent[task.rank] += task.nbytes if task.op is Op.SEND else 0
    # Layers 2 and 3 come from rank 3 once, half to each; layer 4, whose backup rank 0 has, from both to rank 1.
    layer = 8000  # its weights and their momenta
    assert sent == {3: 2 * layer + layer / 2, 0: layer + layer / 2, 1: layer}


def test_of_equal_divisions_the_one_is_taken_that_moves_less() -> None:
    """Seven layers on two equal ranks are four and three either way; rank 1 has the first four, or the last."""
    setup = a_setup(3, layers=7)
    for cuts, division in (([0, 4, 5, 7], [(0, 4), (4, 7)]), ([0, 2, 3, 7], [(0, 3), (3, 7)])):
        plan = stages(setup, cuts, [[0], [1], [2]])
        answer = lightweight(setup)(a_situation(setup, plan, lost=[1]))
        assert [layers for layers, _ in layers_of(answer)] == division


def test_a_pipeline_may_be_a_little_slower_so_that_less_moves() -> None:
    setup = a_setup(3, layers=12)
    plan = stages(setup, [0, 4, 5, 12], [[0], [1], [2]])
    situation = a_situation(setup, plan, lost=[1])
    divisions = [[layers for layers, _ in layers_of(lightweight(setup, within=w)(situation))] for w in (0, 0.2)]
    assert divisions == [[(0, 6), (6, 12)], [(0, 5), (5, 12)]]
    with pytest.raises(ValueError, match="within must be a share >= 0"):
        lightweight(setup, within=-0.1)(situation)


def test_who_leaves_politely_hands_over_what_it_has_and_nothing_is_done_anew() -> None:
    setup = a_setup(3)
    answer = lightweight(setup)(a_situation(setup, pipeline(setup, 0, 1, 2), leaving=[1], replicated=None))
    assert layers_of(answer) == [((0, 3), (0,)), ((3, 6), (2,))]
    assert answer.version == 20
    assert senders(answer) == {1}


def test_without_backups_all_go_back_to_the_beginning_which_everybody_can_draw() -> None:
    setup = a_setup(3, replicate=False)
    answer = lightweight(setup)(a_situation(setup, pipeline(setup, 0, 1, 2), lost=[1], replicated=None))
    assert (answer.version, answer.migrations, answer.restarts) == (0, (), False)
    assert answer.phase.iterations == 120


@pytest.mark.parametrize(("checkpoint", "version", "restarts"), [(15, 17, False), (18, 18, True)])
def test_the_newest_version_counts_wherever_it_is(checkpoint: int, version: int, restarts: bool) -> None:
    setup = a_setup(3)
    situation = a_situation(setup, pipeline(setup, 0, 1, 2), lost=[1], replicated=17, checkpoint=checkpoint)
    answer = lightweight(setup)(situation)
    assert (answer.version, answer.restarts) == (version, restarts)


def test_memory_decides_before_speed() -> None:
    """The fast board has no room for four of six layers."""
    setup = a_setup(3, speeds=[1, 1, 2], memory_bytes=58_000)
    fast = lightweight(setup)(a_situation(setup, pipeline(setup, 0, 1, 2), lost=[1]))
    assert layers_of(fast) == [((0, 3), (0,)), ((3, 6), (2,))]


def test_layers_that_share_trained_weights_stay_together() -> None:
    model = chain(6)
    shared = replace(model.layers[5].blocks[0], tied_bytes=4000, tied_to="l4")
    tied = replace(model, layers=(*model.layers[:5], replace(model.layers[5], blocks=(shared,))))
    for each, cut in ((model, 5), (tied, 4)):
        setup = a_setup(3, model=each, speeds=[5, 1, 1])
        plan = stages(setup, [0, 2, 4, 6], [[0], [1], [2]])
        assert layers_of(lightweight(setup)(a_situation(setup, plan, lost=[1]))) == [((0, cut), (0,)), ((cut, 6), (2,))]


def test_messages_count_if_they_shall() -> None:
    """Behind layer 2 they are small; as published nobody asks."""
    model = chain(6, output_bytes=500_000)
    small = replace(model.layers[1].blocks[0], output_bytes=Cost(per_sample=10.0))
    narrow = replace(model, layers=(model.layers[0], replace(model.layers[1], blocks=(small,)), *model.layers[2:]))
    for counts, cut in ((False, 3), (True, 2)):
        setup = replace(a_setup(3, model=narrow), counts_messages=counts)
        answer = lightweight(setup)(a_situation(setup, pipeline(setup, 0, 1, 2), lost=[1]))
        assert layers_of(answer) == [((0, cut), (0,)), ((cut, 6), (2,))]


def test_what_fits_nowhere_is_said() -> None:
    setup = a_setup(3, memory_bytes=45_000)
    with pytest.raises(NothingFitsError, match=r"no pipeline of ranks 0 \| 2 of chain6"):
        lightweight(setup)(a_situation(setup, pipeline(setup, 0, 1, 2), lost=[1]))


def test_a_plan_of_which_nobody_is_left_cannot_be_replayed() -> None:
    setup = a_setup(3)
    with pytest.raises(InfeasibleError, match="no rank of the plan is left"):
        lightweight(setup)(a_situation(setup, pipeline(setup, 0, 1), lost=[0, 1], idle=[2]))


# --- who comes ---


@pytest.mark.parametrize("policy", POLICIES)
def test_who_comes_is_used_where_that_pays(policy: str) -> None:
    setup = a_setup(3)
    answer = POLICIES[policy](setup)(a_situation(setup, pipeline(setup, 0, 1), joining=[2], left=1000))
    assert set(answer.phase.plan.ranks) == {0, 1, 2}
    assert (answer.version, answer.restarts) == (20, False)
    assert {copy.rank for each in answer.migrations for copy in each.arriving} >= {2}


def test_of_equally_good_places_who_comes_takes_that_to_which_least_moves() -> None:
    """Two layers in the middle; at an end a neighbour would receive a third."""
    setup = a_setup(3, network=radio(3, bytes_per_s=1e6))
    answer = lightweight(setup)(a_situation(setup, pipeline(setup, 0, 1), joining=[2], replicated=None))
    assert layers_of(answer) == [((0, 2), (0,)), ((2, 4), (2,)), ((4, 6), (1,))]


def test_who_comes_back_is_used_as_a_known_plan_says() -> None:
    """Which a planner has made, and no stage's division by FLOP would find."""
    setup = a_setup(4, samples=4, speeds=[4, 1, 1, 1])
    first = stages(setup, [0, 4, 6], [[0, 3], [1, 2]])
    left = stages(setup, [0, 2, 4, 6], [[1], [0], [2]])
    for known, back in (((), False), ((first,), True)):
        answer = lightweight(replace(setup, known=known))(a_situation(setup, left, joining=[3]))
        assert (layers_of(answer) == [((0, 4), (0, 3)), ((4, 6), (1, 2))]) is back


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize(("left", "change_s"), [(1, 1.0), (1000, 1e6)])
def test_who_comes_too_late_is_not_used_and_the_answer_says_why(policy: str, left: int, change_s: float) -> None:
    setup = a_setup(3, change_s=change_s)
    situation = a_situation(setup, pipeline(setup, 0, 1), joining=[2], left=left)
    answer = POLICIES[policy](setup)(situation)
    assert answer.phase is situation.phase
    assert answer.version == 20
    assert answer.says.startswith("goes on as before")
    assert "costs" in answer.says


@pytest.mark.parametrize("policy", POLICIES)
def test_an_idle_rank_that_is_gone_changes_nothing(policy: str) -> None:
    setup = a_setup(3)
    situation = a_situation(setup, pipeline(setup, 0, 1), lost=[2])
    assert POLICIES[policy](setup)(situation).phase is situation.phase


@pytest.mark.parametrize("policy", POLICIES)
def test_who_was_lost_before_and_has_not_been_replaced_counts(policy: str) -> None:
    """A migration was ended by a second loss: the plan still names the first."""
    setup = a_setup(4)
    situation = a_situation(setup, pipeline(setup, 0, 1, 2, 3), lost=[1])
    second = replace(situation, present=(0, 2), change=replace(situation.change, lost=(3,)))
    second = replace(second, held=situation.held.without([3]))
    assert set(POLICIES[policy](setup)(second).phase.plan.ranks) <= {0, 2}


# --- the others ---


def test_heavy_gathers_at_the_coordinator_and_scatters_from_there() -> None:
    setup = a_setup(4, network=switched(4, bytes_per_s=1e5))
    situation = a_situation(setup, pipeline(setup, 0, 1, 2, 3), lost=[3])
    gather, scatter = heavy(setup, planner=_even_of(setup), coordinator=1)(situation).migrations
    assert [(copy.rank, copy.layers) for copy in gather.arriving] == [(1, (3, 4)), (1, (4, 6))]
    assert {task.rank for task in scatter.schedule if task.op is Op.SEND} == {1}
    # Rank 0 gets what it has held all the time, as published.
    assert [(copy.rank, copy.layers) for copy in scatter.arriving] == [(0, (0, 2)), (2, (4, 6))]


def test_heavy_that_sends_what_is_missing_spares_ranks_what_they_have() -> None:
    setup = a_setup(4, network=switched(4, bytes_per_s=1e5))
    situation = a_situation(setup, pipeline(setup, 0, 1, 2, 3), lost=[3])
    both = heavy(setup, planner=_even_of(setup), coordinator=1, only_missing=True)(situation).migrations
    assert [(copy.rank, copy.layers) for copy in both[1].arriving] == [(2, (4, 6))]


def _even_of(setup: TrainingSetup) -> Callable[[Problem], Plan]:
    """A stage for each rank."""

    def planner(problem: Problem) -> Plan:
        ranks = problem.ranks
        cuts = [round(6 * p / len(ranks)) for p in range(len(ranks) + 1)]
        return stages(replace(setup, problem=problem), cuts, [[rank] for rank in ranks])

    return planner


def test_restart_reads_the_last_checkpoint_or_begins_anew() -> None:
    setup = a_setup(3)
    for checkpoint, left in ((0, 120), (15, 105)):
        situation = a_situation(setup, pipeline(setup, 0, 1, 2), lost=[1], checkpoint=checkpoint)
        answer = restart(setup)(situation)
        assert (answer.version, answer.restarts, answer.migrations) == (checkpoint, True, ())
        assert answer.phase.iterations == left


def test_restart_needs_none_for_who_leaves_politely() -> None:
    setup = a_setup(3)
    answer = restart(setup)(a_situation(setup, pipeline(setup, 0, 1, 2), leaving=[1]))
    assert (answer.version, answer.restarts) == (20, False)


def test_the_proven_answer_is_never_behind_the_replayed_one() -> None:
    """By what both minimise: what moves, and all iterations that are left."""
    setup = a_setup(4, samples=4, speeds=[1, 2, 1, 3])
    situation = a_situation(setup, pipeline(setup, 0, 1, 2, 3), lost=[1], left=10)
    best, quick = POLICIES["proven"](setup)(situation), lightweight(setup)(situation)
    assert best.phase.plan.predicted_s is not None
    assert quick.phase.plan.predicted_s is not None
    assert best.phase.plan.predicted_s <= quick.phase.plan.predicted_s * (1 + 1e-6)
    assert "proven within" in best.says


def test_some_ranks_are_a_cluster_of_their_own() -> None:
    setup = a_setup(4, speeds=[1, 2, 3, 4])
    part = among(setup.problem, [3, 1])
    assert [device.name for device in part.cluster.devices] == ["d3", "d1"]
    plan = planned_among(_even_of(setup), setup.problem, [3, 1])
    assert plan.ranks == (3, 1)


@st.composite
def losses(draw: st.DrawFn) -> tuple[TrainingSetup, Plan, int]:
    """A pipeline of stages with one or two ranks of various speeds, and one of them."""
    sizes = draw(st.lists(st.integers(1, 2), min_size=1, max_size=4).filter(lambda sizes: sum(sizes) > 1))
    layers, ranks = draw(st.integers(len(sizes), 9)), sum(sizes)
    setup = a_setup(
        ranks,
        layers=layers,
        speeds=[draw(st.integers(1, 3)) for _ in range(ranks)],
        model=chain(layers, output_bytes=10.0),
    )
    inner = draw(st.permutations(range(1, layers)))[: len(sizes) - 1]
    groups = [range(sum(sizes[:s]), sum(sizes[: s + 1])) for s in range(len(sizes))]
    return setup, stages(setup, [0, *sorted(inner), layers], groups), draw(st.integers(0, ranks - 1))


@repeatable
@given(losses())
def test_to_the_same_plan_lightweight_never_moves_more_than_heavy(case: tuple[TrainingSetup, Plan, int]) -> None:
    """Not to any plan: the full planner may leave to a coordinator that has gathered all what replay divides."""
    setup, plan, lost = case
    situation = a_situation(setup, plan, lost=[lost])
    quick = lightweight(setup)(situation)
    ranks = {rank: number for number, rank in enumerate(situation.present)}
    same = tuple(replace(stage, ranks=tuple(ranks[rank] for rank in stage.ranks)) for stage in quick.phase.plan.stages)
    thorough = heavy(setup, planner=lambda _: replace(quick.phase.plan, stages=same))(situation)
    assert thorough.phase.plan == quick.phase.plan
    assert migrated_bytes(quick.migrations) <= migrated_bytes(thorough.migrations)


@repeatable
@given(losses(), st.sampled_from(["lightweight", "heavy", "restart"]))
def test_what_a_policy_answers_is_whole(case: tuple[TrainingSetup, Plan, int], policy: str) -> None:
    """All ranks of the new plan are there, and hold its layers in the version once all has arrived."""
    setup, plan, lost = case
    situation = a_situation(setup, plan, lost=[lost], done=25, replicated=20)
    answer = POLICIES[policy](setup)(situation)
    assert set(answer.phase.plan.ranks) <= set(situation.present)
    assert answer.phase.iterations == situation.left + situation.done - answer.version
    held = situation.held.with_copies(copy for each in answer.migrations for copy in each.arriving)
    for stage in answer.phase.plan.stages:
        for rank in stage.ranks:
            for layer in range(*stage.layers):
                assert answer.version == 0 or rank in held.holders(layer, answer.version)
