"""Laws of all schedules over blocks: nothing is lost, nothing counts twice, nothing is faster than it can be."""

from collections import Counter, defaultdict
from dataclasses import dataclass
from functools import cache, cached_property
from itertools import accumulate, pairwise

import pytest
from block_builders import (
    CHAINS,
    COLUMNS,
    DECODERS,
    MODELS,
    SAMPLES,
    STRATEGIES,
    TOKENS,
    asked_of,
    block_plan,
    boards,
    heads_of,
    played,
)
from builders import switched
from hypothesis import given, settings
from hypothesis import strategies as st

from edgesim.apportion import at_least_one
from edgesim.cluster import Cluster
from edgesim.model import Model, divided
from edgesim.plan import Plan
from edgesim.schedule import COLLECTIVE, COMPUTE, MESSAGE, Op, Payload, Schedule, Task
from edgesim.trace import Trace
from edgesim.work import work_of
from edgesim.workload import Purpose, Workload

repeatable = settings(max_examples=60, deadline=None, derandomize=True, database=None)
SLACK_S = 1e-9


@dataclass(frozen=True, kw_only=True)
class Case:
    """A strategy, what it divides how, and what is asked."""

    model: Model
    strategy: str
    plan: Plan
    workload: Workload
    how: dict[str, object]
    cluster: Cluster

    @property
    def ranks(self) -> tuple[int, ...]:
        return self.plan.stages[0].ranks

    @cached_property
    def schedule(self) -> Schedule:
        return STRATEGIES[self.strategy](self.plan, self.model, self.workload, **self.how)

    @cached_property
    def trace(self) -> Trace:
        return played(self.schedule, self.model, self.cluster)

    @cached_property
    def tasks(self) -> dict[str, Task]:
        return {task.name: task for task in self.schedule}

    def seconds(self, task: Task) -> float:
        """By FLOPs; these boards move bytes in no time."""
        return self.flop(task) / self.cluster.devices[task.rank].flop_per_s

    def flop(self, task: Task) -> float:
        work = work_of(task, self.model, self.workload.tokens)
        block = divided(self.model.block(work.block), work.share)
        if task.op is Op.UPDATE:
            return 2 * block.parameter_bytes / 4
        cost = block.forward_flop if task.op is Op.F else block.backward_flop
        return cost(work.samples, work.tokens, work.keys)


@st.composite
def shares(draw: st.DrawFn, total: int, ranks: int) -> tuple[int, ...]:
    """Any cut of so many among the ranks, each with one or more."""
    return at_least_one(total, [draw(st.integers(1, 20)) for _ in range(ranks)])


@st.composite
def cases(draw: st.DrawFn, *, models: dict[str, Model] = MODELS, purposes: tuple[str, ...] = ()) -> Case:
    name, strategy = draw(st.sampled_from(sorted(models))), draw(st.sampled_from(sorted(STRATEGIES)))
    tied = name in ("t5", "bart")  # trained by tokens only
    possible = ["infer"] + ["train"] * (not tied or strategy == "sequence") + ["generate"] * (name in DECODERS)
    purpose = draw(st.sampled_from([p for p in possible if not purposes or p in purposes]))
    n = draw(st.integers(2, 5))
    micro_batches = 1 if purpose == "generate" else draw(st.integers(1, 3))
    plan = block_plan(
        models[name],
        strategy,
        draw(st.permutations(range(n))),
        micro_batches=micro_batches,
        in_flight=draw(st.integers(1, 3)),
        heads=draw(shares(heads_of(models[name]), n)),
        columns=draw(shares(COLUMNS, n)),
        tokens=draw(shares(TOKENS, n)),
    )
    more = {} if purpose == "train" else {"purpose": Purpose.INFER}
    new_tokens = draw(st.integers(1, 3)) if purpose == "generate" else 0
    how = {"exchange": draw(st.sampled_from(["ring", "star"]))}
    if strategy == "hybrid_model":
        how["overlap"] = draw(st.booleans())
    network = switched(n, bytes_per_s=draw(st.floats(1e5, 1e7)), latency_s=draw(st.sampled_from([0.0, 0.003])))
    speeds = [draw(st.floats(1e8, 1e10)) for _ in range(n)]
    return Case(
        model=models[name],
        strategy=strategy,
        plan=plan,
        workload=asked_of(plan, new_tokens=new_tokens, **more),
        how=how,
        cluster=boards(n, network, flop_per_s=speeds),
    )


# --- what is written --------------------------------------------------------------------------------------------------


@repeatable
@given(cases())
def test_a_schedule_can_be_played_and_survives_its_text(case: Case) -> None:
    case.schedule.check()
    again = Schedule.from_text(case.schedule.to_text())
    assert again == case.schedule
    assert again.hash == case.schedule.hash


@repeatable
@given(cases())
def test_no_task_needs_one_that_is_written_later(case: Case) -> None:
    """So that a program can be read from top to bottom."""
    for program in case.schedule.programs:
        place = {task.name: i for i, task in enumerate(program)}
        assert all(place[need] < place[task.name] for task in program for need in task.needs)


# --- where numbers come from ------------------------------------------------------------------------------------------


def parts_in(case: Case):
    """A function from a message to who is added up in it, by what it needs; a tile is its owner's alone."""
    sends = {task.meeting: task for task in case.schedule if task.op is Op.SEND}
    position = {rank: i for i, rank in enumerate(case.ranks)}

    @cache
    def parts(name: str) -> Counter[int]:
        task = case.tasks[name]
        if task.op is Op.RECV:
            return parts(sends[task.meeting].name)
        needed = [case.tasks[need] for need in task.needs]
        own = Counter({position[task.rank]: int(any(need.op in COMPUTE for need in needed))})
        return sum((parts(need.name) for need in needed if need.op is Op.RECV), +own)

    return parts


@repeatable
@given(cases())
def test_every_partial_sum_reaches_its_owner_with_everybodys_part_once(case: Case) -> None:
    """Its consumer needs all receives that bring it; all of them together hold every other rank's part once."""
    parts, n = parts_in(case), len(case.ranks)
    position = {rank: i for i, rank in enumerate(case.ranks)}
    arrived: dict[tuple[object, ...], Counter[int]] = defaultdict(Counter)
    for task in case.schedule:
        if task.op is Op.RECV and task.payload is Payload.PARTIAL and position[task.rank] == task.tile:
            arrived[task.micro_batch, task.block, task.tile] += parts(task.name)
    for (_, _, tile), sources in arrived.items():
        assert sources == Counter(set(range(n)) - {tile})
    tiles: dict[object, set[object]] = defaultdict(set)
    for m, block, tile in arrived:
        tiles[m, block].add(tile)
    assert all(sources in ({0}, set(range(n))) for sources in tiles.values())  # of a star's all-reduce only the hub's
    assert set(tiles) == {(t.micro_batch, t.block) for t in case.schedule if t.payload is Payload.PARTIAL}


@repeatable
@given(cases())
def test_every_complete_tile_reaches_everybody_else_once_and_unchanged(case: Case) -> None:
    parts, n = parts_in(case), len(case.ranks)
    position = {rank: i for i, rank in enumerate(case.ranks)}
    received: dict[tuple[object, ...], Counter[int]] = defaultdict(Counter)
    for task in case.schedule:
        if task.op is Op.RECV and task.payload is not Payload.PARTIAL:
            received[task.payload, task.micro_batch, task.block, task.tile][position[task.rank]] += 1
            whose = parts(task.name)
            assert whose == Counter([task.tile]) or (task.tile == 0 and whose == Counter(range(n)))
    for (payload, _, _, tile), who in received.items():
        if payload is Payload.VOCABULARY and case.strategy == "sequence":  # told to who goes on alone
            assert sum(who.values()) == 1
        else:
            assert who == Counter(set(range(n)) - {tile})


@repeatable
@given(cases())
def test_whatever_arrives_is_needed_by_a_computation_or_sent_on(case: Case) -> None:
    needed = {need for task in case.schedule for need in task.needs}
    last = case.workload.new_tokens - 1
    for task in case.schedule:
        chosen = task.payload is Payload.VOCABULARY and task.micro_batch == last  # the last word is the answer
        if task.op is Op.RECV or (task.op in COLLECTIVE):
            assert task.name in needed or chosen, task.name


@repeatable
@given(cases())
def test_bytes_of_a_tile_are_those_of_its_tokens(case: Case) -> None:
    """Of two tiles of one exchange, each token takes as much."""
    per_token = defaultdict(set)
    for task in case.schedule:
        if task.op in MESSAGE and task.tokens[1]:
            per_token[task.payload, task.block].add(task.nbytes / (task.tokens[1] - task.tokens[0]))
    assert all(len(lengths) == 1 for lengths in per_token.values())


# --- how much is computed ---------------------------------------------------------------------------------------------


def flop_by_block(case: Case, op: Op) -> Counter[str]:
    """All ranks' FLOPs of each block, its parts added up."""
    flop: Counter[str] = Counter()
    for task in case.schedule:
        if task.op is op:
            layer, _, rest = task.block.partition("/")
            flop[f"{layer}/{rest.partition('.')[0]}"] += case.flop(task)
    return flop


@repeatable
@given(cases(purposes=("train", "infer")))
def test_ranks_together_compute_what_one_device_would_and_what_they_repeat(case: Case) -> None:
    """Heads and columns are computed once. Tokens too, unless a rank holds the whole sequence."""
    n, samples = len(case.ranks), case.plan.batch_samples
    decoding = case.model.name in ("t5", "bart")
    for op in {task.op for task in case.schedule} & {Op.F, Op.B}:
        flop = flop_by_block(case, op)
        for layer in case.model.layers:
            repeats = case.strategy == "tensor" or (decoding and layer.name.startswith(("decoder", "head")))
            for block in layer.blocks:
                whole = (block.forward_flop if op is Op.F else block.backward_flop)(samples, TOKENS)
                alike = (block.unsplit.forward_flop if op is Op.F else block.unsplit.backward_flop)(samples, TOKENS)
                cut = block.divisible and case.strategy != "sequence"
                expected = whole + repeats * (n - 1) * (alike if cut else whole)
                assert flop[f"{layer.name}/{block.name}"] == pytest.approx(expected, rel=1e-9, abs=1e-6), layer.name


@repeatable
@given(cases(models=CHAINS))
def test_every_unit_of_every_token_is_computed_once(case: Case) -> None:
    """Counted one by one, for the blocks that are cut by heads or columns."""
    if case.strategy == "sequence":
        return
    counted: dict[tuple[object, ...], Counter[tuple[int, int]]] = defaultdict(Counter)
    for task in case.schedule:
        if task.op in (Op.F, Op.B) and task.units[1]:
            first, stop = task.tokens if task.tokens[1] else (0, TOKENS)
            cells = ((unit, token) for unit in range(*task.units) for token in range(first, stop))
            counted[task.op, task.micro_batch, task.block].update(cells)
    for (_, _, block), cells in counted.items():
        units = {unit for unit, _ in cells}
        assert set(cells.values()) == {1}
        assert len(units) == case.model.block(block).splits
        assert len(cells) == len(units) * len({token for _, token in cells})


# --- how long it takes ------------------------------------------------------------------------------------------------


def longest_path_s(case: Case) -> float:
    """The end of the last task if messages never shared a wire: a second engine, over the programs themselves."""
    network, ahead = case.cluster.network, {}
    for program in case.schedule.programs:
        streams = defaultdict(list)
        for task in program:
            if task.op is not Op.RECV:
                streams[task.stream].append(task.name)
        ahead.update({then: first for queue in streams.values() for first, then in pairwise(queue)})
    ends = defaultdict(list)
    for task in case.schedule:
        ends[task.meeting if task.op not in COMPUTE else task.name].append(task)

    @cache
    def start_s(task: Task) -> float:
        together = ends[task.meeting if task.op not in COMPUTE else task.name]
        before = [need for end in together for need in end.needs]
        before += [ahead[end.name] for end in together if end.name in ahead]
        return max((end_s(case.tasks[name]) for name in before), default=0.0)

    @cache
    def end_s(task: Task) -> float:
        if task.op in COMPUTE:
            return start_s(task) + case.seconds(task)
        if task.op in COLLECTIVE:
            n, ring = len(task.peers), list(zip(task.peers, (*task.peers[1:], task.peers[0]), strict=True))
            wire_s = max(task.nbytes / n / network.goodput_bytes_per_s(a, b) for a, b in ring)
            return start_s(task) + 2 * (n - 1) * (wire_s + max(network.latency_s[a][b] for a, b in ring))
        a, b = (task.rank, task.peers[0])[:: 1 if task.op is Op.SEND else -1]
        latency_s = 0 if task.op is Op.SEND else network.latency_s[a][b]
        return start_s(task) + task.nbytes / network.goodput_bytes_per_s(a, b) + latency_s

    for _, name in sorted(zip(case.trace.start_s, case.tasks, strict=True)):
        end_s(case.tasks[name])  # early ones first, so that no recursion goes deep
    return max(end_s(task) for task in case.schedule)


@repeatable
@given(cases())
def test_an_iteration_is_no_shorter_than_its_longest_path_and_its_busiest_rank(case: Case) -> None:
    assert max(case.trace.end_s) >= longest_path_s(case) * (1 - 1e-9) - SLACK_S
    for program in case.schedule.programs:
        busy_s = list(accumulate((case.seconds(task) for task in program if task.op in COMPUTE), initial=0.0))[-1]
        assert max(case.trace.end_s) >= busy_s * (1 - 1e-9)


@repeatable
@given(cases())
def test_every_computation_takes_the_time_of_its_flops(case: Case) -> None:
    for span in case.trace:
        if span.task.op in COMPUTE:
            assert span.seconds == pytest.approx(case.seconds(span.task), rel=1e-6, abs=SLACK_S)


@repeatable
@given(cases(purposes=("infer",)))
def test_all_ranks_hold_all_samples(case: Case) -> None:
    assert {task.samples for task in case.schedule} == {(0, SAMPLES)}
