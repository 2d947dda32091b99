"""Every cost of the simulator has an answer that only it can change.

Letters: p stages, m micro-batches, n replicas; f and b seconds of a forward and a backward; S bytes of a message or of
all gradients; W bytes per second of a link; l seconds of latency.
"""

from dataclasses import replace

import pytest
from builders import (
    chain,
    collective,
    compute,
    constant_profile,
    data_plan,
    ends_s,
    homogeneous,
    hybrid_plan,
    linear_profile,
    named,
    pairs,
    pipeline_plan,
    play,
    play_programs,
    radio,
    receive,
    schedule_of,
    send,
    starts_s,
    switched,
    table,
)

from edgesim.cluster import Network
from edgesim.errors import ProfileError, ScheduleError
from edgesim.plan import Depth, Stage
from edgesim.schedule import Op, Payload, Task
from edgesim.simulator import simulate

F_S, B_S = 0.010, 0.020
about = pytest.approx  # 1e-6 relative: far below any cost in these tests


def pipeline_s(stages: int, micro_batches: int, depth: Depth, network: Network, *, output_bytes: float = 0) -> float:
    model, cluster = chain(stages, output_bytes=output_bytes), homogeneous(stages, network=network)
    plan = pipeline_plan(model, micro_batches=micro_batches, depth=depth)
    profile = constant_profile(model, cluster, forward_s=F_S, backward_s=B_S)
    return play(plan, model, cluster, profile).makespan_s


# --- computation ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("stages", "micro_batches"), [(1, 1), (1, 7), (4, 1), (4, 8), (8, 64)])
def test_equal_stages_fill_and_drain_the_pipeline_once(stages: int, micro_batches: int) -> None:
    expected = (micro_batches + stages - 1) * (F_S + B_S)
    for depth in (Depth.GPIPE, Depth.ONE_F_ONE_B, Depth.ASTEROID):
        assert pipeline_s(stages, micro_batches, depth, switched(stages)) == about(expected)


@pytest.mark.parametrize("network", [switched, pairs, radio])
@pytest.mark.parametrize(
    ("hop_s", "makespan_s"), [(0, 2.130), (0.002, 2.378), (0.005, 2.750), (0.010, 3.370), (0.030, 5.850)]
)
def test_1f1b_on_8_stages_takes_what_four_independent_engines_found(network, hop_s: float, makespan_s: float) -> None:
    found_s = pipeline_s(8, 64, Depth.ONE_F_ONE_B, network(8, latency_s=hop_s), output_bytes=1000)
    assert found_s == pytest.approx(makespan_s, abs=1e-9)


def test_an_update_comes_after_the_last_backward() -> None:
    model, cluster = chain(1), homogeneous(1)
    profile = constant_profile(model, cluster, forward_s=F_S, backward_s=B_S, update_s=0.5)
    trace = play(data_plan(model, [1], micro_batches=3), model, cluster, profile)
    assert trace.makespan_s == about(3 * (F_S + B_S) + 0.5)


def test_a_device_is_slow_only_where_it_is_slow() -> None:
    model, cluster = chain(2), named(2)
    profile = linear_profile(model, cluster, forward_s=F_S, backward_s=B_S, speeds=(1, 0.25))
    m = 5
    bottleneck_s = m * 4 * (F_S + B_S)
    trace = play(pipeline_plan(model, micro_batches=m), model, cluster, profile)
    assert trace.makespan_s == about(F_S + bottleneck_s + B_S)


def test_a_rank_takes_the_time_of_its_own_samples_and_layers() -> None:
    model, cluster = chain(3), named(2)
    profile = table(model, cluster, lambda rank, layer, n: ((rank + 1) * (layer + 1) * n, 0))
    trace = play(data_plan(model, [3, 2]), model, cluster, profile)
    assert ends_s(trace)["0F0@0"] == about(1 * (1 + 2 + 3) * 3)
    assert ends_s(trace)["0F0@1"] == about(2 * (1 + 2 + 3) * 2)


def test_a_block_takes_the_time_of_its_own_point() -> None:
    model, cluster = chain(2), homogeneous(1)
    profile = constant_profile(model, cluster)
    points = (*profile.points, replace(profile.points[0], block="l0/only", seconds=7.0))
    schedule = schedule_of([replace(compute(Op.F, 0), block="l0/only")])
    trace = simulate(schedule, cluster=cluster, model=model, profile=replace(profile, points=points), tokens=1)
    assert trace.makespan_s == 7.0


# --- messages ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("network", [switched, pairs, radio])
def test_one_micro_batch_pays_every_hop_once_each_way(network) -> None:
    p, size, rate, latency_s = 5, 1000, 250_000, 0.003
    found_s = pipeline_s(p, 1, Depth.GPIPE, network(p, bytes_per_s=rate, latency_s=latency_s), output_bytes=size)
    assert found_s == about(p * (F_S + B_S) + 2 * (p - 1) * (size / rate + latency_s))


@pytest.mark.parametrize("network", [switched, pairs, radio])
def test_only_goodput_carries_a_message(network) -> None:
    trace = play_programs(
        homogeneous(2, network=network(2, bytes_per_s=1000, goodput=0.8)), [send(0, 1, 400)], [receive(1, 0, 400)]
    )
    assert trace.makespan_s == about(400 / (0.8 * 1000))


@pytest.mark.parametrize(("transmit", "receive_rate"), [(100, 50), (50, 100)])
def test_a_message_is_as_slow_as_the_slower_of_its_two_nics(transmit: float, receive_rate: float) -> None:
    network = Network.switched(
        transmit_bytes_per_s=[transmit, 9e9],
        receive_bytes_per_s=[9e9, receive_rate],
        latency_s=0,
        goodput=1,
        origin="assumed",
        source="test",
    )
    trace = play_programs(homogeneous(2, network=network), [send(0, 1, 100)], [receive(1, 0, 100)])
    assert trace.makespan_s == about(2)


def test_every_pair_has_its_own_rate_and_latency_in_each_direction() -> None:
    network = Network.pairs(
        bytes_per_s=[[1, 100], [50, 1]], latency_s=[[9, 0.25], [0.5, 9]], goodput=1, origin="assumed", source="test"
    )
    trace = play_programs(
        homogeneous(2, network=network),
        [send(0, 1, 100), receive(0, 1, 100)],
        [send(1, 0, 100), receive(1, 0, 100)],
    )
    assert ends_s(trace)["1RECV_activation0@1<0"] == about(1.25)
    assert ends_s(trace)["0RECV_activation0@0<1"] == about(2.5)


def test_a_sender_is_free_when_its_bytes_have_left_and_the_receiver_has_them_a_latency_later() -> None:
    cluster = homogeneous(2, network=switched(2, bytes_per_s=100, latency_s=0.25))
    trace = play_programs(
        cluster,
        [send(0, 1, 100), compute(Op.F, 0, needs=["0SEND_activation0@0>1"])],
        [receive(1, 0, 100), compute(Op.F, 1, needs=["1RECV_activation0@1<0"])],
    )
    spans = {span.task.name: (span.start_s, span.end_s) for span in trace}
    assert spans["0SEND_activation0@0>1"] == about((0, 1))
    assert spans["1RECV_activation0@1<0"] == about((0.25, 1.25))
    assert spans["0F0@0"] == about((1, 2))
    assert spans["1F0@1"] == about((1.25, 2.25))


@pytest.mark.parametrize("burst_bytes", [0.0, 1e-9], ids=["longest path", "events"])
def test_hosts_hand_a_message_over_before_it_is_sent_and_when_it_has_arrived(burst_bytes: float) -> None:
    network = replace(switched(2, bytes_per_s=100, latency_s=0.25), hand_over_s=0.125, burst_bytes=burst_bytes)
    trace = play_programs(
        homogeneous(2, network=network),
        [compute(Op.F, 0), send(0, 1, 100, needs=["0F0@0"])],
        [receive(1, 0, 100), compute(Op.F, 1, needs=["1RECV_activation0@1<0"])],
    )
    spans = {span.task.name: (span.start_s, span.end_s) for span in trace}
    assert spans["0F0@0"] == about((0, 1))
    assert spans["0SEND_activation0@0>1"] == about((1.125, 2.125))
    assert spans["1RECV_activation0@1<0"] == about((1.375, 2.375))
    assert spans["1F0@1"] == about((2.5, 3.5))


def test_a_ring_is_handed_over_once_and_its_steps_take_what_hosts_need_for_one() -> None:
    n, size, rate = 4, 1000, 100
    network = replace(switched(n, bytes_per_s=rate, latency_s=9.0), hand_over_s=0.125, step_s=(0.5,))
    programs = [[compute(Op.F, rank)] for rank in range(n)]
    for program, ring in zip(programs, collective(Op.ALL_REDUCE, range(n), size), strict=True):
        program += [replace(ring, needs=(program[0].name,)), compute(Op.UPDATE, ring.rank, needs=[ring.name])]
    trace = play_programs(homogeneous(n, network=network), *programs)
    spans = {span.task.op: (span.start_s, span.end_s) for span in trace}
    ring_s = 6 * (size / n / rate + 0.5)
    assert spans[Op.ALL_REDUCE] == about((1.125, 1.125 + ring_s))
    assert spans[Op.UPDATE][0] == about(1.25 + ring_s)


@pytest.mark.parametrize(("send_ready_s", "receive_ready_s"), [(1, 3), (3, 1), (2, 2)])
def test_a_message_starts_when_its_send_is_ready_and_its_receive_is_posted(
    send_ready_s: int, receive_ready_s: int
) -> None:
    trace = play_programs(
        homogeneous(2, network=switched(2, bytes_per_s=100)),
        [*(compute(Op.F, 0, m) for m in range(send_ready_s)), send(0, 1, 100, needs=[f"0F{send_ready_s - 1}@0"])],
        [
            *(compute(Op.F, 1, m) for m in range(receive_ready_s)),
            receive(1, 0, 100, needs=[f"1F{receive_ready_s - 1}@1"]),
        ],
    )
    assert starts_s(trace)["0SEND_activation0@0>1"] == about(max(send_ready_s, receive_ready_s))


def test_messages_of_one_pair_and_channel_go_one_after_the_other() -> None:
    trace = play_programs(
        homogeneous(2, network=switched(2, bytes_per_s=100, latency_s=0.5)),
        [send(0, 1, 100 * (m + 1), micro_batch=m) for m in range(3)],
        [receive(1, 0, 100 * (m + 1), micro_batch=m) for m in range(3)],
    )
    assert [ends_s(trace)[f"1RECV_activation{m}@1<0"] for m in range(3)] == about([1.5, 3.5, 6.5])


def test_a_message_that_is_not_ready_holds_up_those_behind_it_on_its_connection_only() -> None:
    trace = play_programs(
        homogeneous(3, network=switched(3, bytes_per_s=100)),
        [
            compute(Op.F, 0),
            send(0, 1, 100, needs=["0F0@0"]),
            send(0, 1, 100, micro_batch=1),
            send(0, 2, 50),
            send(0, 1, 50, payload=Payload.GRADIENT),
        ],
        [receive(1, 0, 100), receive(1, 0, 100, micro_batch=1), receive(1, 0, 50, payload=Payload.GRADIENT)],
        [receive(2, 0, 50)],
    )
    starts = starts_s(trace)
    assert starts["0SEND_activation0@0>1"] == about(1)
    assert starts["0SEND_activation1@0>1"] == about(2)
    assert starts["0SEND_activation0@0>2"] == starts["0SEND_gradient0@0>1"] == 0


def test_hundreds_of_messages_can_end_at_one_instant() -> None:
    count = 3000
    trace = play_programs(
        homogeneous(2),
        [send(0, 1, 0, micro_batch=m) for m in range(count)],
        [receive(1, 0, 0, micro_batch=m) for m in range(count)],
    )
    assert trace.makespan_s == 0


# --- collectives ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("network", [switched, pairs])
@pytest.mark.parametrize("replicas", [2, 3, 5])
def test_replicas_pay_a_ring_all_reduce_after_their_micro_batches(network, replicas: int) -> None:
    m, size, rate, latency_s = 3, 6000, 1e6, 0.004
    model = chain(2, parameter_bytes=size // 2)
    cluster = homogeneous(replicas, network=network(replicas, bytes_per_s=rate, latency_s=latency_s))
    profile = constant_profile(model, cluster, forward_s=F_S / 2, backward_s=B_S / 2)
    trace = play(data_plan(model, [1] * replicas, micro_batches=m), model, cluster, profile)
    ring_s = 2 * (replicas - 1) * (size / replicas / rate + latency_s)
    assert trace.makespan_s == about(m * (F_S + B_S) + ring_s)


@pytest.mark.parametrize(("op", "rounds"), [(Op.ALL_REDUCE, 2), (Op.ALL_GATHER, 1), (Op.REDUCE_SCATTER, 1)])
def test_gathering_and_scattering_take_half_the_steps_of_an_all_reduce(op: Op, rounds: int) -> None:
    n, size, rate, latency_s = 4, 1000, 100, 0.5
    cluster = homogeneous(n, network=switched(n, bytes_per_s=rate, latency_s=latency_s))
    trace = play_programs(cluster, *([task] for task in collective(op, range(n), size)))
    assert trace.makespan_s == about(rounds * (n - 1) * (size / n / rate + latency_s))
    assert set(ends_s(trace).values()) == {trace.makespan_s}


def test_a_ring_on_the_radio_sends_every_hop_through_the_same_air() -> None:
    n, size, rate = 4, 1000, 100
    trace = play_programs(
        homogeneous(n, network=radio(n, bytes_per_s=rate)),
        *([task] for task in collective(Op.ALL_REDUCE, range(n), size)),
    )
    assert trace.makespan_s == about(2 * (n - 1) * size / rate)


def test_a_ring_moves_at_the_pace_of_its_slowest_hop() -> None:
    rates, latencies = [[100.0] * 3 for _ in range(3)], [[0.5] * 3 for _ in range(3)]
    rates[1][2], latencies[2][0] = 10, 1.5
    rates[1][0], latencies[2][1] = 1, 99  # against the ring: not used
    network = Network.pairs(bytes_per_s=rates, latency_s=latencies, goodput=1, origin="assumed", source="test")
    programs = [[task] for task in collective(Op.ALL_REDUCE, range(3), 300)]
    assert play_programs(homogeneous(3, network=network), *programs).makespan_s == about(4 * (100 / 10 + 1.5))


def test_a_collective_starts_when_its_last_member_is_ready() -> None:
    ring = collective(Op.ALL_REDUCE, range(2), 100)
    late = replace(ring[1], needs=("1F2@1",))
    busy = [compute(Op.F, 1, m) for m in range(3)]
    trace = play_programs(homogeneous(2, network=switched(2, bytes_per_s=100)), [ring[0]], [*busy, late])
    assert starts_s(trace)["0ALL_REDUCE@0"] == starts_s(trace)["0ALL_REDUCE@1"] == about(3)
    assert trace.makespan_s == about(3 + 1)


# --- groups of uneven samples -----------------------------------------------------------------------------------------


def group_s(samples: list[list[int]], network, *, size: int, rate: float, latency_s: float) -> float:
    """One micro-batch through two stages on equal devices, no gradients to add; ``size`` bytes per sample."""
    ranks = sum(map(len, samples))
    model, cluster = chain(2, output_bytes=size, parameter_bytes=0), named(ranks)
    cluster = replace(cluster, network=network(ranks, bytes_per_s=rate, latency_s=latency_s))
    profile = linear_profile(model, cluster, forward_s=F_S, backward_s=B_S)
    return play(hybrid_plan(model, samples, micro_batches=1), model, cluster, profile).makespan_s


def test_a_group_on_private_links_waits_for_its_largest_share() -> None:
    size, rate, latency_s = 1000, 1e5, 0.003
    found_s = group_s([[2, 1], [3]], pairs, size=size, rate=rate, latency_s=latency_s)
    message_s = 2 * size / rate + latency_s
    assert found_s == about(2 * F_S + message_s + 3 * (F_S + B_S) + message_s + 2 * B_S)


def test_a_group_whose_messages_meet_in_one_nic_pays_for_all_their_bytes() -> None:
    size, rate, latency_s = 1000, 1e5, 0.003
    found_s = group_s([[2, 2], [4]], switched, size=size, rate=rate, latency_s=latency_s)
    messages_s = 4 * size / rate + latency_s
    assert found_s == about(2 * F_S + messages_s + 4 * (F_S + B_S) + messages_s + 2 * B_S)


def test_redistribution_sends_each_receiver_its_overlap() -> None:
    """Shares [2, 1] to [1, 2]: sample 0 goes from rank 0 to 2, sample 1 from 0 to 3, sample 2 from 1 to 3.

    Forward: rank 1 has sent by 2f; rank 0 then sends two messages of S through one NIC. Backward: rank 2 has sent by
    twice b after it could; rank 3 then sends one message of S to each of the two.
    """
    size, rate = 1000, 1e5
    message_s = size / rate
    assert message_s == F_S, "so that rank 1's message has left when rank 0's start"
    found_s = group_s([[2, 1], [1, 2]], switched, size=size, rate=rate, latency_s=0)
    assert found_s == about(2 * F_S + 2 * message_s + 2 * (F_S + B_S) + 2 * message_s + 2 * B_S)


def test_a_larger_share_on_a_faster_device_ends_with_the_others() -> None:
    model, cluster = chain(2, parameter_bytes=0), named(3)
    profile = linear_profile(model, cluster, forward_s=F_S, backward_s=B_S, speeds=(2, 1, 1))
    trace = play(hybrid_plan(model, [[2, 1], [3]], micro_batches=1), model, cluster, profile)
    assert ends_s(trace)["0F0@0"] == about(ends_s(trace)["0F0@1"])
    assert trace.makespan_s == about((1 + 3) * (F_S + B_S))


def test_each_stage_adds_its_own_gradients_among_its_own_replicas() -> None:
    """Two stages of 2 and 3 replicas on private links: the first starts its ring one backward later, and is last."""
    size, rate, latency_s = 6000, 1e6, 0.004
    model, cluster = chain(2, output_bytes=0, parameter_bytes=size), named(5)
    cluster = replace(cluster, network=pairs(5, bytes_per_s=rate, latency_s=latency_s))
    plan, profile = hybrid_plan(model, [[3, 3], [2, 2, 2]], micro_batches=1), constant_profile(model, cluster)
    trace = play(plan, model, cluster, profile)
    computed_s = 2 * (F_S + B_S) + 2 * latency_s
    assert ends_s(trace)["0ALL_REDUCE@1"] == about(computed_s + 2 * 1 * (size / 2 / rate + latency_s))
    assert ends_s(trace)["1ALL_REDUCE@4"] == about(computed_s - B_S - latency_s + 2 * 2 * (size / 3 / rate + latency_s))


# --- contention -------------------------------------------------------------------------------------------------------


def two_flows(network: Network, second: tuple[int, int], nbytes: tuple[int, int]) -> tuple[float, float]:
    """When two messages end that start together: one from rank 0 to 1, and another."""
    programs: list[list[Task]] = [[] for _ in range(network.ranks)]
    for (source, destination), size in zip([(0, 1), second], nbytes, strict=True):
        programs[source].append(send(source, destination, size))
        programs[destination].append(receive(destination, source, size))
    ends = ends_s(play_programs(homogeneous(network.ranks, network=network), *programs))
    return ends["0SEND_activation0@0>1"], ends[f"{second[0]}SEND_activation0@{second[0]}>{second[1]}"]


def test_max_min_gives_the_slower_flow_4_and_the_other_the_remaining_6() -> None:
    """Links of 10 and 4: A leaves by the NIC of 10 and enters by one of 4; B leaves by the same NIC of 10."""
    network = Network.switched(
        transmit_bytes_per_s=[10, 99, 99],
        receive_bytes_per_s=[99, 4, 99],
        latency_s=0,
        goodput=1,
        origin="assumed",
        source="test",
    )
    assert two_flows(network, (0, 2), (40, 60)) == about((10, 10))


def test_a_flow_speeds_up_when_another_ends() -> None:
    assert two_flows(switched(3, bytes_per_s=10), (0, 2), (50, 100)) == about((10, 15))


def test_a_flow_slows_down_when_another_starts() -> None:
    trace = play_programs(
        homogeneous(3, network=switched(3, bytes_per_s=10)),
        [send(0, 1, 20), compute(Op.F, 0), send(0, 2, 20, needs=["0F0@0"])],
        [receive(1, 0, 20)],
        [receive(2, 0, 20)],
    )
    assert [ends_s(trace)[f"0SEND_activation0@0>{peer}"] for peer in (1, 2)] == about([3, 4])


def test_a_full_duplex_nic_sends_and_receives_at_full_rate() -> None:
    assert two_flows(switched(2, bytes_per_s=10), (1, 0), (100, 100)) == about((10, 10))


def test_two_flows_of_strangers_share_the_air_of_a_radio() -> None:
    assert two_flows(radio(4, bytes_per_s=10), (2, 3), (100, 100)) == about((20, 20))


def test_two_flows_of_strangers_share_nothing_on_a_switch_or_on_private_links() -> None:
    for network in (switched(4, bytes_per_s=10), pairs(4, bytes_per_s=10)):
        assert two_flows(network, (2, 3), (100, 100)) == about((10, 10))


def test_flows_from_one_rank_share_its_nic_but_not_private_links() -> None:
    assert two_flows(switched(3, bytes_per_s=10), (0, 2), (100, 100)) == about((20, 20))
    assert two_flows(pairs(3, bytes_per_s=10), (0, 2), (100, 100)) == about((10, 10))


def test_a_slow_station_takes_more_air_for_the_same_bytes() -> None:
    rates = [[10.0] * 4 for _ in range(4)]
    rates[2][3] = 5
    network = Network.radio(bytes_per_s=rates, latency_s=0, goodput=1, origin="assumed", source="test")
    assert two_flows(network, (2, 3), (100, 100)) == about((30, 30))


# --- token buckets ----------------------------------------------------------------------------------------------------


def bucket_ends_s(programs: list[list[Task]], *, burst_bytes: float = 300) -> dict[str, float]:
    network = switched(2, bytes_per_s=100, burst_bytes=burst_bytes)
    return ends_s(play_programs(homogeneous(2, network=network), *programs))


def messages(*sizes: int) -> list[list[Task]]:
    return [
        [send(0, 1, size, micro_batch=m) for m, size in enumerate(sizes)],
        [receive(1, 0, size, micro_batch=m) for m, size in enumerate(sizes)],
    ]


def test_an_idle_link_lets_a_burst_through_at_once_and_the_rest_at_line_rate() -> None:
    assert bucket_ends_s(messages(1000))["0SEND_activation0@0>1"] == about((1000 - 300) / 100)
    assert bucket_ends_s(messages(200))["0SEND_activation0@0>1"] == 0


def test_back_to_back_messages_get_no_second_burst() -> None:
    ends = bucket_ends_s(messages(1000, 1000))
    assert ends["0SEND_activation1@0>1"] == about((2000 - 300) / 100)


def test_small_messages_share_one_burst() -> None:
    ends = bucket_ends_s(messages(200, 200))
    assert ends["0SEND_activation1@0>1"] == about((400 - 300) / 100)


def test_messages_that_begin_together_share_the_burst_whichever_comes_first() -> None:
    """Of 400 bytes each 150 pass at once; rank 0's NIC then sends 250 of each at 50 B/s."""
    network = switched(3, bytes_per_s=100, burst_bytes=300)
    for peers in ((1, 2), (2, 1)):
        programs = [[send(0, peer, 400) for peer in peers], [receive(1, 0, 400)], [receive(2, 0, 400)]]
        ends = ends_s(play_programs(homogeneous(3, network=network), *programs))
        assert [ends[f"0SEND_activation0@0>{peer}"] for peer in (1, 2)] == about((5, 5))


@pytest.mark.parametrize("nbytes", range(1, 300))
def test_a_message_that_fits_leaves_as_a_whole(nbytes: int) -> None:
    assert bucket_ends_s(messages(nbytes))["0SEND_activation0@0>1"] == 0


@pytest.mark.parametrize(("idle_s", "credit_bytes"), [(1, 100), (2, 200), (9, 300)])
def test_a_bucket_fills_at_line_rate_while_its_link_is_idle_but_never_overflows(
    idle_s: int, credit_bytes: float
) -> None:
    first, second = messages(1000, 1000)
    waits = [replace(compute(Op.F, 0, m), needs=("0SEND_activation0@0>1",)) for m in range(idle_s)]
    first = [first[0], *waits, replace(first[1], needs=(f"0F{idle_s - 1}@0",))]
    ends = bucket_ends_s([first, second])
    assert ends["0SEND_activation1@0>1"] == about(7 + idle_s + (1000 - credit_bytes) / 100)


# --- disk -------------------------------------------------------------------------------------------------------------


def disk(op: Op, rank: int, nbytes: int, micro_batch: int) -> Task:
    return replace(compute(op, rank, micro_batch), nbytes=nbytes)


def test_the_disk_is_a_stream_of_its_own_with_its_own_speed() -> None:
    cluster = homogeneous(1, disk_bytes_per_s=50)
    trace = play_programs(
        cluster, [disk(Op.CACHE_READ, 0, 100, 0), disk(Op.CACHE_WRITE, 0, 25, 0), compute(Op.F, 0, needs=())]
    )
    spans = {span.task.name: (span.start_s, span.end_s) for span in trace}
    assert spans["0CACHE_READ0@0"] == about((0, 2))
    assert spans["0CACHE_WRITE0@0"] == about((2, 2.5))
    assert spans["0F0@0"] == about((0, 1))


# --- refusals and repeatability ---------------------------------------------------------------------------------------


def test_a_schedule_for_more_ranks_than_the_cluster_has_is_refused() -> None:
    with pytest.raises(ScheduleError, match="schedule is for 3 ranks, cluster 2 boards has 2"):
        play_programs(homogeneous(2), [], [], [compute(Op.F, 2)])


def test_a_profile_without_an_answer_is_refused_before_anything_is_played() -> None:
    model, cluster = chain(1), named(1)
    profile = constant_profile(model, homogeneous(1))
    with pytest.raises(ProfileError, match="has no device 'd0'"):
        play(data_plan(model, [1]), model, cluster, profile)


def test_a_plan_may_leave_the_first_ranks_out() -> None:
    model, cluster = chain(1), homogeneous(3)
    stage = Stage(layers=(0, 1), ranks=(2,), samples=(1,), in_flight=1)
    plan = replace(data_plan(model, [1]), stages=(stage,))
    assert play(plan, model, cluster, constant_profile(model, cluster)).makespan_s == about(F_S + B_S)


def test_an_empty_schedule_takes_no_time() -> None:
    assert play_programs(homogeneous(1)).makespan_s == 0


def test_simulations_in_one_process_do_not_see_each_other() -> None:
    def lines(latency_s: float) -> str:
        model = chain(3)
        cluster = replace(named(5), network=radio(5, bytes_per_s=1e4, latency_s=latency_s))
        plan = hybrid_plan(model, [[2, 1], [1, 1, 1]], micro_batches=4)
        return play(plan, model, cluster, linear_profile(model, cluster, speeds=(1, 2, 3, 4, 5))).to_lines()

    before, other, after = lines(0.001), lines(0.002), lines(0.001)
    assert before == after != other
