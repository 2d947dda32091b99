"""Columns say what tasks and names said: the same text, hash, dependencies, and words for what is wrong."""

from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest
from block_builders import BERT, infer, train
from builders import chain, collective, compute, data_plan, receive, schedule_of, send, workload
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from schedule_oracle import OldGraph, old_graph, old_programs
from test_properties import Case, cases

from edgesim.errors import ScheduleError
from edgesim.schedule import Graph, Op, Schedule, Task
from edgesim.strategies.hybrid_pipeline import hybrid_pipeline
from edgesim.workload import Purpose

repeatable = settings(max_examples=60, deadline=None, derandomize=True, database=None)
thorough = settings(repeatable, max_examples=200)
Programs = Sequence[Sequence[Task]]


def outcome(check: Callable[[], Any]) -> Any:
    """What a check returns, or the words with which it refuses."""
    try:
        return check()
    except ScheduleError as refusal:
        return str(refusal)


def same(new: Graph | str, old: OldGraph | str) -> bool:
    """Whether two checks say the same, number by number."""
    if isinstance(new, str) or isinstance(old, str):
        return new == old
    return all(getattr(new, field.name) == getattr(old, field.name) for field in fields(OldGraph))


@st.composite
def plans(draw: st.DrawFn) -> Case:
    """Random plans of training and inference, with any depths: some are deadlocks."""
    case = draw(cases())
    if draw(st.booleans()):
        return replace(case, workload=replace(case.workload, purpose=Purpose.INFER))
    depths = [draw(st.integers(1, case.plan.micro_batches + 1)) for _ in case.plan.stages]
    stages = tuple(replace(stage, in_flight=k) for stage, k in zip(case.plan.stages, depths, strict=True))
    return replace(case, plan=replace(case.plan, stages=stages))


@repeatable
@given(plans())
def test_any_plan_has_the_text_the_hash_and_the_dependencies_that_it_had(case: Case) -> None:
    programs = old_programs(case.plan, case.model, case.workload)
    old, new = outcome(lambda: old_graph(programs)), outcome(lambda: case.schedule.graph)
    assert same(new, old)
    if not isinstance(new, str):
        assert case.schedule.to_text() == Schedule(programs).to_text()
        assert case.schedule.hash == Schedule(programs).hash
        assert case.schedule == Schedule(programs) == Schedule.from_text(case.schedule.to_text())
        assert len(case.schedule) == len(Schedule(programs)) == sum(map(len, programs))


@st.composite
def broken(draw: st.DrawFn, programs: Programs) -> Programs:
    """The programs with up to two things changed; few of these can be played."""
    changed = [list(program) for program in programs]
    tasks = [task for program in programs for task in program]
    for _ in range(draw(st.integers(1, 2))):
        rank = draw(st.sampled_from([rank for rank, program in enumerate(changed) if program] or [0]))
        assume(changed[rank])
        i = draw(st.integers(0, len(changed[rank]) - 1))
        task = changed[rank][i]
        match draw(st.sampled_from(["lose", "double", "move", "bytes", "samples", "need", "peers", "layers", "stage"])):
            case "lose":
                del changed[rank][i]
            case "double":
                changed[draw(st.integers(0, len(changed) - 1))].append(task)
            case "move":
                changed[rank].insert(draw(st.integers(0, len(changed[rank]) - 1)), changed[rank].pop(i))
            case "bytes":
                changed[rank][i] = replace(task, nbytes=task.nbytes + draw(st.sampled_from([1, 2**70])))
            case "samples":
                changed[rank][i] = replace(task, samples=(0, task.samples[1] + 1))
            case "need":
                needed = draw(st.sampled_from([*tasks, task])).name
                changed[rank][i] = replace(task, needs=(*task.needs, draw(st.sampled_from([needed, "0F99@0"]))))
            case "peers":
                changed[rank][i] = replace(task, peers=task.peers[::-1])
            case "layers":
                changed[rank][i] = replace(task, layers=(7, 8))
            case "stage":
                changed[rank][i] = replace(task, stage=task.stage + 1)
    return changed


@thorough
@given(cases(), st.data())
def test_whatever_is_wrong_is_said_in_the_words_in_which_it_was_said(case: Case, data: st.DataObject) -> None:
    programs = data.draw(broken(case.schedule.programs))
    assert same(outcome(lambda: Schedule(programs).graph), outcome(lambda: old_graph(programs)))


@pytest.mark.parametrize("micro_batches", [1, 2])
@pytest.mark.parametrize("strategy", ["tensor", "sequence", "hybrid_model"])
def test_divided_blocks_have_the_dependencies_that_they_had(strategy: str, micro_batches: int) -> None:
    schedules = [infer(BERT, strategy, 3), train(BERT, strategy, 3, micro_batches=micro_batches)]
    for schedule in schedules:
        assert same(schedule.graph, old_graph(schedule.programs))
        assert Schedule(schedule.programs).to_text() == schedule.to_text()


@repeatable
@given(st.data())
def test_broken_programs_of_blocks_are_refused_in_the_same_words(data: st.DataObject) -> None:
    programs = data.draw(broken(infer(BERT, data.draw(st.sampled_from(["tensor", "hybrid_model"])), 2).programs))
    assert same(outcome(lambda: Schedule(programs).graph), outcome(lambda: old_graph(programs)))


@pytest.mark.parametrize(
    "programs",
    [
        [],
        [[]],
        [[], [compute(Op.F, 1)]],
        [[send(0, 1, 2**70)], [receive(1, 0, 2**70)]],
        [[send(0, 1, 1, micro_batch=2**31 - 1)], [receive(1, 0, 1, micro_batch=2**31 - 1)]],
        [[task] for task in collective(Op.ALL_GATHER, [1, 0], 5)[::-1]],
        [collective(Op.ALL_REDUCE, [0], 5)],
        [[send(0, 1, 1), replace(send(0, 1, 1), stage=4)], [receive(1, 0, 1)]],
    ],
)
def test_odd_programs_are_played_or_refused_as_they_were(programs: list[list[Task]]) -> None:
    assert same(outcome(lambda: schedule_of(*programs).graph), outcome(lambda: old_graph(programs)))


@pytest.mark.parametrize("micro_batch", [-1, 2**31])
def test_micro_batches_that_no_column_holds_are_refused(micro_batch: int) -> None:
    with pytest.raises(ValueError, match=rf"micro-batches have numbers from 0 to 2\^31 - 1, got {micro_batch}"):
        compute(Op.F, 0, micro_batch)


@repeatable
@given(cases())
def test_arrays_and_tuples_of_a_graph_say_the_same_and_its_order_is_one(case: Case) -> None:
    graph = case.schedule.graph
    place = {node: i for i, node in enumerate(graph.order)}
    assert sorted(place) == list(range(len(graph.members)))
    for node in range(len(graph.members)):
        a, b = graph.member_starts[node : node + 2]
        assert tuple(graph.member_tasks[a:b]) == graph.members[node]
        ended, sent, then = graph.unlock_starts[2 * node : 2 * node + 3]
        assert tuple(graph.unlock_nodes[ended:sent]) == graph.unlocks[node]
        assert tuple(graph.unlock_nodes[sent:then]) == graph.sent_unlocks[node]
        assert all(place[node] < place[other] for other in (*graph.unlocks[node], *graph.sent_unlocks[node]))
    assert tuple(graph.wait_counts) == graph.waits
    assert tuple(graph.task_nodes) == graph.node_of


def test_columns_ask_once_for_what_depends_on_a_kind() -> None:
    schedule = hybrid_pipeline(
        data_plan(chain(1), [2, 1], micro_batches=4), chain(1), workload(micro_batches=4, micro_batch_samples=3)
    )
    asked = []
    nbytes = schedule.columns.each(lambda kind: asked.append(kind) or kind.nbytes, np.int64)
    assert nbytes.tolist() == [task.nbytes for task in schedule]
    assert len(asked) == len(schedule.columns.kinds) == 8 < len(schedule)


def test_members_of_a_collective_share_one_ring_that_is_a_tuple_like_any_other() -> None:
    schedule = hybrid_pipeline(data_plan(chain(1), [1, 1, 1]), chain(1), workload(micro_batch_samples=3))
    rings = [task.peers for task in schedule if task.op is Op.ALL_REDUCE]
    assert all(ring is rings[0] for ring in rings)
    assert rings[0] == (0, 1, 2)
    assert hash(rings[0]) == hash((0, 1, 2))
