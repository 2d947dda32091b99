"""Do frozen blocks compute and keep what gradients need on their way, and nothing else?"""

from dataclasses import replace

import pytest
from builders import block, chain, homogeneous
from hypothesis import given, settings
from hypothesis import strategies as st

from edgesim.finetuning import cached, full, houlsby, lora, parallel_adapters, with_gradients
from edgesim.metrics import measure
from edgesim.model import BlockKind, Cost, Layer, Model
from edgesim.plan import Depth, Plan, make_stages, tied_apart
from edgesim.profile import estimate
from edgesim.schedule import Payload
from edgesim.simulator import simulate
from edgesim.strategies.hybrid_pipeline import hybrid_pipeline
from edgesim.workload import Workload
from edgesim.zoo.bert import bert
from edgesim.zoo.t5 import t5

SAMPLES, TOKENS = 4, 32
H, COLUMNS = 64, 256
BERT = bert(name="b", layers=3, hidden=H, heads=8, columns=COLUMNS, vocabulary=100, positions=64)
T5 = t5(
    name="t",
    encoder_layers=2,
    decoder_layers=2,
    hidden=H,
    heads=8,
    head_size=8,
    columns=COLUMNS,
    vocabulary=100,
    buckets=32,
    decoder_tokens=3,
)
TECHNIQUES = [houlsby, lora, parallel_adapters]
repeatable = settings(max_examples=40, deadline=None, derandomize=True, database=None)


WORK = Workload(
    purpose="train", batch_samples=8, micro_batch_samples=4, tokens=TOKENS, optimiser="sgd", learning_rate=0.1
)


def two_stages(model: Model) -> Plan:
    """Two ranks in a pipeline, cut behind the second layer."""
    stages = make_stages(
        cuts=(0, 2, len(model.layers)),
        groups=((0,), (1,)),
        samples=((4,), (4,)),
        depth=Depth.ONE_F_ONE_B,
        micro_batches=2,
    )
    return Plan(model=model.name, stages=stages, micro_batches=2, micro_batch_samples=4, planner="test")


def total(model: Model, cost: str) -> float:
    return sum(getattr(part, cost)(SAMPLES, TOKENS) for layer in model.layers for part in layer.blocks)


def trainable(model: Model) -> int:
    return sum(layer.trainable_bytes for layer in model.layers) // 4


def own(model: Model) -> list[list[str]]:
    """Names of the blocks that are not of the side."""
    return [[part.name for part in layer.blocks if part.kind is not BlockKind.SIDE] for layer in model.layers]


# --- the way of the gradients ---


def flops(layers: tuple[Layer, ...]) -> list[float]:
    return [part.backward_flop(1, 1) for layer in layers for part in layer.blocks]


def stashes(layers: tuple[Layer, ...]) -> list[float]:
    return [part.stash_bytes(1, 1) for layer in layers for part in layer.blocks]


def three(*trained: bool) -> tuple[Layer, ...]:
    """Layers of one block: backward 10, of which 4 for weights; a stash of 6, of which 5 for weights."""
    parts = [
        replace(
            block("x"),
            trainable=each,
            backward_flop=Cost(fixed=10),
            weight_flop=Cost(fixed=4),
            stash_bytes=Cost(fixed=6),
            weight_stash_bytes=Cost(fixed=5),
        )
        for each in trained
    ]
    return tuple(Layer(name=f"l{i}", blocks=(part,)) for i, part in enumerate(parts))


@pytest.mark.parametrize(
    ("trained", "flop", "stash"),
    [
        ((True, True, True), [10, 10, 10], [6, 6, 6]),
        ((False, True, False), [0, 10, 6], [0, 6, 1]),
        ((False, False, True), [0, 0, 10], [0, 0, 6]),
        ((True, False, False), [10, 6, 6], [6, 1, 1]),
        ((False, False, False), [0, 0, 0], [0, 0, 0]),
    ],
)
def test_a_frozen_block_works_backwards_only_if_something_before_it_is_trained(
    trained: tuple[bool, ...], flop: list[float], stash: list[float]
) -> None:
    layers = with_gradients(three(*trained))
    assert flops(layers) == flop
    assert stashes(layers) == stash


@repeatable
@given(st.lists(st.booleans(), min_size=1, max_size=6), st.integers(0, 5))
def test_freezing_one_more_block_never_costs_more(trained: list[bool], place: int) -> None:
    fewer = [each and index != place for index, each in enumerate(trained)]
    for more, less in ((flops, flops), (stashes, stashes)):
        assert sum(less(with_gradients(three(*fewer)))) <= sum(more(with_gradients(three(*trained))))


def test_no_gradient_goes_back_to_where_nothing_is_trained() -> None:
    layers = with_gradients(three(False, True, False))
    assert [layer.gradient_bytes(1, 1) == layer.output_bytes(1, 1) for layer in layers[1:]] == [True, True]
    assert layers[0].gradient_bytes(1, 1) == 0 < layers[0].output_bytes(1, 1)


@pytest.mark.parametrize(("technique", "sent_back"), [(full, H), (houlsby, H), (parallel_adapters, H // 8)])
def test_a_pipeline_sends_back_what_is_trained(technique: object, sent_back: int) -> None:
    tuned = technique(BERT)  # type: ignore[operator]
    tasks = list(hybrid_pipeline(two_stages(tuned), tuned, WORK))
    (nbytes,) = {task.nbytes for task in tasks if task.payload is Payload.GRADIENT}
    assert nbytes == 4 * 4 * TOKENS * sent_back


# --- the techniques ---


def test_full_fine_tuning_is_the_model_itself() -> None:
    assert full(BERT) is BERT


@pytest.mark.parametrize("technique", TECHNIQUES)
@pytest.mark.parametrize("model", [BERT, T5], ids=["bert", "t5"])
def test_a_technique_keeps_the_model_and_trains_only_what_it_adds(technique: object, model: Model) -> None:
    tuned = technique(model)  # type: ignore[operator]
    assert own(tuned) == own(model)
    added = tuned.parameter_bytes - model.parameter_bytes
    assert trainable(tuned) * 4 == added > 0
    assert total(tuned, "backward_flop") < total(model, "backward_flop")
    assert total(tuned, "stash_bytes") < total(model, "stash_bytes")
    assert tuned.hyper["technique"]


def test_adapters_have_their_closed_form() -> None:
    tuned, m = houlsby(BERT, bottleneck=8), 8
    assert trainable(tuned) == 3 * 2 * (2 * H * m + m + H)
    more = total(tuned, "forward_flop") - total(BERT, "forward_flop")
    assert more == SAMPLES * TOKENS * 3 * 2 * 4 * H * m


def test_lora_has_its_closed_form_and_looks_at_the_encoder_for_crossed_values() -> None:
    tuned, r = lora(BERT, rank=4), 4
    assert trainable(tuned) == 3 * 4 * H * r
    assert total(tuned, "forward_flop") - total(BERT, "forward_flop") == SAMPLES * TOKENS * 3 * 2 * 4 * H * r
    crossed = total(lora(T5, rank=r), "forward_flop") - total(T5, "forward_flop")
    encoder, decoder = 2 * 2 * TOKENS, 2 * (2 * 3 + 3 + TOKENS)
    assert crossed == SAMPLES * (encoder + decoder) * 4 * H * r


def test_dropout_before_lora_keeps_a_copy_and_a_mask_for_each_of_q_and_v() -> None:
    plain, dropped = (total(lora(BERT, rank=4, dropout=on), "stash_bytes") for on in (False, True))
    assert dropped - plain == SAMPLES * TOKENS * 3 * (4 * H + 2 * H)


def test_parallel_adapters_send_no_gradient_through_the_model() -> None:
    tuned = parallel_adapters(BERT, k=8)
    for layer in tuned.layers[:-1]:
        for part in layer.blocks:
            if part.kind is not BlockKind.SIDE:
                assert part.backward_flop == part.stash_bytes == Cost()
    # The head reads both, so gradients enter through it.
    assert total(replace(tuned, layers=tuned.layers[-1:]), "backward_flop") > 0


def test_a_boundary_of_parallel_adapters_carries_the_side_state_as_well() -> None:
    for model in (BERT, T5):
        tuned = parallel_adapters(model, k=8)
        for plain, wider in zip(model.layers[:-1], tuned.layers[:-1], strict=True):
            assert wider.output_bytes(SAMPLES, TOKENS) == plain.output_bytes(SAMPLES, TOKENS) * 9 / 8


def test_the_side_network_is_the_model_at_an_eighth_of_its_sizes_with_maps_down_and_up() -> None:
    side = H // 8
    layer = 4 * (side * side + side) + 2 * side * COLUMNS // 8 + side + COLUMNS // 8 + 2 * 2 * side
    down, up = H * side + side, side * H + H
    tuned = parallel_adapters(BERT, k=8)
    norms_of_the_head = 0  # BERT's head has its norm inside
    gates = 3
    assert trainable(tuned) == 3 * layer + 4 * down + gates + up + norms_of_the_head


def test_with_the_cache_the_side_network_and_the_head_are_left() -> None:
    tuned = cached(parallel_adapters(BERT))
    assert all(part.trainable for layer in tuned.layers[:-1] for part in layer.blocks)
    assert tuned.layers[-1] == parallel_adapters(BERT).layers[-1]
    assert trainable(tuned) == trainable(parallel_adapters(BERT))


@pytest.mark.parametrize(
    ("technique", "model", "message"),
    [
        (houlsby, chain(2), "has no hidden size: this technique is for transformers"),
        (lora, chain(2), "has no hidden size"),
        (parallel_adapters, chain(2), "has no hidden size"),
        (cached, BERT, "b has no parallel adapters, which a cache needs"),
        (lambda model: parallel_adapters(model, k=7), BERT, "b: hidden=64 is not a multiple of k=7"),
    ],
)
def test_what_cannot_be_tuned_that_way_is_refused(technique: object, model: Model, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        technique(model)  # type: ignore[operator]


def test_a_model_with_tied_weights_may_be_cut_where_they_are_frozen() -> None:
    tuned = parallel_adapters(T5)
    assert tied_apart(two_stages(T5).stages, T5, WORK) != ""
    assert tied_apart(two_stages(tuned).stages, tuned, WORK) == ""


@pytest.mark.parametrize("technique", [full, houlsby, lora, parallel_adapters])
def test_a_tuned_pipeline_holds_what_its_plan_was_checked_for(technique: object) -> None:
    tuned = technique(BERT)  # type: ignore[operator]
    cluster, plan = homogeneous(2), two_stages(tuned)
    profile = estimate(tuned, cluster.devices, samples=(4,), tokens=TOKENS)
    trace = simulate(hybrid_pipeline(plan, tuned, WORK), cluster=cluster, model=tuned, profile=profile, tokens=TOKENS)
    held = measure(trace, cluster=cluster, model=tuned, workload=WORK).peak_bytes
    wanted = [memory.total_bytes for _, memory in sorted(plan.memory(tuned, cluster, WORK).items())]
    assert held == pytest.approx(wanted)
