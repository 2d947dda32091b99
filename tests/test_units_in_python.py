"""Is a quantity with its unit read where a configuration is, and refused in one sentence where a noun takes SI?"""

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from builders import device

import edgesim as es
from edgesim.cluster import ComputeWatts, DiskRates, Rail
from edgesim.scenario import Jitter, Moment, Slowdown

SIZES = {"workload.batch_samples": 8, "workload.micro_batch_samples": 4}


def slow_device(**options: Any) -> es.Device:
    """The slow device of a run whose keys are given in Python."""
    run = es.simulate(model="bert_tiny_bytes", strategy="data", devices={"slow": options}, **SIZES)
    return run.cluster.devices[2]


@pytest.mark.parametrize(
    ("key", "text", "si"),
    [
        ("flop_per_s", "8 GFLOP/s", 8e9),
        ("memory_bytes", "1.5 GiB", 1.5 * 2**30),
        ("memory_bytes_per_s", "10 GB/s", 1e10),
        ("disk_bytes_per_s", "720 Mbit/s", 9e7),
    ],
)
def test_quantities_of_a_runs_device_are_read_with_their_units(key: str, text: str, si: float) -> None:
    assert getattr(slow_device(**{key: text}), key) == si
    assert getattr(es.load_cluster("demo", devices={"slow": {key: text}}).devices[2], key) == si
    assert getattr(es.load_device("demo_slow", **{key: text}), key) == si


def test_watts_and_network_rates_are_read_with_their_units() -> None:
    assert slow_device(power={"idle_w": "500 mW"}).power.idle_w == 0.5
    network = es.load_cluster("demo", rate="16 Mbit/s", latency="3 ms").network
    assert (network.slowest_bytes_per_s, network.latency_s[0][1]) == (2e6, 0.003)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"x": {"flop_per_s": "8 GFLOP/s"}}, "devices.x.flop_per_s"),
        ({"slow": {"flop_per_s": "8 GB/s"}}, "devices.slow.flop_per_s: expected a rate of FLOP.*got '8 GB/s'"),
    ],
)
def test_a_device_that_is_none_and_a_wrong_unit_are_named(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        es.load_cluster("demo", devices=options)


NOUNS: dict[str, tuple[Callable[[], object], str]] = {
    "device": (
        lambda: device("x", flop_per_s="8 GFLOP/s"),  # type: ignore[arg-type]
        "device x: flop_per_s must be a number, got '8 GFLOP/s' (give it in SI: si('8 GFLOP/s'), with edgesim's si)",
    ),
    "memory": (
        lambda: device("x", memory_bytes="2 GiB"),  # type: ignore[arg-type]
        "device x: memory_bytes must be a number, got '2 GiB' (give it in SI: si('2 GiB'), with edgesim's si)",
    ),
    "wrong unit": (
        lambda: device("x", memory_bytes="2 s"),  # type: ignore[arg-type]
        "device x: memory_bytes must be a number, got '2 s' (give a number of bytes in SI, like si('2 GiB'))",
    ),
    "list": (
        lambda: device("x", memory_bytes_per_s=[1e9]),
        "device x: memory_bytes_per_s must be a number, got [1000000000.0]",
    ),
    "truth": (
        lambda: device("x", context_bytes=True),
        "device x: context_bytes must be a number, got True",
    ),
    "nothing": (
        lambda: device("x", disk_bytes_per_s=None),  # type: ignore[arg-type]
        "device x: disk_bytes_per_s must be a number, got None",
    ),
    "power": (
        lambda: device("x", power=2.0),  # type: ignore[arg-type]
        "device x: power must be a PowerModel, got 2.0",
    ),
    "watts": (
        lambda: replace(device().power, compute_w="2 W"),  # type: ignore[arg-type]
        "power model: compute_w must be a number, got '2 W' (give it in SI: si('2 W'), with edgesim's si)",
    ),
    "watts of a kind": (
        lambda: ComputeWatts(kind="mlp", watts="2 W", source="a test"),  # type: ignore[arg-type]
        "watts of mlp: watts must be a number, got '2 W'",
    ),
    "rail": (lambda: Rail(name="CPU", idle="1", source="t"), "rail CPU: idle must be a number, got '1'"),  # type: ignore[arg-type]
    "curve": (
        lambda: es.EfficiencyCurve(kind="any", work_flop=("1 GFLOP",), fraction=(0.5,), source="a test"),  # type: ignore[arg-type]
        "efficiency curve any: work_flop must be a number, got '1 GFLOP' (give it in SI: si('1 GFLOP'), ",
    ),
    "disk": (
        lambda: DiskRates(device="x", read_bytes_per_s="1 MB/s", write_bytes_per_s=1e6, source="a test"),  # type: ignore[arg-type]
        "disk of x: read_bytes_per_s must be a number, got '1 MB/s' (give it in SI: si('1 MB/s'), ",
    ),
    "workload": (
        lambda: replace(es.load_workload("text"), batch_samples="8"),  # type: ignore[arg-type]
        "workload: batch_samples must be a number, got '8'",
    ),
    "jitter": (lambda: Jitter(variation="5 %", source="a test"), "jitter: variation must be a number, got '5 %'"),  # type: ignore[arg-type]
    "moment": (lambda: Moment(at_s="1 min"), "moment: at_s must be a number, got '1 min' (give it in SI: si('1 min'),"),  # type: ignore[arg-type]
    "slow-down": (
        lambda: Slowdown(rank=1, start_s="2 s", end_s=3.0, factor=0.5, source="a test"),  # type: ignore[arg-type]
        "slow-down of rank 1: start_s must be a number, got '2 s' (give it in SI: si('2 s'), ",
    ),
}


@pytest.mark.parametrize("name", NOUNS)
def test_a_noun_refuses_what_is_no_number_and_says_how_it_becomes_one(name: str) -> None:
    make, said = NOUNS[name]
    with pytest.raises(ValueError, match=f"^{re.escape(said)}"):
        make()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"transmit_bytes_per_s": ["1 MB/s"] * 2}, "network: transmit_bytes_per_s must be a number, got '1 MB/s'"),
        ({"transmit_bytes_per_s": "1 MB/s"}, "network: transmit_bytes_per_s must be a number, got '1 MB/s'"),
        ({"latency_s": "1 ms"}, "network: latency_s must be a number, got '1 ms' (give it in SI: si('1 ms'), "),
        ({"step_s": "1 ms"}, "network: step_s must be a number, got '1 ms'"),
        ({"goodput": "0.9"}, "network: goodput must be a number, got '0.9'"),
    ],
)
def test_a_network_refuses_texts_and_says_how_they_become_numbers(options: dict[str, Any], said: str) -> None:
    asked = {"transmit_bytes_per_s": [1e6, 1e6], "latency_s": 1e-3, "goodput": 0.9, "origin": "assumed", "source": "t"}
    assert es.Network.switched(**asked).slowest_bytes_per_s == 1e6
    with pytest.raises(ValueError, match=f"^{re.escape(said)}"):
        es.Network.switched(**asked | options)
    with pytest.raises(ValueError, match="bytes_per_s must be a number, got '1 MB/s'"):
        es.Network.pairs(bytes_per_s=["1 MB/s"], latency_s=0.0, goodput=0.9, origin="assumed", source="t")  # type: ignore[list-item]


def test_what_si_reads_and_what_numpy_counts_are_numbers() -> None:
    made = device("x", flop_per_s=es.si("8 GFLOP/s"), context_bytes=np.int64(7), disk_write_bytes_per_s=None)
    assert (made.flop_per_s, made.context_bytes) == (8e9, 7)
    rates = np.array([1e6, 2e6])
    made_of_array = es.Network.switched(
        transmit_bytes_per_s=rates,  # type: ignore[arg-type]
        latency_s=0.0,
        goodput=0.9,
        origin="assumed",
        source="t",
    )
    assert made_of_array.slowest_bytes_per_s == 1e6
