"""Does a migration bring every rank what it lacks, from those who have it, and no byte more?"""

from collections import defaultdict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from job_builders import a_copy, a_setup, a_situation, pipeline, stages

from edgesim.errors import InfeasibleError
from edgesim.job import Copy, Held, Migration
from edgesim.memory import carried_bytes
from edgesim.planners.cost_models.migration import migrated_bytes as planned_bytes
from edgesim.planners.cost_models.migration import migration_s
from edgesim.recovery.migrations import migrated_bytes, migrating_s, migration, wanted_by
from edgesim.recovery.pieces import numbers_of
from edgesim.recovery.training_setup import TrainingSetup
from edgesim.schedule import Op, Payload
from edgesim.simulator import simulate

repeatable = settings(max_examples=100, deadline=None, derandomize=True, database=None)
SETUP = a_setup(4)
LAYER = carried_bytes(SETUP.problem.model.layers[0], SETUP.problem.workload)  # weights, and a momentum for each


def received(each: Migration) -> dict[int, float]:
    """Bytes by rank."""
    total: dict[int, float] = defaultdict(float)
    for task in each.schedule:
        if task.op is Op.RECV:
            total[task.rank] += task.nbytes
    return dict(total)


def test_where_nothing_is_lacked_there_is_no_migration() -> None:
    plan = pipeline(SETUP, 0, 1, 2)
    assert migration("migration", wanted_by(plan), Held.of_plan(plan, 7), 7, SETUP.problem) is None


def test_version_0_is_everybodys_and_needs_no_messages() -> None:
    assert migration("migration", {0: (0, 6)}, Held(), 0, SETUP.problem) is None


def test_a_layer_comes_from_all_who_hold_it_in_equal_parts() -> None:
    held = Held(copies=(a_copy(0, (0, 2), 5), a_copy(1, (0, 2), 5), a_copy(2, (0, 2), 4)))
    found = migration("migration", {3: (0, 2)}, held, 5, SETUP.problem)
    assert found is not None
    sends = [task for task in found.schedule if task.op is Op.SEND]
    assert [(task.rank, task.peers, task.layers, task.units) for task in sends] == [
        (0, (3,), (0, 2), (0, 2000)),
        (1, (3,), (0, 2), (2000, 4000)),
    ]
    assert found.arriving == (a_copy(3, (0, 2), 5),)


def test_only_those_send_who_are_named() -> None:
    held = Held(copies=(a_copy(0, (0, 6), 5), a_copy(1, (0, 6), 5)))
    found = migration("scatter", {0: (0, 6), 1: (0, 6), 2: (0, 3)}, held, 5, SETUP.problem, senders=(1,))
    assert found is not None
    assert {(task.rank, task.peers) for task in found.schedule if task.op is Op.SEND} == {(1, (2,))}


def test_a_layer_that_nobody_holds_in_this_version_is_named() -> None:
    held = Held(copies=(a_copy(0, (0, 3), 5), a_copy(1, (3, 6), 4)))
    with pytest.raises(InfeasibleError, match="rank 0 lacks layer l3 of chain6 in version 5, and nobody holds it"):
        migration("migration", {0: (0, 6)}, held, 5, SETUP.problem)


def test_neighbours_move_at_once() -> None:
    """Two layers to the left and two to the right take as long as two."""
    setup = a_setup(4)
    old, new = pipeline(setup, 0, 1, 2), stages(setup, [0, 3, 6], [[0], [2]])
    found = migration("migration", wanted_by(new), Held.of_plan(old, 3), 3, setup.problem)
    assert found is not None
    problem = setup.problem
    trace = simulate(found.schedule, cluster=problem.cluster, model=problem.model, profile=problem.profile, tokens=1)
    assert trace.makespan_s == pytest.approx(2 * LAYER / 1e6 + 0.001)  # both come from rank 1
    assert migrating_s((found,), problem) == pytest.approx(2 * LAYER / 1e6)


def test_planners_count_the_same_bytes_and_seconds() -> None:
    """What ``ilp_replan`` reckons with is what is sent."""
    situation = a_situation(SETUP, pipeline(SETUP, 0, 1, 2), lost=[1])
    old, new = situation.phase.plan, stages(SETUP, [0, 1, 6], [[0], [2]])
    found = migration("migration", wanted_by(new), situation.held, 20, SETUP.problem)
    assert found is not None
    planned = planned_bytes(SETUP.problem, old, new, [1])
    assert received(found) == {rank: nbytes for rank, nbytes in planned.items() if nbytes}
    assert migrating_s((found,), SETUP.problem) == pytest.approx(migration_s(SETUP.problem, old, new, [1]))


def test_what_two_lack_is_sent_once_and_takes_little_longer_than_for_one() -> None:
    """They pass on quarters of their halves to each other: an eighth is still under way when the last has left."""
    held, wanted, problem = Held(copies=(a_copy(2, (0, 6), 5),)), {0: (0, 6), 1: (0, 6)}, SETUP.problem
    seconds = []
    for relays in (False, True):
        found = migration("migration", wanted, held, 5, problem, relays=relays)
        assert found is not None
        assert received(found) == {0: 6 * LAYER, 1: 6 * LAYER}
        nouns = {"cluster": problem.cluster, "model": problem.model, "profile": problem.profile}
        seconds.append(simulate(found.schedule, **nouns, tokens=1).makespan_s)  # type: ignore[arg-type]
    whole_s = 6 * LAYER / 1e6
    assert seconds[0] == pytest.approx(2 * whole_s, rel=0.05)
    assert whole_s < seconds[1] < 1.3 * whole_s


@st.composite
def drawn(draw: st.DrawFn) -> tuple[TrainingSetup, Held, dict[int, tuple[int, int]]]:
    """Some copies in two versions, of which one is whole, and ranges that ranks shall hold."""
    setup = a_setup(draw(st.integers(2, 5)), layers=draw(st.integers(1, 7)))
    layers, ranks = len(setup.problem.model.layers), list(setup.problem.ranks)

    def a_range() -> tuple[int, int]:
        start = draw(st.integers(0, layers - 1))
        return start, draw(st.integers(start + 1, layers))

    copies = [a_copy(draw(st.sampled_from(ranks)), a_range(), draw(st.sampled_from([3, 8]))) for _ in range(4)]
    whole = [Copy(rank=draw(st.sampled_from(ranks)), layers=(i, i + 1), version=8) for i in range(layers)]
    wanted = {rank: a_range() for rank in draw(st.sets(st.sampled_from(ranks)))}
    return setup, Held(copies=(*copies, *whole)), wanted


@repeatable
@given(drawn(), st.booleans())
def test_a_migration_brings_exactly_what_is_lacked(
    case: tuple[TrainingSetup, Held, dict[int, tuple[int, int]]], relays: bool
) -> None:
    setup, held, wanted = case
    model, workload = setup.problem.model, setup.problem.workload
    lacked = {
        rank: [layer for layer in range(*layers) if rank not in held.holders(layer, 8)]
        for rank, layers in wanted.items()
    }
    found = migration("migration", wanted, held, 8, setup.problem, relays=relays)
    if found is None:
        assert not any(lacked.values())
        return
    arrived = {(copy.rank, layer) for copy in found.arriving for layer in range(*copy.layers)}
    assert arrived == {(rank, layer) for rank, layers in lacked.items() for layer in layers}
    assert {copy.version for copy in found.arriving} == {8}
    numbers: dict[tuple[int, tuple[int, int]], list[int]] = defaultdict(list)
    for task in found.schedule:
        assert task.payload is Payload.WEIGHTS
        assert task.nbytes == 4 * (task.units[1] - task.units[0]) > 0
        if task.op is Op.SEND:
            has = all(task.rank in held.holders(layer, 8) for layer in range(*task.layers))
            assert has is not bool(task.needs)  # else it passes on what it has received
            numbers[task.peers[0], task.layers] += range(*task.units)
    for (_, layers), moved in numbers.items():
        assert sorted(moved) == list(range(numbers_of(model, layers, workload)))
    assert set(numbers) == {(copy.rank, copy.layers) for copy in found.arriving}
    assert migrated_bytes((found,)) == sum(map(len, lacked.values())) * LAYER
