"""Rates are max-min fair: every flow has a full resource on which nobody is faster."""

from dataclasses import replace

import pytest
import simpy
from builders import pairs, radio, switched
from hypothesis import given, settings
from hypothesis import strategies as st

from edgesim.cluster import Network
from edgesim.simulator.network.fabric import Routes
from edgesim.simulator.network.fair_shares import Changed, FairShares, max_min_rates
from edgesim.simulator.network.flow import Flow
from edgesim.simulator.network.topology import fabric_of

repeatable = settings(deadline=None, derandomize=True, database=None)


def test_the_flow_over_both_links_gets_4_and_the_other_6() -> None:
    assert max_min_rates({"A": [(0, 1 / 10), (1, 1 / 4)], "B": [(0, 1 / 10)]}) == pytest.approx({"A": 4, "B": 6})


def test_equal_flows_share_equally() -> None:
    assert max_min_rates({name: [(0, 0.1)] for name in "ABCD"}) == pytest.approx(dict.fromkeys("ABCD", 2.5))


def test_flows_with_nothing_in_common_do_not_slow_each_other() -> None:
    assert max_min_rates({"A": [(0, 0.1)], "B": [(1, 0.5)]}) == pytest.approx({"A": 10, "B": 2})


def test_three_levels_of_bottlenecks_fill_one_after_the_other() -> None:
    routes = {
        "A": [(0, 1 / 2), (2, 1 / 12)],
        "B": [(0, 1 / 2), (1, 1 / 5)],
        "C": [(1, 1 / 5), (2, 1 / 12)],
        "D": [(2, 1 / 12)],
    }
    assert max_min_rates(routes) == pytest.approx({"A": 1, "B": 1, "C": 4, "D": 7})


def test_stations_of_unequal_speed_get_the_same_bytes_and_unequal_air() -> None:
    assert max_min_rates({"fast": [(0, 1 / 30)], "slow": [(0, 1 / 6)]}) == pytest.approx({"fast": 5, "slow": 5})


def test_no_flows_have_no_rates() -> None:
    assert max_min_rates({}) == {}


resources = st.dictionaries(st.integers(0, 4), st.floats(1e-9, 1e-3), min_size=1, max_size=4)


def assert_fair(routes: dict[int, dict[int, float]], rates: dict[int, float]) -> None:
    load = {r: sum(rates[f] * route.get(r, 0) for f, route in routes.items()) for r in range(5)}
    assert all(used <= 1 + 1e-9 for used in load.values())
    for flow, route in routes.items():
        assert any(
            load[r] >= 1 - 1e-9 and all(rates[flow] >= rates[o] * (1 - 1e-9) for o, way in routes.items() if r in way)
            for r in route
        )


@repeatable
@given(st.dictionaries(st.integers(0, 9), resources, min_size=1, max_size=8))
def test_no_resource_is_overfull_and_every_flow_has_a_full_one_on_which_it_is_fastest(
    routes: dict[int, dict[int, float]],
) -> None:
    assert_fair(routes, max_min_rates({flow: tuple(route.items()) for flow, route in routes.items()}))


@repeatable
@given(st.lists(resources, min_size=1, max_size=6), st.lists(st.tuples(st.integers(0, 5), st.booleans()), max_size=20))
def test_rates_stay_fair_while_flows_come_and_go_and_change_is_told_with_what_it_was(
    ways: list[dict[int, float]], turns: list[tuple[int, bool]]
) -> None:
    """Each turn a flow begins that was away, or ends; rates that are not known at once are settled then or later."""
    shares, flows, told = FairShares[Flow](), dict[int, Flow](), dict[Flow, float]()

    def hear(changed: Changed[Flow]) -> None:
        for flow, before in changed:
            assert told.get(flow, 0.0) == before != flow.rate
            told[flow] = flow.rate

    for number, soon in turns:
        if number in flows:
            hear(shares.gain(shares.end(flows.pop(number))))
        else:
            flow = flows[number] = Flow(tuple(ways[number % len(ways)].items()))
            if shares.begin(flow):
                told[flow] = flow.rate
            else:
                hear(shares.share(flow))
        if soon and shares.unsettled:
            hear(shares.settle())
        if not shares.unsettled:
            rates = {number: flow.rate for number, flow in flows.items()}
            assert_fair({number: ways[number % len(ways)] for number in flows}, rates)
            assert all(told[flow] == flow.rate for flow in flows.values())


class Meter:
    """A fabric, and when each flow's last byte left it."""

    def __init__(self, network: Network) -> None:
        self.env, self.left_s = simpy.Environment(), dict[int, float]()
        self.routes = Routes(network)
        self.fabric = fabric_of(self.routes, self.env, self.leave)

    def leave(self, name: int) -> None:
        self.left_s[name] = self.env.now

    def send_at(self, at_s: float, name: int, way: tuple[int, int], nbytes: float) -> None:
        def start(_: simpy.Event) -> None:
            if not self.fabric.send(self.routes.route((way,)), nbytes, name):
                self.leave(name)

        self.env.timeout(at_s).callbacks.append(start)

    def run(self) -> dict[int, float]:
        self.env.run()
        return self.left_s


def test_what_has_flowed_before_a_change_of_rate_counts() -> None:
    meter = Meter(switched(3, bytes_per_s=10))
    meter.send_at(0, 1, (0, 1), 100)
    meter.send_at(4, 2, (0, 2), 20)
    assert meter.run() == pytest.approx({2: 8, 1: 12})


def test_a_change_reaches_flows_that_share_only_through_others() -> None:
    """1>2 is held back by 0>2 at rank 2's NIC; while two flows 0>1 slow 0>2 at rank 0's, 1>2 is faster."""
    meter = Meter(switched(3, bytes_per_s=10))
    for at_s, name, way, nbytes in ((0, 1, (0, 2), 100), (0, 2, (1, 2), 100), (2, 3, (0, 1), 30), (2, 4, (0, 1), 30)):
        meter.send_at(at_s, name, way, nbytes)
    by_11_s = 2 * 5 + 9 * (10 - 10 / 3)
    assert meter.run() == pytest.approx({3: 2 + 30 / (10 / 3), 4: 11, 2: 11 + (100 - by_11_s) / 5, 1: 20})


def test_a_bucket_counts_every_idle_second_once() -> None:
    """300 B at first, 100 B/s: 200 B leave at once, then 200 of 200 B, then 100 of 200 B."""
    meter = Meter(switched(2, bytes_per_s=100, burst_bytes=300))
    for name in range(3):
        meter.send_at(name, name, (0, 1), 200)
    assert meter.run() == pytest.approx({0: 0, 1: 1, 2: 3})


@pytest.mark.parametrize("network", [switched, pairs])
def test_acknowledgements_take_from_the_way_back_and_only_from_there(network) -> None:
    """Two ways of 100 B/s, a quarter byte back per byte: alone 100 B/s, both at once 80 B/s each."""
    alone, both = (Meter(replace(network(2, bytes_per_s=100), acknowledgement=0.25)) for _ in range(2))
    alone.send_at(0, 0, (0, 1), 400)
    assert alone.run() == pytest.approx({0: 4})
    both.send_at(0, 0, (0, 1), 400)
    both.send_at(0, 1, (1, 0), 400)
    assert both.run() == pytest.approx({0: 5, 1: 5})


def test_a_bucket_fills_while_only_acknowledgements_pass() -> None:
    """Rank 1's bucket is empty at 0 s and receives until 9 s: at 5 s it has its 300 B again."""
    network = replace(switched(2, bytes_per_s=100, burst_bytes=300), acknowledgement=1e-9)
    meter = Meter(network)
    meter.send_at(0, 0, (1, 0), 300)
    meter.send_at(0, 1, (0, 1), 1200)
    meter.send_at(5, 2, (1, 0), 400)
    assert meter.run() == pytest.approx({0: 0, 1: 9, 2: 6})


def test_an_unlimited_fabric_never_calls_back() -> None:
    routes = Routes(switched(2))
    fabric = fabric_of(routes, simpy.Environment(), lambda _: pytest.fail("nothing was on its way"))
    route = routes.route(((0, 1),))
    assert route[1:] == ((), ())
    assert fabric.send(route, 1e9, 0) is False


flows = st.lists(
    st.tuples(st.floats(0, 5), st.integers(0, 2), st.integers(1, 2), st.floats(1, 1000)), min_size=1, max_size=8
)


@repeatable
@given(flows, st.sampled_from([switched, radio, pairs]))
def test_no_flow_beats_its_line_and_the_last_ends_no_later_than_one_after_the_other(flows, network) -> None:
    rate = 100.0
    meter = Meter(network(3, bytes_per_s=rate))
    for name, (at_s, source, step, nbytes) in enumerate(flows):
        meter.send_at(at_s, name, (source, (source + step) % 3), nbytes)
    left_s = meter.run()
    assert set(left_s) == set(range(len(flows)))
    for name, (at_s, _, _, nbytes) in enumerate(flows):
        assert left_s[name] >= at_s + nbytes / rate - 1e-9
    latest_s = max(at_s for at_s, *_ in flows)
    assert max(left_s.values()) <= latest_s + sum(nbytes for *_, nbytes in flows) / rate + 1e-9


@repeatable
@given(st.floats(0, 5), st.floats(1, 1000), st.floats(1, 300))
def test_one_flow_saves_its_burst_and_no_more(at_s: float, nbytes: float, burst_bytes: float) -> None:
    plain, shaped = (Meter(switched(2, bytes_per_s=100, burst_bytes=burst)) for burst in (0, burst_bytes))
    for meter in (plain, shaped):
        meter.send_at(at_s, 0, (0, 1), nbytes)
    assert plain.run()[0] - shaped.run()[0] == pytest.approx(min(nbytes, burst_bytes) / 100)
