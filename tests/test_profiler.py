"""A profile's layers are timed within whole passes: their seconds add up to what a stage takes."""

from dataclasses import replace

import pytest
import torch
from runtime_builders import BERT, MOBILENET, workload

from edgesim import Purpose
from edgesim.schedule import Op
from real_runtime import chain as chains
from real_runtime.chain import Chain, HostClock
from real_runtime.profiler import Repetition, Statistic, profile_layers


class CountingClock(HostClock):
    """A clock that is a second later at every look, so that what lies between looks is known."""

    def __init__(self) -> None:
        super().__init__(1.0)
        self.looks = 0

    def now_s(self) -> float:
        self.looks += 1
        return float(self.looks)


def of(rows: list[dict], op: Op, samples: int) -> list[float]:
    return [row["seconds"] for row in rows if (row["op"], row["samples"]) == (op, samples)]


@pytest.mark.parametrize("model", [BERT, MOBILENET], ids=lambda model: model.name)
def test_every_layer_has_its_part_of_each_pass_and_its_update(model) -> None:
    repetition = Repetition(samples=[1, 2], repeats=2, statistic=Statistic.LEAST)
    rows = profile_layers(Chain(model, workload(model), CountingClock()), repetition)
    layers = len(model.layers)
    for count in (1, 2):
        assert of(rows, Op.F, count) == [1.0] * layers  # from before a layer until behind it
        assert of(rows, Op.B, count) == [1.0] * layers  # from one layer's gradient to the next one's
    # A step for each layer, less its part of the call: one look around each, another around the call alone.
    assert of(rows, Op.UPDATE, 0) == pytest.approx([1 / layers] * layers)
    assert len(rows) == 5 * layers


def test_a_model_that_is_not_trained_is_timed_forward_alone_and_without_a_graph() -> None:
    seen: list[bool] = []
    chain = Chain(BERT, replace(workload(BERT), purpose=Purpose.INFER), CountingClock())
    chain.layers[0].register_forward_hook(lambda *_: seen.append(torch.is_grad_enabled()))
    rows = profile_layers(chain, Repetition(samples=[3], repeats=2, statistic=Statistic.MEDIAN))
    assert {row["op"] for row in rows} == {Op.F}
    assert seen == [False] * 3


def test_layers_add_up_to_the_least_pass_and_not_to_their_own_least_seconds() -> None:
    repetition = Repetition(samples=[], repeats=3, statistic=Statistic.LEAST)
    assert repetition.of_parts([[2.0, 9.0], [4.0, 4.0], [8.0, 2.0]]) == pytest.approx([4.0, 4.0])
    mean = Repetition(samples=[], repeats=3, statistic=Statistic.MEAN)
    assert mean.of_parts([[2.0, 9.0], [4.0, 4.0], [6.0, 2.0]]) == pytest.approx([4.0, 5.0])


def test_a_slow_host_counts_stretched_processor_time_and_rests_no_longer_than_its_caches_need(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    processor_s, slept = [10.0], []
    monkeypatch.setattr(chains.time, "thread_time", lambda: processor_s[0])
    monkeypatch.setattr(chains.time, "sleep", slept.append)
    clock = HostClock(0.25)
    begin_s = clock.now_s()
    assert begin_s == 40.0
    processor_s[0] = 10.004
    clock.rest(begin_s)
    processor_s[0] = 15.0
    clock.rest(begin_s)
    assert slept == pytest.approx([0.012, 0.02])
