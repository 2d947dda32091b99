"""A profile's layers are timed within whole passes: their seconds add up to what a stage takes."""

from dataclasses import replace

import pytest
import torch
from runtime_builders import BERT, MOBILENET, workload
from tuned_models import FAMILIES, TOKENS, tuned

from edgesim import Purpose
from edgesim.cluster import Origin
from edgesim.finetuning import cached
from edgesim.profile import CALL, Point, Profile
from edgesim.schedule import Op
from real_runtime import chain as chains
from real_runtime.chain import Chain, HostClock
from real_runtime.profiler import Repetition, profile_layers
from real_runtime.statistic import Statistic


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
        # Before a layer until behind it, one gradient to the next: alone as within, so that a call is free.
        for op in (Op.F, Op.B):
            assert of(rows, op, count) == [*[1.0] * layers, 0.0]
    assert of(rows, Op.UPDATE, 0) == [*[1.0] * layers, 0.0] * 2
    assert [row["block"] for row in rows[: layers + 1]] == [*(layer.name for layer in model.layers), CALL]


def test_the_call_keeps_what_each_repeat_of_whole_passes_was_charged() -> None:
    """Passes of 20, 10, 15, 5, 5, 5 s, at which it is sure: the least so far is charged, behind as many to warm up."""
    chain, factors = Chain(BERT, workload(BERT), CountingClock()), iter([9.0, 4.0, 2.0, 3.0, 1.0, 1.0, 1.0])
    chain.training = lambda inputs: ([factor := next(factors)] * 5, [factor] * 5)  # type: ignore[method-assign]
    chain.updates = lambda: [1.0] * 5  # type: ignore[method-assign]
    chain.alone = lambda i, inputs: [1.0] * 3  # type: ignore[method-assign]
    rows = profile_layers(chain, Repetition(samples=[1], repeats=4, statistic=Statistic.LEAST))
    kept = {row["op"]: row["repeats"] for row in rows if "repeats" in row}
    assert kept == {Op.F: [1.0] * 3, Op.B: [1.0] * 3, Op.UPDATE: [1.0] * 3}
    assert [row["block"] for row in rows if "repeats" in row] == [CALL] * 3


def test_what_a_layer_takes_longer_alone_is_the_call_which_the_first_layers_of_a_pass_have_paid() -> None:
    chain = Chain(BERT, workload(BERT), CountingClock())
    chain.training = lambda inputs: ([5.0, 2.0, 3.0, 4.0, 6.0], [6.0, 4.0, 3.0, 2.0, 9.0])  # type: ignore[method-assign]
    chain.updates = lambda: [2.0, 1.0, 1.0, 1.0, 1.0]  # type: ignore[method-assign]
    alone = {1: [2.5, 5.5, 9.0]}
    chain.alone = lambda i, inputs: alone[i]  # type: ignore[method-assign]
    rows = profile_layers(chain, Repetition(samples=[1], repeats=2, statistic=Statistic.LEAST))
    assert of(rows, Op.F, 1) == [4.5, 2.0, 3.0, 4.0, 6.0, 0.5]
    assert of(rows, Op.B, 1) == [6.0, 4.0, 3.0, 2.0, 7.5, 1.5]  # a backward pass begins at the last layer
    assert of(rows, Op.UPDATE, 0) == [1.0, 0.5, 0.5, 0.5, 0.5, 3.0]  # at most half of what each layer took


def test_a_profile_charges_a_call_once_for_all_layers_that_are_computed_at_once() -> None:
    def point(block: str, seconds: float) -> Point:
        return Point(block=block, device="a", op="F", samples=2, tokens=16, share=1.0, seconds=seconds)

    layers = [point(layer.name, 1.0) for layer in BERT.layers]
    asked = {"device": "a", "layers": BERT.layers[1:3], "op": "F", "samples": 2, "tokens": 16}
    for call_s, points in ((0.0, layers), (0.25, [*layers, point(CALL, 0.25)])):
        profile = Profile(model=BERT.name, origin=Origin.MEASURED, source="made up", points=tuple(points))
        assert profile.layers_s(**asked) == 2.0 + call_s


def test_a_model_that_is_not_trained_is_timed_forward_alone_and_without_a_graph() -> None:
    seen: list[bool] = []
    chain = Chain(BERT, replace(workload(BERT), purpose=Purpose.INFER), CountingClock())
    chain.layers[0].register_forward_hook(lambda *_: seen.append(torch.is_grad_enabled()))
    rows = profile_layers(chain, Repetition(samples=[3], repeats=2, statistic=Statistic.MEDIAN))
    assert {row["op"] for row in rows} == {Op.F}
    assert seen == [False] * 5  # three passes, and two up to a layer that is timed alone


def test_a_layer_alone_is_computed_with_widened_weights_where_the_whole_pass_is() -> None:
    """Timed without, a layer alone was faster than within a pass, and a call seemed to be free."""
    seen: list[torch.dtype] = []
    work = replace(workload(BERT), purpose=Purpose.INFER, weight_bytes=2)
    chain = Chain(BERT, work, CountingClock())
    chain.layers[2].register_forward_hook(lambda _layer, _given, output: seen.append(output.dtype))
    inputs = chain.samples(1)
    chain.inference(inputs)
    chain.alone(2, inputs)
    assert seen == [torch.float32] * 2


@pytest.mark.parametrize("family", FAMILIES)
def test_parallel_adapters_are_timed_beside_the_backbone_and_without_it(family: str) -> None:
    """Alone behind a message of both states; from cached outputs, of which a rank has all layers, behind none."""
    with_backbone = tuned(family, "parallel_adapters")
    for model in (with_backbone, cached(with_backbone)):
        work = replace(workload(model), purpose=Purpose.FINE_TUNE, tokens=TOKENS)
        rows = profile_layers(
            Chain(model, work, CountingClock()), Repetition(samples=[2], repeats=1, statistic=Statistic.LEAST)
        )
        assert {row["op"] for row in rows} == {Op.F, Op.B, Op.UPDATE}
        assert all(row["seconds"] >= 0 for row in rows)


def test_layers_add_up_to_the_least_pass_and_not_to_their_own_least_seconds() -> None:
    repetition = Repetition(samples=[], repeats=3, statistic=Statistic.LEAST)
    assert repetition.of_parts([[2.0, 9.0], [4.0, 4.0], [8.0, 2.0]]) == pytest.approx([4.0, 4.0])
    mean = Repetition(samples=[], repeats=3, statistic=Statistic.MEAN)
    assert mean.of_parts([[2.0, 9.0], [4.0, 4.0], [6.0, 2.0]]) == pytest.approx([4.0, 5.0])


def test_a_slow_host_counts_stretched_processor_time_and_rests_before_all_that_is_timed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Before a forward pass, a backward pass and an update, of the whole chain and of a layer alone."""
    processor_s, slept = [10.0], []
    monkeypatch.setattr(chains.time, "thread_time", lambda: processor_s[0])
    monkeypatch.setattr(chains.time, "sleep", slept.append)
    clock = HostClock(0.25)
    assert clock.now_s() == 40.0
    chain = Chain(BERT, workload(BERT), clock)
    inputs = chain.samples(1)
    chain.training(inputs), chain.updates(), chain.alone(1, inputs)
    assert slept == [0.06] * 6
    HostClock(1.0).rest()
    assert len(slept) == 6
