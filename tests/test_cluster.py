"""Devices, power and networks check themselves and answer for one flow alone."""

from dataclasses import replace
from math import exp, inf, log, nan

import pytest
from builders import device, homogeneous, pairs, power, radio, switched

from edgesim.cluster import Cluster, EfficiencyCurve, Network, Resource, ResourceKind


def curve(work_flop: tuple[float, ...], fraction: tuple[float, ...], kind: str = "any") -> EfficiencyCurve:
    return EfficiencyCurve(kind=kind, work_flop=work_flop, fraction=fraction, source="test")


def test_no_state_draws_less_than_idle() -> None:
    for state in ("compute_w", "transmit_w", "receive_w"):
        with pytest.raises(ValueError, match=f"idle_w <= {state}, got idle_w=1, {state}=0.5"):
            power(**{state: 0.5})


@pytest.mark.parametrize("watts", [-1, inf, nan])
def test_power_is_a_finite_number_of_watts(watts: float) -> None:
    with pytest.raises(ValueError, match="power model"):
        power(idle_w=watts, compute_w=watts, transmit_w=watts, receive_w=watts)


def test_efficiency_is_linear_in_the_logarithm_of_work_and_flat_outside() -> None:
    points = curve((1e6, 1e8), (0.2, 0.6))
    assert points.at(1) == 0.2
    assert points.at(1e6) == 0.2
    assert points.at(1e7) == pytest.approx(0.4)
    assert points.at(exp((log(1e6) + 3 * log(1e8)) / 4)) == pytest.approx(0.5)
    assert points.at(1e8) == 0.6
    assert points.at(1e12) == 0.6


@pytest.mark.parametrize(
    ("work_flop", "fraction"),
    [
        ((), ()),
        ((1.0,), (0.5, 0.6)),
        ((2.0, 1.0), (0.5, 0.6)),
        ((0.0, 1.0), (0.5, 0.6)),
        ((1.0,), (0.0,)),
        ((1.0,), (1.1,)),
    ],
)
def test_a_crooked_efficiency_curve_is_refused(work_flop: tuple[float, ...], fraction: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="efficiency curve any"):
        curve(work_flop, fraction)


def test_a_device_prefers_the_curve_of_the_block_kind_to_the_one_for_any() -> None:
    board = device(efficiency=(curve((1.0,), (0.5,)), curve((1.0,), (0.25,), kind="conv")))
    assert (board.efficiency_at("conv", 10), board.efficiency_at("mlp", 10)) == (0.25, 0.5)
    assert device().efficiency_at("conv", 10) == 1.0


@pytest.mark.parametrize(
    "field", ["flop_per_s", "installed_bytes", "memory_bytes", "memory_bytes_per_s", "disk_bytes_per_s"]
)
@pytest.mark.parametrize("value", [0, -1, nan])
def test_a_device_without_speed_or_memory_is_refused(field: str, value: float) -> None:
    with pytest.raises(ValueError, match=f"device board: {field} must be positive"):
        device(**{field: value})


def test_an_application_cannot_use_more_memory_than_is_installed() -> None:
    assert device(installed_bytes=4e9, memory_bytes=4e9).memory_bytes == 4e9
    with pytest.raises(ValueError, match=r"device board: memory_bytes is what .* got 4 GB of 2 GB"):
        device(installed_bytes=2e9, memory_bytes=4e9)


@pytest.mark.parametrize("network", [switched, radio, pairs])
def test_zero_bandwidth_is_refused(network) -> None:
    with pytest.raises(ValueError, match=r"bandwidth must be positive, got 0 B/s for rank 0"):
        network(2, bytes_per_s=0)


def test_the_rank_whose_bandwidth_is_refused_is_named() -> None:
    with pytest.raises(ValueError, match="for rank 1"):
        Network.pairs(bytes_per_s=[[1, 1], [0, 1]], latency_s=0, goodput=1, origin="assumed", source="test")
    with pytest.raises(ValueError, match="for rank 2"):
        Network.switched(transmit_bytes_per_s=[1, 1, -1], latency_s=0, goodput=1, origin="assumed", source="test")


@pytest.mark.parametrize("goodput", [0, 1.01, nan])
def test_goodput_is_a_share_of_the_line_rate(goodput: float) -> None:
    with pytest.raises(ValueError, match="goodput"):
        switched(2, goodput=goodput)


@pytest.mark.parametrize("latency_s", [-0.001, inf, nan])
def test_latency_is_finite_and_never_negative(latency_s: float) -> None:
    with pytest.raises(ValueError, match="latencies"):
        switched(2, latency_s=latency_s)


@pytest.mark.parametrize("acknowledgement", [-0.1, 1, nan])
def test_acknowledgements_are_fewer_than_what_they_acknowledge(acknowledgement: float) -> None:
    with pytest.raises(ValueError, match="acknowledgement"):
        replace(switched(2), acknowledgement=acknowledgement)


@pytest.mark.parametrize("name", ["hand_over_s", "step_s"])
@pytest.mark.parametrize("seconds", [-1e-3, nan, inf])
def test_hosts_need_no_less_than_nothing_and_not_for_ever(name: str, seconds: float) -> None:
    with pytest.raises(ValueError, match=f"{name} must be finite and >= 0"):
        replace(switched(2), **{name: seconds if name == "hand_over_s" else (0.1, seconds)})


def test_a_step_takes_as_long_as_was_measured_of_a_ring_of_so_many() -> None:
    """On two cores a step of five hosts takes longer than one of two, whose threads find a core at once."""
    network = replace(switched(5, latency_s=9.0), step_s=(0.1, 0.2, 0.4))
    rings = [[(rank, (rank + 1) % members) for rank in range(members)] for members in (2, 3, 4, 5)]
    assert [network.step_delay_s(ring) for ring in rings] == [0.1, 0.2, 0.4, 0.4]
    assert replace(network, step_s=(0.3,)).step_delay_s(rings[2]) == 0.3
    assert replace(network, step_s=None).step_delay_s(rings[2]) == 9.0


def test_a_table_of_steps_is_not_empty() -> None:
    with pytest.raises(ValueError, match="step_s holds no number"):
        replace(switched(2), step_s=())


def test_a_radio_has_no_acknowledgements_apart_from_its_goodput() -> None:
    with pytest.raises(ValueError, match="goodput already holds"):
        replace(radio(2), acknowledgement=0.02)


@pytest.mark.parametrize("burst_bytes", [-1, inf])
def test_a_token_bucket_is_finite(burst_bytes: float) -> None:
    with pytest.raises(ValueError, match="burst_bytes"):
        switched(2, burst_bytes=burst_bytes)


def test_a_network_has_a_rate_and_a_latency_for_every_pair() -> None:
    with pytest.raises(ValueError, match="2 x 3 rates and 3 x 3 latencies"):
        Network.switched(
            transmit_bytes_per_s=[1, 1], latency_s=[[0] * 3] * 3, goodput=1, origin="assumed", source="test"
        )
    with pytest.raises(ValueError, match="2 x 2 latencies"):
        Network.pairs(bytes_per_s=[[1, 1]] * 2, latency_s=[[0, 0], [0]], goodput=1, origin="assumed", source="test")


def test_one_flow_is_as_fast_as_the_slower_of_its_two_nics() -> None:
    network = Network.switched(
        transmit_bytes_per_s=[10, 20],
        receive_bytes_per_s=[30, 4],
        latency_s=0,
        goodput=0.5,
        origin="assumed",
        source="test",
    )
    assert network.goodput_bytes_per_s(0, 1) == pytest.approx(2)
    assert network.goodput_bytes_per_s(1, 0) == pytest.approx(10)


def test_a_nic_receives_as_fast_as_it_transmits_unless_told_otherwise() -> None:
    assert switched(2, bytes_per_s=7).bytes_per_s == ((7, 7), (7, 7))


def test_flows_of_a_pair_network_share_nothing_and_those_of_a_radio_the_air() -> None:
    ways = [(0, 1), (1, 0), (0, 2)]
    assert len({name for way in ways for name, _ in pairs(3, bytes_per_s=1).hops(*way)}) == 3
    assert {name for way in ways for name, _ in radio(3, bytes_per_s=1).hops(*way)} == {Resource(ResourceKind.AIR)}


def test_resources_say_what_they_are_and_whose() -> None:
    assert [str(resource) for resource, _ in switched(3, bytes_per_s=1).hops(0, 2)] == ["transmit 0", "receive 2"]
    assert [str(resource) for resource, _ in pairs(3, bytes_per_s=1).hops(0, 2)] == ["link 0>2"]
    assert [str(resource) for resource, _ in radio(3, bytes_per_s=1).hops(0, 2)] == ["air"]


def test_an_infinite_network_is_infinitely_fast() -> None:
    assert switched(2).goodput_bytes_per_s(0, 1) == inf


def test_a_cluster_needs_a_network_of_its_size() -> None:
    with pytest.raises(ValueError, match="2 devices but a network for 3 ranks"):
        Cluster(name="odd", devices=(device(), device()), network=switched(3))
    with pytest.raises(ValueError, match="4 devices but a network for 2 ranks"):
        homogeneous(4, network=switched(2))


def test_a_cluster_prints_its_ranks() -> None:
    assert str(homogeneous(2)) == "2 boards: 0=board (1 GFLOP/s, 1 GB, assumed), 1=board (1 GFLOP/s, 1 GB, assumed)"
