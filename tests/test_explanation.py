"""Do the terms of a trace add up to its makespan, and do they say what only they can know?"""

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from builders import (
    chain,
    constant_profile,
    data_plan,
    ends_s,
    hybrid_plan,
    linear_profile,
    named,
    pipeline_plan,
    play,
    switched,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from test_properties import Case, cases

from edgesim.cluster import Network
from edgesim.explanation import (
    Cause,
    CauseShare,
    attribute,
    blames,
    breakdown,
    critical_path,
    drawn_makespans,
    sum_by_place,
    swaps,
)
from edgesim.explanation.node_seconds import observe
from edgesim.explanation.sensitivity import gains
from edgesim.plan import Depth
from edgesim.trace import Trace
from experiments.explain.explanation import explain_sides
from experiments.explain.worlds import Side

EXACT = 1e-9  # of a makespan

repeatable = settings(max_examples=40, deadline=None, derandomize=True, database=None)


def seconds_of(trace: Trace, **more: object) -> dict[Cause, float]:
    """What of the makespan each cause makes."""
    total: dict[Cause, float] = {}
    for (cause, _), seconds in sum_by_place(breakdown(trace, **more)).items():  # type: ignore[arg-type]
        total[cause] = total.get(cause, 0.0) + seconds
    return total


def pipeline(
    *,
    speeds: tuple[float, ...] = (1.0, 1.0, 1.0),
    bytes_per_s: float = 1e7,
    latency_s: float = 0.0,
    micro_batches: int = 8,
    in_flight: int = 3,
) -> Trace:
    """Three stages of a layer each."""
    model, network = chain(3, output_bytes=10_000), switched(3, bytes_per_s=bytes_per_s, latency_s=latency_s)
    plan = pipeline_plan(model, micro_batches=micro_batches)
    stages = tuple(replace(stage, in_flight=min(in_flight, 3 - p)) for p, stage in enumerate(plan.stages))
    cluster = named(3, network=network)
    return play(replace(plan, stages=stages), model, cluster, linear_profile(model, cluster, speeds=speeds))


def measured(trace: Trace, seed: int, noise: float = 0.2) -> Trace:
    """As a testbed might have measured it: every span moved and stretched by itself, clocks that disagree included."""
    random, size = np.random.default_rng(seed), noise * trace.makespan_s
    start_s = np.asarray(trace.start_s) + size * random.standard_normal(len(trace))
    end_s = np.maximum(start_s, np.asarray(trace.end_s) + size * random.standard_normal(len(trace)))
    return replace(trace, start_s=tuple(start_s.tolist()), end_s=tuple(end_s.tolist()), player="measured")


# --- laws ---


def check_sums(one: Trace, two: Trace, networks: tuple[Network | None, Network | None]) -> None:
    """Whatever played them, and whether their schedules are the same or not."""
    for trace, network in zip((one, two), networks, strict=True):
        exact = pytest.approx(trace.makespan_s, rel=EXACT)
        assert sum(term.seconds for term in breakdown(trace, network=network)) == exact
        assert sum(step.seconds for step in critical_path(trace)) == exact
    explanation = explain_sides(Side(name="one", trace=one), Side(name="two", trace=two))
    difference = pytest.approx(two.makespan_s - one.makespan_s, abs=EXACT * max(one.makespan_s, two.makespan_s))
    assert sum(share.seconds for share in explanation.shares) == difference
    assert sum(pair.more_s for pair in explanation.terms) == difference
    if one.schedule.hash == two.schedule.hash:
        assert sum(share.seconds for share in swaps(one, two, networks=networks)) == difference


def pair_of(first: Case, second: Case, seed: int, *, same: bool, noisy: bool) -> tuple[Trace, Trace]:
    one, two = first.trace, (first if same else second).trace
    return one, measured(two, seed) if noisy else two


@settings(repeatable, max_examples=100)
@given(cases(buckets=True), cases(), st.integers(0, 99), st.booleans(), st.booleans())
def test_terms_add_up_to_the_difference_of_any_two_traces(
    first: Case, second: Case, seed: int, same: bool, noisy: bool
) -> None:
    one, two = pair_of(first, second, seed, same=same, noisy=noisy)
    check_sums(one, two, (first.cluster.network, None if noisy else (first if same else second).cluster.network))


@pytest.mark.soak
@pytest.mark.timeout(900)
@settings(repeatable, max_examples=1000)
@given(cases(buckets=True), cases(), st.integers(0, 10**6), st.booleans(), st.booleans())
def test_terms_add_up_to_the_difference_of_a_thousand_pairs(
    first: Case, second: Case, seed: int, same: bool, noisy: bool
) -> None:
    one, two = pair_of(first, second, seed, same=same, noisy=noisy)
    check_sums(one, two, (first.cluster.network, None if noisy else (first if same else second).cluster.network))


@repeatable
@given(cases())
def test_a_trace_does_not_differ_from_itself(case: Case) -> None:
    assert swaps(case.trace, case.trace) == ()
    explanation = explain_sides(Side(name="one", trace=case.trace), Side(name="two", trace=case.trace))
    assert explanation.cause is None
    assert [pair.more_s for pair in explanation.terms] == [0.0] * len(explanation.terms)


@repeatable
@given(cases(), st.integers(0, 99))
def test_a_schedule_played_with_the_seconds_of_a_trace_is_the_trace(case: Case, seed: int) -> None:
    for trace in (case.trace, measured(case.trace, seed)):
        seconds = observe(trace).seconds
        assert seconds.makespan_s == pytest.approx(trace.makespan_s, rel=EXACT)


@repeatable
@given(cases(), st.integers(0, 99))
def test_steps_of_a_critical_path_begin_where_the_one_before_ended(case: Case, seed: int) -> None:
    path = critical_path(measured(case.trace, seed))
    assert all(step.start_s == pytest.approx(0, abs=EXACT) for step in path[:1])
    assert all(following.start_s == step.end_s for step, following in pairwise(path))


# --- what only one term knows ---


def test_a_pipeline_of_equal_stages_computes_and_fills_and_drains() -> None:
    """m (f + b) of work, and (p - 1)(f + b) of bubble: the known answer, of which the mean rank waits each part."""
    terms = seconds_of(pipeline(bytes_per_s=np.inf))
    forward_s, backward_s = 0.010, 0.020
    assert terms[Cause.COMPUTE] == pytest.approx(8 * (forward_s + backward_s))
    assert terms[Cause.FILL] == pytest.approx(forward_s)  # the mean of 0, f and 2 f
    assert terms[Cause.DRAIN] == pytest.approx(backward_s)
    assert terms[Cause.BETWEEN] == pytest.approx(forward_s + backward_s)
    assert terms[Cause.DEPTH] == 0
    assert sum(terms.values()) == pytest.approx((8 + 2) * (forward_s + backward_s))


@pytest.mark.parametrize(("in_flight", "waits_s"), [(1, 0.42), (2, 0.18), (3, 0.0)])
def test_too_few_in_flight_is_what_more_would_save(in_flight: int, waits_s: float) -> None:
    trace = pipeline(bytes_per_s=np.inf, in_flight=in_flight)
    assert seconds_of(trace)[Cause.DEPTH] == pytest.approx(waits_s)
    assert trace.makespan_s == pytest.approx(0.3 + waits_s)


def test_a_slower_rank_is_waited_for_and_blamed() -> None:
    trace = pipeline(bytes_per_s=np.inf, speeds=(1.0, 0.5, 1.0))
    waits = {where: s for (cause, where), s in sum_by_place(breakdown(trace)).items() if cause is Cause.WAITING}
    assert waits == {"rank 1": pytest.approx(trace.makespan_s - (8 + 2) * 0.040)}  # balanced, each pass takes 4/3
    (blame,) = blames(trace)
    assert (blame.where, blame.times) == ("rank 1", pytest.approx(2))
    assert blame.saves_s == pytest.approx(trace.makespan_s - pipeline(bytes_per_s=np.inf).makespan_s)


def test_one_micro_batch_pays_latency_and_transfer_every_hop_both_ways() -> None:
    trace = pipeline(micro_batches=1, latency_s=0.003, bytes_per_s=1e6)
    network = switched(3, bytes_per_s=1e6, latency_s=0.003)
    for known in (network, None):
        terms = seconds_of(trace, network=known)
        assert terms[Cause.LATENCY] == pytest.approx(4 * 0.003)
        assert terms[Cause.TRANSFER] == pytest.approx(4 * 0.010)
        assert Cause.CONTENTION not in terms


def test_a_link_that_all_share_is_contended_for() -> None:
    """Two stages' messages meet on one rank's NIC where two replicas send to one."""
    model, network = chain(2, output_bytes=100_000), switched(3, bytes_per_s=1e6)
    cluster = named(3, network=network)
    trace = play(hybrid_plan(model, [[1, 1], [2]], micro_batches=1), model, cluster, constant_profile(model, cluster))
    terms = seconds_of(trace, network=network)
    assert terms[Cause.CONTENTION] > 0.05
    assert terms[Cause.CONTENTION] == pytest.approx(terms[Cause.TRANSFER], rel=0.3)


def test_data_parallelism_pays_its_all_reduce() -> None:
    model, network = chain(2, parameter_bytes=400_000), switched(2, bytes_per_s=1e6)
    cluster = named(2, network=network)
    trace = play(data_plan(model, [1, 1]), model, cluster, constant_profile(model, cluster, update_s=0.005))
    terms = seconds_of(trace)
    assert terms[Cause.COLLECTIVE] == pytest.approx(2 * (2 - 1) / 2 * 800_000 / 1e6)
    assert terms[Cause.UPDATE] == pytest.approx(2 * 0.005)
    assert terms[Cause.COMPUTE] == pytest.approx(2 * 0.030)


def test_a_pause_between_tasks_is_the_hosts() -> None:
    trace = pipeline(micro_batches=1)
    paused = [0.05 if at_s >= ends_s(trace)["2F0@2"] else 0.0 for at_s in trace.start_s]
    moved = replace(
        trace,
        start_s=tuple(s + p for s, p in zip(trace.start_s, paused, strict=True)),
        end_s=tuple(s + p for s, p in zip(trace.end_s, paused, strict=True)),
    )
    assert moved.makespan_s == pytest.approx(trace.makespan_s + 0.05)
    assert seconds_of(moved)[Cause.HOST] == pytest.approx(0.05)


def test_the_critical_path_of_a_chain_is_all_of_it() -> None:
    trace = pipeline(micro_batches=1, latency_s=0.003)
    steps = critical_path(trace)
    computed = [step.task for step in steps if step.cause is Cause.COMPUTE]
    assert [trace.schedule.names()[task] for task in computed] == ["0F0@0", "1F0@1", "2F0@2", "2B0@2", "1B0@1", "0B0@0"]
    assert ends_s(trace)["0B0@0"] == pytest.approx(sum(step.seconds for step in steps))


# --- two traces of one schedule ---


def largest(one: Trace, two: Trace) -> CauseShare:
    return swaps(one, two)[0]


@pytest.mark.parametrize(
    ("more", "what", "where"),
    [
        ({"speeds": (1.0, 0.4, 1.0)}, "computing", "rank 1"),
        ({"latency_s": 0.05}, "latency", ""),
        ({"bytes_per_s": 1e5}, "transfer", "all links"),
    ],
)
def test_what_changed_is_what_makes_the_difference(more: dict[str, object], what: str, where: str) -> None:
    one, two = pipeline(), pipeline(**more)  # type: ignore[arg-type]
    share = largest(one, two)
    assert (share.what, share.where) == (what, where)
    assert share.seconds > 0.5 * (two.makespan_s - one.makespan_s)
    assert share.least_s <= share.seconds <= share.most_s


def test_durations_that_vary_on_all_ranks_are_no_ranks_fault() -> None:
    one = pipeline(micro_batches=12, bytes_per_s=np.inf)
    random = np.random.default_rng(3)
    factors = np.exp(0.4 * random.standard_normal(len(observe(one).graph.kind)))
    seconds = observe(one).seconds
    slower = replace(seconds, sent_s=seconds.sent_s * factors)
    moments, recurrence = slower.moments(), seconds.graph.recurrence
    ended = moments[recurrence.ended][seconds.graph.task_nodes]
    started = (moments[recurrence.sent] - slower.sent_s)[seconds.graph.task_nodes]
    two = replace(one, start_s=tuple(started.tolist()), end_s=tuple(ended.tolist()))
    assert largest(one, two).what == "varying durations"


def test_traces_of_two_schedules_cannot_be_swapped_and_say_what_can_be_done() -> None:
    with pytest.raises(ValueError, match="of two schedules"):
        swaps(pipeline(), pipeline(micro_batches=4))


# --- shares ---


@pytest.mark.parametrize("causes", [3, 8, 11])
def test_shares_add_up_whatever_the_order(causes: int) -> None:
    def value(state: frozenset[int]) -> float:
        return max((i + 1.0 for i in state), default=0.0) + 0.1 * len(state) ** 2

    found = attribute(causes, value)
    assert sum(found.seconds) == pytest.approx(value(frozenset(range(causes))) - value(frozenset()))
    assert all(a <= s <= b for a, s, b in zip(found.least_s, found.seconds, found.most_s, strict=True))
    assert found.exact == (causes <= 8)


def test_who_changes_nothing_has_no_share_and_equals_have_equal_shares() -> None:
    value: Callable[[frozenset[int]], float] = lambda state: float(len(state - {2}) ** 2)  # noqa: E731
    assert attribute(3, value).seconds == (2.0, 2.0, 0.0)


def test_a_gain_is_what_the_simulator_says_where_nothing_meets() -> None:
    trace = pipeline(bytes_per_s=np.inf)
    by_rank = {gain.where: gain.saves_s for gain in gains(trace) if gain.what == "computing"}
    for rank in range(3):
        speeds = tuple(1.1 if r == rank else 1.0 for r in range(3))
        faster = pipeline(bytes_per_s=np.inf, speeds=speeds)
        assert by_rank[f"rank {rank}"] == pytest.approx(trace.makespan_s - faster.makespan_s)


def test_drawn_iterations_vary_as_the_repeats_of_what_is_computed_do() -> None:
    """A chain of one micro-batch: all that is computed takes twice as long, or half; messages take what they take."""
    model, network = chain(3, output_bytes=10_000), switched(3, bytes_per_s=1e6)
    cluster, plan = named(3, network=network), pipeline_plan(model, micro_batches=1)
    profile = linear_profile(model, cluster)
    trace = play(plan, model, cluster, profile)
    names = [device.name for device in cluster.devices]
    assert drawn_makespans(trace, profile, names) == ()

    def drawn(*repeats: float) -> tuple[float, ...]:
        points = tuple(replace(point, repeats=repeats) for point in profile.points)
        return drawn_makespans(trace, replace(profile, points=points), names)

    assert drawn(1.0) == pytest.approx([1.0] * 50)
    computed_s = trace.makespan_s - 4 * 0.010
    assert drawn(2.0) == pytest.approx([1 + computed_s / trace.makespan_s] * 50)
    both = drawn(0.5, 2.0)
    assert 0.5 < min(both) < 1 < max(both) < 2
    assert both == drawn(0.5, 2.0)


def test_depth_policies_of_one_plan_differ_in_their_bubble_alone() -> None:
    model, cluster = chain(3), named(3)
    profile = constant_profile(model, cluster)
    few, many = (
        seconds_of(play(pipeline_plan(model, micro_batches=6, depth=depth), model, cluster, profile))
        for depth in (Depth.ONE_F_ONE_B, Depth.GPIPE)
    )
    assert few[Cause.COMPUTE] == pytest.approx(many[Cause.COMPUTE])
