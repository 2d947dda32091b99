"""Every joule has an answer in closed form: a state that only its watts change, a byte, a message, a wait, a charge."""

from dataclasses import replace
from itertools import pairwise

import pytest
from builders import (
    chain,
    collective,
    compute,
    constant_profile,
    device,
    homogeneous,
    play_programs,
    power,
    receive,
    schedule_of,
    send,
    switched,
    workload,
)

from edgesim.cluster import Cluster, Grid, PowerModel
from edgesim.energy import STATES, message_j, power_over_time, state_s, wire_messages
from edgesim.metrics import Metrics, measure
from edgesim.schedule import Op, Payload
from edgesim.simulator import simulate
from edgesim.trace import Trace
from edgesim.workload import Workload


def metrics_of(trace: Trace, cluster: Cluster, *, grid: Grid | None = None, asked: Workload | None = None) -> Metrics:
    return measure(trace, cluster=cluster, model=chain(2), workload=asked or workload(), grid=grid)


def message_cluster(model: PowerModel) -> Cluster:
    return Cluster(name="two", devices=(device(power=model),) * 2, network=switched(2, bytes_per_s=50, latency_s=1.0))


def message_trace(cluster: Cluster) -> Trace:
    """One second of computing on both ranks, then two of a message, then one of latency."""
    programs = [compute(Op.F, 0), send(0, 1, 100, needs=["0F0@0"])], [compute(Op.F, 1), receive(1, 0, 100)]
    return play_programs(cluster, *programs)


def message_metrics(model: PowerModel) -> Metrics:
    cluster = message_cluster(model)
    return metrics_of(message_trace(cluster), cluster)


FLAT = power(idle_w=1, compute_w=1, transmit_w=1, receive_w=1)


# --- states -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("state", "watts", "energy_j"),
    [
        ("idle", {}, (3, 3)),  # rank 0 computes and sends for 1 + 2 s, rank 1 computes for 1 and receives for 2
        ("waiting", {}, (1, 1)),
        ("compute", {"compute_w": 11}, (10, 10)),
        ("transmit", {"transmit_w": 11}, (20, 0)),
        ("receive", {"receive_w": 11}, (0, 20)),
    ],
)
def test_each_state_adds_its_watts_above_idle_for_as_long_as_it_holds(
    state: str, watts: dict[str, float], energy_j: tuple[float, float]
) -> None:
    found = message_metrics(replace(FLAT, **watts))
    assert [states[state] for states in found.energy_by_state_j] == pytest.approx(energy_j)
    above_idle_j = 0 if state in ("idle", "waiting") else sum(energy_j)
    assert found.energy_j == pytest.approx(8 + above_idle_j)
    assert found.edp_js == pytest.approx(4 * found.energy_j)


def test_two_messages_at_once_take_the_air_once() -> None:
    cluster = homogeneous(2, network=switched(2, bytes_per_s=50), power=power(idle_w=0, transmit_w=1, receive_w=1))
    trace = play_programs(
        cluster,
        [send(0, 1, 100), send(0, 1, 100, payload=Payload.GRADIENT)],
        [receive(1, 0, 100), receive(1, 0, 100, payload=Payload.GRADIENT)],
    )
    found = metrics_of(trace, cluster)
    assert [states["transmit"] for states in found.energy_by_state_j] == pytest.approx([4, 0])
    assert [states["receive"] for states in found.energy_by_state_j] == pytest.approx([0, 4])


def test_a_collective_transmits_and_receives_on_every_rank() -> None:
    cluster = homogeneous(2, network=switched(2, bytes_per_s=50))
    trace = play_programs(cluster, *([task] for task in collective(Op.ALL_REDUCE, range(2), 100)))
    for rank in range(2):
        assert state_s(trace.of_rank(rank)) == {"transmit": ([0], [2]), "receive": ([0], [2])}


def test_disk_work_draws_nothing_above_idle() -> None:
    trace = play_programs(homogeneous(1), [replace(compute(Op.F, 0), op=Op.CACHE_READ, nbytes=10)])
    assert state_s(trace.of_rank(0)) == {}


def test_power_over_time_rises_with_work_and_falls_back_to_idle() -> None:
    cluster = message_cluster(power())
    trace = message_trace(cluster)
    assert power_over_time(trace, cluster, 0) == [(0, 5), (1, 2), (3, 1), (4, 1)]
    assert power_over_time(trace, cluster, 1) == [(0, 5), (1, 1), (2, 1.5), (4, 1)]


def test_the_source_of_the_watts_is_told_once() -> None:
    boards = tuple(device(power=replace(power(), source=source)) for source in ("data sheet", "meter", "data sheet"))
    cluster = Cluster(name="three", devices=boards, network=switched(3))
    trace = play_programs(cluster, [compute(Op.F, 0)])
    assert metrics_of(trace, cluster).energy_source == "data sheet; meter"


def test_idle_and_waiting_are_together_the_base_load_of_the_whole_iteration() -> None:
    for states in message_metrics(power(idle_w=0.8)).energy_by_state_j:
        assert tuple(states) == STATES
        assert states["idle"] + states["waiting"] == pytest.approx(0.8 * 4)


def test_a_slower_link_costs_the_base_load_of_whoever_waits() -> None:

    def waiting_j(bytes_per_s: float) -> float:
        cluster = homogeneous(3, network=switched(3, bytes_per_s=bytes_per_s), power=FLAT)
        return metrics_of(play_programs(cluster, [send(0, 1, 100)], [receive(1, 0, 100)]), cluster).energy_by_state_j[
            2
        ]["waiting"]

    assert (waiting_j(50), waiting_j(25)) == pytest.approx((2, 4))


def test_a_device_at_its_disk_waits() -> None:
    cluster = homogeneous(1, power=FLAT)
    trace = play_programs(cluster, [replace(compute(Op.F, 0), op=Op.CACHE_READ, nbytes=2_000_000)])
    assert metrics_of(trace, cluster).energy_by_state_j[0] == pytest.approx(
        {"idle": 0, "waiting": 2, "compute": 0, "transmit": 0, "receive": 0, "static": 0}
    )


# --- bytes and messages -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("field", "energy_j"),
    [
        ("transmit_j_per_byte", {"transmit": (300, 0)}),
        ("transmit_j_per_message", {"transmit": (3, 0)}),
        ("receive_j_per_byte", {"receive": (0, 300)}),
        ("receive_j_per_message", {"receive": (0, 3)}),
    ],
)
def test_each_byte_and_each_message_has_its_price(field: str, energy_j: dict[str, tuple[float, float]]) -> None:
    found = message_metrics(replace(FLAT, **{field: 3.0}))
    for state in ("transmit", "receive"):
        assert [states[state] for states in found.energy_by_state_j] == pytest.approx(energy_j.get(state, (0, 0)))
    assert found.energy_j == pytest.approx(8 + sum(map(sum, energy_j.values())))


RADIO = PowerModel(  # the old linear model of 802.11 cards
    idle_w=0.8,
    compute_w=0.8,
    transmit_w=0.8,
    receive_w=0.8,
    source="test",
    transmit_j_per_byte=1.9e-6,
    transmit_j_per_message=420e-6,
    receive_j_per_byte=0.42e-6,
    receive_j_per_message=330e-6,
)


def test_the_old_model_of_wifi_comes_out() -> None:
    """1000 bytes: 1.9 mJ + 0.42 mJ to send, 0.42 mJ + 0.33 mJ to receive."""
    assert message_j(send(0, 1, 1000), RADIO) == pytest.approx({"transmit": 2.32e-3, "receive": 0})
    assert message_j(receive(1, 0, 1000), RADIO) == pytest.approx({"transmit": 0, "receive": 0.75e-3})
    assert message_j(compute(Op.F, 0), RADIO) == {"transmit": 0, "receive": 0}


@pytest.mark.parametrize(("op", "steps"), [(Op.ALL_REDUCE, 6), (Op.ALL_GATHER, 3), (Op.REDUCE_SCATTER, 3)])
def test_a_member_of_a_ring_sends_and_receives_a_part_at_every_step(op: Op, steps: int) -> None:
    member = collective(op, range(4), 4000)[0]
    assert wire_messages(member) == steps
    assert message_j(member, replace(FLAT, transmit_j_per_byte=1.0, receive_j_per_message=1.0)) == pytest.approx(
        {"transmit": steps * 1000, "receive": steps}
    )


def test_two_messages_at_once_pay_for_the_bytes_of_both() -> None:
    cluster = homogeneous(2, network=switched(2, bytes_per_s=50), power=replace(FLAT, transmit_j_per_byte=1.0))
    trace = play_programs(
        cluster,
        [send(0, 1, 100), send(0, 1, 100, payload=Payload.GRADIENT)],
        [receive(1, 0, 100), receive(1, 0, 100, payload=Payload.GRADIENT)],
    )
    assert metrics_of(trace, cluster).energy_by_state_j[0]["transmit"] == pytest.approx(200)


def test_the_joules_of_bytes_are_drawn_while_they_are_on_the_air() -> None:
    cluster = message_cluster(replace(FLAT, transmit_j_per_byte=0.02, receive_j_per_byte=0.06))
    trace = message_trace(cluster)
    assert sum(power_over_time(trace, cluster, 0), ()) == pytest.approx((0, 1, 1, 2, 3, 1, 4, 1))
    assert sum(power_over_time(trace, cluster, 1), ()) == pytest.approx((0, 1, 1, 1, 2, 4, 4, 1))


def test_the_joules_of_a_message_that_takes_no_time_spread_over_the_iteration() -> None:
    cluster = homogeneous(2, power=replace(FLAT, transmit_j_per_message=5.0))
    trace = play_programs(cluster, [compute(Op.F, 0), send(0, 1, 100)], [receive(1, 0, 100)])
    assert power_over_time(trace, cluster, 0) == [(0, 6), (1, 1)]
    assert metrics_of(trace, cluster).energy_by_state_j[0]["transmit"] == 5


@pytest.mark.parametrize(
    "field", ["transmit_j_per_byte", "transmit_j_per_message", "receive_j_per_byte", "receive_j_per_message"]
)
@pytest.mark.parametrize("joules", [-1.0, float("inf"), float("nan")])
def test_a_price_that_is_no_price_is_refused(field: str, joules: float) -> None:
    with pytest.raises(ValueError, match=f"{field} must be finite and >= 0"):
        replace(FLAT, **{field: joules})


# --- per sample, per charge, in grams ---------------------------------------------------------------------------------


def test_energy_per_sample_is_the_iteration_s_over_its_samples() -> None:
    cluster = message_cluster(FLAT)
    found = metrics_of(message_trace(cluster), cluster, asked=workload(micro_batches=2, micro_batch_samples=8))
    assert found.energy_per_sample_j == pytest.approx(8 / 16)


def test_a_charge_lasts_as_many_samples_as_the_device_s_own_energy_allows() -> None:
    cluster = message_cluster(FLAT)
    hungry = device(power=replace(FLAT, compute_w=5, battery_j=80.0))  # 4 J of base load, 4 J of computing
    found = metrics_of(
        message_trace(cluster), replace(cluster, devices=(cluster.devices[0], hungry)), asked=workload(micro_batches=3)
    )
    assert found.samples_per_charge == (None, pytest.approx(3 * 80 / 8))


def test_a_battery_that_nothing_drains_lasts_for_ever() -> None:
    cluster = homogeneous(2, power=power(idle_w=0, battery_j=1.0))
    found = metrics_of(play_programs(cluster, [compute(Op.F, 0)]), cluster)
    assert found.samples_per_charge == (pytest.approx(0.2), float("inf"))


@pytest.mark.parametrize("joules", [0.0, -1.0, float("inf")])
def test_a_battery_without_charge_is_refused(joules: float) -> None:
    with pytest.raises(ValueError, match=r"battery_j must be positive, got .* \(leave it out on mains\)"):
        replace(FLAT, battery_j=joules)


def test_carbon_is_what_the_grid_emits_for_the_energy_and_nothing_is_said_without_a_grid() -> None:
    cluster = message_cluster(FLAT)  # 8 J
    trace = message_trace(cluster)
    found = metrics_of(trace, cluster, grid=Grid(g_per_kwh=450.0, source="a test"))
    assert found.carbon_g == pytest.approx(8 / 3.6e6 * 450)
    assert found.carbon_source == "a test"
    assert metrics_of(trace, cluster).carbon_g is metrics_of(trace, cluster).carbon_source is None


def test_a_grid_that_takes_carbon_away_is_refused() -> None:
    with pytest.raises(ValueError, match="g_per_kwh must be finite and >= 0, got -1"):
        Grid(g_per_kwh=-1, source="test")


# --- work of its own kind, and radios that stay awake ---


@pytest.mark.parametrize(
    ("watts", "compute_j"),
    [({}, 0), ({"backward_w": 11}, 10 * 2), ({"update_w": 11}, 10 * 3), ({"backward_w": 3, "update_w": 2}, 2 * 2 + 3)],
)
def test_backward_passes_and_updates_draw_their_own_watts(watts: dict[str, float], compute_j: float) -> None:
    """Forward for one second, backward for two, an update for three."""
    cluster = Cluster(name="one", devices=(device(power=replace(FLAT, **watts)),), network=switched(1))
    schedule = schedule_of([compute(Op.F, 0), compute(Op.B, 0), compute(Op.UPDATE, 0, None)])
    profile = constant_profile(chain(2), cluster, forward_s=1.0, backward_s=2.0, update_s=3.0)
    trace = simulate(schedule, cluster=cluster, model=chain(2), profile=profile, tokens=1)
    (states,) = metrics_of(trace, cluster).energy_by_state_j
    assert states["compute"] == pytest.approx(compute_j)
    steps = pairwise(power_over_time(trace, cluster, 0))
    drawn = sum(w * (end - start) for (start, w), (end, _) in steps)
    assert drawn == pytest.approx(sum(states.values()))


@pytest.mark.parametrize(("tail_s", "sender_s"), [(0.25, 0.25), (0.5, 0.5), (9.0, 1.0)])
def test_a_radio_stays_awake_behind_a_message_for_its_tail_or_until_the_iteration_ends(
    tail_s: float, sender_s: float
) -> None:
    """The sender's bytes are on the air from 1 to 3 s, the receiver's from 2 to 4 s, when the iteration ends."""
    cluster = message_cluster(replace(FLAT, tail_w=11, tail_s=tail_s))
    trace = message_trace(cluster)
    sender, receiver = metrics_of(trace, cluster).energy_by_state_j
    assert (sender["receive"], receiver["receive"]) == pytest.approx((10 * sender_s, 0))
    assert sender["idle"] + sender["waiting"] == pytest.approx(4)
    steps = pairwise(power_over_time(trace, cluster, 0))
    drawn = sum(w * (end - start) for (start, w), (end, _) in steps)
    assert drawn == pytest.approx(sum(sender.values()))


def test_a_tail_ends_where_the_next_message_begins() -> None:
    """The first rank sends for two seconds; the answer, of two more, begins a second later, which is computed."""
    awake = device(power=replace(FLAT, tail_w=11, tail_s=9.0))
    cluster = Cluster(name="two", devices=(awake,) * 2, network=switched(2, bytes_per_s=50))
    there, back = send(0, 1, 100), receive(1, 0, 100)
    answer = compute(Op.F, 1, needs=[back.name])
    home = send(1, 0, 100, needs=[answer.name])
    trace = play_programs(cluster, [there, receive(0, 1, 100)], [back, answer, home])
    assert trace.makespan_s == pytest.approx(5)
    sender, receiver = metrics_of(trace, cluster).energy_by_state_j
    assert (sender["receive"], receiver["receive"]) == pytest.approx((10, 10))  # the second between, each


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"tail_w": 3.0}, r"tail_w=3.0, tail_s=0.0 \(give both, or neither\)"),
        ({"tail_s": 3.0}, r"tail_w=None, tail_s=3.0 \(give both"),
        ({"tail_w": 0.5, "tail_s": 1.0}, "idle_w <= tail_w, got idle_w=1, tail_w=0.5"),
        ({"backward_w": 0.5}, "idle_w <= backward_w"),
    ],
)
def test_watts_below_idle_and_half_a_tail_are_refused(wrong: dict[str, float], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        replace(FLAT, **wrong)
