"""Laws that hold for every plan, network and speed: checked on random ones."""

import json
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property
from itertools import pairwise
from math import inf

import pytest
from builders import block, device, plan_of, power, table, workload
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from edgesim.cluster import Cluster, Network
from edgesim.energy import power_over_time, wire_bytes
from edgesim.errors import ScheduleError
from edgesim.footprint import memory_over_time
from edgesim.metrics import measure
from edgesim.model import Layer, Model, model_from_dict, model_to_dict
from edgesim.plan import Depth, Plan, Stage, in_flight
from edgesim.profile import Profile
from edgesim.schedule import COLLECTIVE, COMPUTE, Op, Payload, Schedule, Task
from edgesim.simulator import simulate
from edgesim.strategies.hybrid_pipeline import hybrid_pipeline
from edgesim.trace import Trace
from edgesim.workload import Optimiser, Workload

repeatable = settings(max_examples=30, deadline=None, derandomize=True, database=None)
SLACK_S = 1e-9


@dataclass(frozen=True, kw_only=True)
class Case:
    """A plan, all that it runs on, and how long its parts take."""

    model: Model
    plan: Plan
    cluster: Cluster
    profile: Profile
    workload: Workload
    bucket_bytes: float | None = None

    @cached_property
    def schedule(self) -> Schedule:
        return hybrid_pipeline(self.plan, self.model, self.workload, bucket_bytes=self.bucket_bytes)

    def play(self) -> Trace:
        return simulate(self.schedule, cluster=self.cluster, model=self.model, profile=self.profile, tokens=1)

    @cached_property
    def trace(self) -> Trace:
        return self.play()

    def seconds(self, task: Task) -> float:
        """How long a computation takes by the profile."""
        samples = 0 if task.op is Op.UPDATE else task.samples[1] - task.samples[0]
        name, layers = self.cluster.devices[task.rank].name, self.model.layers[slice(*task.layers)]
        return self.profile.layers_s(device=name, layers=layers, op=task.op, samples=samples, tokens=1)


# --- random cases -----------------------------------------------------------------------------------------------------

seconds_of_work = st.one_of(st.just(0.0), st.floats(1e-4, 0.1))
rates = st.one_of(st.just(inf), st.floats(1e3, 1e6))
latencies = st.one_of(st.just(0.0), st.floats(1e-5, 0.05))


@st.composite
def shares(draw: st.DrawFn, samples: int, most: int) -> tuple[int, ...]:
    """A random cut of the samples among at most so many replicas, each with one or more."""
    cuts = draw(st.sets(st.integers(1, samples - 1), max_size=min(most, samples) - 1)) if samples > 1 else set()
    return tuple(b - a for a, b in pairwise([0, *sorted(cuts), samples]))


def square(draw: st.DrawFn, values: st.SearchStrategy[float], ranks: int) -> list[list[float]]:
    return [[draw(values) for _ in range(ranks)] for _ in range(ranks)]


@st.composite
def networks(draw: st.DrawFn, ranks: int, kinds: Sequence[str]) -> Network:
    more = {
        "latency_s": square(draw, latencies, ranks),
        "goodput": draw(st.floats(0.5, 1)),
        "origin": "assumed",
        "source": "test",
    }
    kind = draw(st.sampled_from(kinds))
    if kind == "pairs":
        return Network.pairs(bytes_per_s=square(draw, rates, ranks), **more)
    if kind == "radio":
        return Network.radio(bytes_per_s=square(draw, rates, ranks), **more)
    return Network.switched(
        transmit_bytes_per_s=[draw(rates) for _ in range(ranks)],
        receive_bytes_per_s=[draw(rates) for _ in range(ranks)],
        burst_bytes=draw(st.sampled_from([0.0, 2000.0])),
        acknowledgement=draw(st.sampled_from([0.0, 0.02])),
        **more,
    )


@st.composite
def depths(draw: st.DrawFn, stages: int, micro_batches: int) -> list[int]:
    """A published depth policy, or any that does not grow from stage to stage."""
    policy = draw(st.sampled_from([*Depth, None]))
    if policy is not None:
        return [in_flight(policy, stage=p, stages=stages, micro_batches=micro_batches) for p in range(stages)]
    return sorted((draw(st.integers(1, micro_batches + 2)) for _ in range(stages)), reverse=True)


@st.composite
def cases(
    draw: st.DrawFn, *, kinds: Sequence[str] = ("switched", "radio", "pairs"), stages: int = 4, buckets: bool = False
) -> Case:
    """Data parallel, pipeline and hybrid plans, with ranks in any order and some idle; with gradients in buckets."""
    samples, micro_batches = draw(st.integers(1, 5)), draw(st.integers(1, 5))
    cuts = [draw(shares(samples, 3)) for _ in range(draw(st.integers(1, stages)))]
    layers = [draw(st.integers(1, 2)) for _ in cuts]
    ranks = sum(map(len, cuts)) + draw(st.integers(0, 1))
    order = iter(draw(st.permutations(range(ranks))))
    depth = draw(depths(len(cuts), micro_batches))
    parts = [
        block(
            output_bytes=draw(st.integers(0, 3000)),
            parameter_bytes=4 * draw(st.integers(0, 900)),
            stash_bytes=draw(st.integers(0, 3000)),
        )
        for _ in range(sum(layers))
    ]
    model = Model(
        name="random",
        architecture="chain",
        hyper={},
        layers=tuple(Layer(name=f"l{i}", blocks=(part,)) for i, part in enumerate(parts)),
    )
    planned = [
        Stage(
            layers=(sum(layers[:p]), sum(layers[: p + 1])),
            ranks=tuple(next(order) for _ in cut),
            samples=cut,
            in_flight=depth[p],
        )
        for p, cut in enumerate(cuts)
    ]
    joules = {
        f"{way}_j_per_{per}": draw(st.sampled_from([0.0, 1e-6, 1e-3]))
        for way in ("transmit", "receive")
        for per in ("byte", "message")
    }
    watts = power(idle_w=draw(st.floats(0, 2)), compute_w=9, transmit_w=draw(st.floats(2, 4)), receive_w=3, **joules)
    context_bytes = draw(st.sampled_from([0.0, 5000.0]))
    cluster = Cluster(
        name="random",
        devices=tuple(device(f"d{rank}", power=watts, context_bytes=context_bytes) for rank in range(ranks)),
        network=draw(networks(ranks, kinds)),
    )
    costs = {(r, n): (draw(seconds_of_work), draw(seconds_of_work)) for r in range(ranks) for n in range(len(parts))}
    profile = table(
        model,
        cluster,
        lambda rank, layer, n: (n * costs[rank, layer][0], n * costs[rank, layer][1]),
        update_s=draw(seconds_of_work),
    )
    asked = workload(
        micro_batches=micro_batches, micro_batch_samples=samples, optimiser=draw(st.sampled_from(Optimiser))
    )
    plan = plan_of(model, planned, micro_batches=micro_batches)
    filled = draw(st.sampled_from([None, 1, 3000])) if buckets else None
    return Case(model=model, plan=plan, cluster=cluster, profile=profile, workload=asked, bucket_bytes=filled)


private_links = cases(kinds=("pairs",))  # nothing is shared: every ordered pair carries one channel only


def streams(schedule: Schedule) -> list[list[Task]]:
    """The programs, untangled into queues that run in order."""
    queues: dict[tuple[int, str], list[Task]] = defaultdict(list)
    for task in schedule:
        queues[task.rank, task.stream].append(task)
    return list(queues.values())


# --- time -------------------------------------------------------------------------------------------------------------


@repeatable
@given(cases())
def test_nothing_starts_before_its_needs_are_done(case: Case) -> None:
    end_s = {span.task.name: span.end_s for span in case.trace}
    for span in case.trace:
        assert span.end_s >= span.start_s
        assert all(end_s[need] <= span.start_s + SLACK_S for need in span.task.needs)


@repeatable
@given(cases())
def test_a_stream_does_one_task_at_a_time_in_the_order_of_its_program(case: Case) -> None:
    spans = {span.task.name: span for span in case.trace}
    for queue in streams(case.schedule):
        for first, then in pairwise(queue):
            assert spans[first.name].end_s <= spans[then.name].start_s + SLACK_S


@repeatable
@given(cases())
def test_a_message_arrives_one_latency_after_it_was_sent_and_all_members_of_a_collective_end_at_once(
    case: Case,
) -> None:
    spans = {span.task.meeting: span for span in case.trace if span.task.op in COLLECTIVE or span.task.op is Op.SEND}
    for span in case.trace:
        if span.task.op is Op.RECV:
            sent, latency_s = spans[span.task.meeting], case.cluster.network.latency_s
            delay_s = latency_s[sent.task.rank][span.task.rank]
            assert span.start_s - sent.start_s == pytest.approx(delay_s, abs=SLACK_S)
            assert span.end_s - sent.end_s == pytest.approx(delay_s, abs=SLACK_S)
        if span.task.op in COLLECTIVE:
            other = spans[span.task.meeting]
            assert (span.start_s, span.end_s) == (other.start_s, other.end_s)


def longest_path_s(case: Case) -> float:
    """The end of the last task if no message ever waited for another on the wire: a second engine, by recursion."""
    network, tasks = case.cluster.network, {task.name: task for task in case.schedule}
    ahead = {then.name: first.name for queue in streams(case.schedule) for first, then in pairwise(queue)}
    ends = defaultdict(list)
    for task in case.schedule:
        ends[task.name if task.op in COMPUTE else task.meeting].append(task)

    @cache
    def ready_s(name: str) -> float:
        """When all that starts together with the task can start."""
        task = tasks[name]
        together = ends[name if task.op in COMPUTE else task.meeting]
        before = [need for end in together for need in end.needs]
        before += [ahead[end.name] for end in together if end.name in ahead and end.op is not Op.RECV]
        return max((end_s(other) for other in before), default=0.0)

    @cache
    def end_s(name: str) -> float:
        task = tasks[name]
        if task.op in COMPUTE:
            return ready_s(name) + case.seconds(task)
        if task.op in COLLECTIVE:
            n, ring = len(task.peers), list(zip(task.peers, (*task.peers[1:], task.peers[0]), strict=True))
            slowest = max(1 / network.goodput_bytes_per_s(a, b) for a, b in ring)
            latency_s = max(network.latency_s[a][b] for a, b in ring)
            return ready_s(name) + 2 * (n - 1) * (task.nbytes / n * slowest + latency_s)
        source, destination = (task.rank, task.peers[0])[:: 1 if task.op is Op.SEND else -1]
        wire_s = task.nbytes / network.goodput_bytes_per_s(source, destination)
        return ready_s(name) + wire_s + (0 if task.op is Op.SEND else network.latency_s[source][destination])

    return max(end_s(task.name) for task in case.schedule)


@repeatable
@given(private_links)
def test_without_contention_the_makespan_is_the_longest_path(case: Case) -> None:
    assert max(case.trace.end_s) == pytest.approx(longest_path_s(case), rel=1e-9, abs=SLACK_S)


@repeatable
@given(cases())
def test_with_contention_the_makespan_is_no_shorter_than_the_longest_path(case: Case) -> None:
    network = replace(case.cluster.network, burst_bytes=0.0)
    case = replace(case, cluster=replace(case.cluster, network=network))
    assert max(case.trace.end_s) >= longest_path_s(case) * (1 - 1e-9) - SLACK_S


@repeatable
@given(cases())
def test_the_makespan_is_no_shorter_than_the_busiest_stream_nic_link_or_air(case: Case) -> None:
    network = replace(case.cluster.network, burst_bytes=0.0)
    case = replace(case, cluster=replace(case.cluster, network=network))
    busy_s: dict[object, float] = Counter()
    for span in case.trace:
        if span.task.op in COMPUTE:
            busy_s[span.task.rank, "compute"] += case.seconds(span.task)
        elif span.task.op is Op.SEND:
            for name, seconds_per_byte in network.hops(span.task.rank, span.task.peers[0]):
                busy_s[name] += span.task.nbytes * seconds_per_byte
    assert max(case.trace.end_s) >= max(busy_s.values()) * (1 - 1e-9)


@repeatable
@given(private_links, st.data(), st.floats(1, 100))
def test_a_faster_link_never_hurts_where_nothing_is_shared(case: Case, data: st.DataObject, factor: float) -> None:
    network = case.cluster.network
    a, b = (data.draw(st.integers(0, network.ranks - 1)) for _ in range(2))
    rows, delays = [list(row) for row in network.bytes_per_s], [list(row) for row in network.latency_s]
    rows[a][b], delays[a][b] = rows[a][b] * factor, delays[a][b] / factor
    faster = replace(network, bytes_per_s=tuple(map(tuple, rows)), latency_s=tuple(map(tuple, delays)))
    other = replace(case, cluster=replace(case.cluster, network=faster))
    assert other.trace.makespan_s <= case.trace.makespan_s + SLACK_S


@repeatable
@given(private_links, st.data(), st.floats(1, 100))
def test_a_faster_device_never_hurts_where_nothing_is_shared(case: Case, data: st.DataObject, factor: float) -> None:
    name = data.draw(st.sampled_from([board.name for board in case.cluster.devices]))
    points = tuple(
        replace(point, seconds=point.seconds / factor) if point.device == name else point
        for point in case.profile.points
    )
    other = replace(case, profile=replace(case.profile, points=points))
    assert max(other.trace.end_s) <= max(case.trace.end_s) + SLACK_S


# --- work and bytes ---------------------------------------------------------------------------------------------------


@repeatable
@given(cases())
def test_every_layer_computes_every_sample_once_each_way(case: Case) -> None:
    done = Counter(
        (span.task.op, layer, span.task.micro_batch, sample)
        for span in case.trace
        if span.task.op in (Op.F, Op.B)
        for layer in range(*span.task.layers)
        for sample in range(*span.task.samples)
    )
    micro_batches, samples = range(case.plan.micro_batches), range(case.plan.micro_batch_samples)
    layers = range(len(case.model.layers))
    assert done == Counter((op, n, m, i) for op in (Op.F, Op.B) for n in layers for m in micro_batches for i in samples)


@repeatable
@given(cases())
def test_computations_take_what_the_profile_says(case: Case) -> None:
    for span in case.trace:
        if span.task.op in COMPUTE:
            assert span.seconds == pytest.approx(case.seconds(span.task), abs=SLACK_S)


@repeatable
@given(cases())
def test_bytes_sent_are_bytes_received_and_those_of_the_boundaries(case: Case) -> None:
    tasks = list(case.schedule)
    sent, received = (sum(task.nbytes for task in tasks if task.op is op) for op in (Op.SEND, Op.RECV))
    boundaries = [stage.layers[0] for stage in case.plan.stages[1:]]
    per_micro_batch = sum(case.model.layers[b - 1].output_bytes(case.plan.micro_batch_samples, 1) for b in boundaries)
    assert sent == received == 2 * case.plan.micro_batches * per_micro_batch
    rings = sum(
        2 * (len(stage.ranks) - 1) * sum(layer.trainable_bytes for layer in case.model.layers[slice(*stage.layers)])
        for stage in case.plan.stages
    )
    on_wire = sum(wire_bytes(task) for task in case.schedule)
    assert on_wire == pytest.approx(sent + rings, abs=len(case.plan.ranks))  # parts of a ring are rounded


# --- memory and energy ------------------------------------------------------------------------------------------------


@repeatable
@given(cases())
def test_no_stage_ever_holds_more_micro_batches_than_its_depth(case: Case) -> None:
    depth = {rank: stage.in_flight for stage in case.plan.stages for rank in stage.ranks}
    for rank, program in enumerate(case.schedule.programs):
        held = 0
        for task in program:
            held += {Op.F: 1, Op.B: -1}.get(task.op, 0)
            assert 0 <= held <= depth[rank]


def message_bytes(tasks: Sequence[Task], deepest: int) -> int:
    """What a rank's messages take, counted message by message: all but the activations sent stay to the end."""
    staying = sum(task.nbytes for task in tasks if task.op is Op.RECV)
    staying += sum(task.nbytes for task in tasks if task.op is Op.SEND and task.payload is Payload.GRADIENT)
    outputs = [task for task in tasks if task.op is Op.SEND and task.payload is Payload.ACTIVATION]
    return staying + deepest * sum(task.nbytes for task in outputs if task.micro_batch == 0)


@repeatable
@given(cases())
def test_peak_memory_is_what_the_plan_predicts_and_is_never_negative_or_left_behind(case: Case) -> None:
    assume(case.trace.makespan_s > 0)
    metrics = measure(case.trace, cluster=case.cluster, model=case.model, workload=case.workload)
    needs = case.plan.memory(case.model, case.cluster, case.workload)
    for stage in case.plan.stages:
        deepest = min(stage.in_flight, case.plan.micro_batches)
        for rank in stage.ranks:
            spans = [span for span in case.trace if span.task.rank == rank]
            board = case.cluster.devices[rank]
            held = [at for _, at in memory_over_time(case.trace.of_rank(rank), case.model, case.workload, board)]
            assert needs[rank].message_bytes == message_bytes([span.task for span in spans], deepest)
            assert metrics.peak_bytes[rank] == max(held) == pytest.approx(needs[rank].total_bytes)
            assert min(held) == held[0] == pytest.approx(needs[rank].resting_bytes)
            assert held[-1] == pytest.approx(needs[rank].resting_bytes)
    assert {nbytes for rank, nbytes in enumerate(metrics.peak_bytes) if rank not in needs} <= {0.0}


@repeatable
@given(cases())
def test_energy_by_state_adds_up_to_the_integral_of_power(case: Case) -> None:
    assume(case.trace.makespan_s > 0)
    metrics = measure(case.trace, cluster=case.cluster, model=case.model, workload=case.workload)
    for rank, states in enumerate(metrics.energy_by_state_j):
        steps = power_over_time(case.trace, case.cluster, rank)
        idle_w = case.cluster.devices[rank].power.idle_w
        integral_j = sum(watts * (later_s - at_s) for (at_s, watts), (later_s, _) in pairwise(steps))
        assert sum(states.values()) == pytest.approx(integral_j, rel=1e-6, abs=1e-12)
        assert steps[-1][1] == pytest.approx(idle_w, abs=1e-9)
        assert states["idle"] + states["waiting"] == pytest.approx(idle_w * case.trace.makespan_s, abs=1e-12)
        assert all(joules >= -1e-12 for joules in states.values())
    assert metrics.energy_j == pytest.approx(sum(sum(states.values()) for states in metrics.energy_by_state_j))


@repeatable
@given(cases())
def test_shares_of_time_are_shares(case: Case) -> None:
    assume(case.trace.makespan_s > 0)
    metrics = measure(case.trace, cluster=case.cluster, model=case.model, workload=case.workload)
    assert all(-1e-9 <= share <= 1 + 1e-9 for share in (metrics.bubble, *metrics.utilisation))


# --- repeatability and round trips ------------------------------------------------------------------------------------


@repeatable
@given(cases())
def test_simulating_twice_gives_the_same_bytes(case: Case) -> None:
    assert case.play().to_lines() == case.play().to_lines()


@repeatable
@given(cases())
def test_every_noun_survives_its_text(case: Case) -> None:
    assert Schedule.from_text(case.schedule.to_text()) == case.schedule
    assert Plan.from_json(case.plan.to_json()) == case.plan
    assert Profile.from_json(case.profile.to_json()) == case.profile
    assert model_from_dict(json.loads(json.dumps(model_to_dict(case.model)))) == case.model
    assert list(Trace.from_lines(case.trace.to_lines(), case.schedule)) == list(case.trace)


# --- refusals ---------------------------------------------------------------------------------------------------------


@repeatable
@given(cases(), st.data())
def test_a_schedule_with_a_task_lost_cannot_be_played_if_another_needs_it(case: Case, data: st.DataObject) -> None:
    needed = {need for task in case.schedule for need in task.needs}
    candidates = [task for task in case.schedule if task.name in needed or task.op not in COMPUTE]
    lost = data.draw(st.sampled_from(candidates))
    programs = tuple(tuple(task for task in program if task != lost) for program in case.schedule.programs)
    with pytest.raises(ScheduleError, match=r"needs .*, which no rank runs|has no|but only"):
        Schedule(programs).check()


@repeatable
@given(cases(), st.data())
def test_a_schedule_with_a_task_doubled_cannot_be_played(case: Case, data: st.DataObject) -> None:
    rank = data.draw(st.sampled_from(case.plan.ranks))
    task = data.draw(st.sampled_from(case.schedule.programs[rank]))
    programs = [*case.schedule.programs]
    programs[rank] = (*programs[rank], task)
    with pytest.raises(ScheduleError, match="appears twice"):
        Schedule(tuple(programs)).check()


@repeatable
@given(cases())
def test_a_reversed_program_is_a_deadlock_or_out_of_order(case: Case) -> None:
    first, *rest = case.schedule.programs
    assume(first)
    with pytest.raises(ScheduleError, match=r"deadlock: |comes first on its connection"):
        Schedule((first[::-1], *rest)).check()
