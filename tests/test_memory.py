"""Every term of memory has an answer in closed form that only it can change, and the sum obeys its laws."""

from dataclasses import fields, replace

import pytest
from builders import block, chain, workload
from hypothesis import given, settings
from hypothesis import strategies as st

from edgesim.memory import WHOLE, Memory, RankLoad, Share, boundary_bytes, cache_bytes, held_bytes, kv_bytes, ring_bytes
from edgesim.model import BlockKind, Cost, Layer, Model
from edgesim.workload import Optimiser, Purpose, Workload
from edgesim.zoo.bert import bert
from edgesim.zoo.gpt2 import gpt2

repeatable = settings(max_examples=60, deadline=None, derandomize=True, database=None)

SILENT = chain(3, output_bytes=0, parameter_bytes=0, stash_bytes=0)  # three layers that cost nothing


def held(model: Model, layers: tuple[int, int] = (1, 2), **more: object) -> Memory:
    """Two samples of each of four micro-batches, three of them in flight, on the middle of three layers."""
    asked = more.pop("workload", workload())
    numbers = {"samples": 2, "in_flight": 3, "micro_batches": 4, "replicas": 1, "context_bytes": 0.0} | more
    return held_bytes(model, asked, RankLoad(layers=layers, **numbers))  # type: ignore[arg-type]


def only(memory: Memory) -> dict[str, float]:
    """The terms that are not zero."""
    terms = {field.name: getattr(memory, field.name) for field in fields(memory)}
    return {name: value for name, value in terms.items() if value}


def middle(**changed: object) -> Model:
    """Layers that cost nothing, but for what is changed of the middle one's block."""
    layers = list(SILENT.layers)
    layers[1] = replace(layers[1], blocks=(replace(layers[1].blocks[0], **changed),))  # type: ignore[arg-type]
    return replace(SILENT, layers=tuple(layers))


# --- one term at a time -----------------------------------------------------------------------------------------------


def test_layers_that_cost_nothing_hold_nothing() -> None:
    assert only(held(SILENT)) == {}
    assert held(SILENT).total_bytes == 0


def test_the_framework_takes_its_context() -> None:
    memory = held(SILENT, context_bytes=70.0)
    assert only(memory) == {"context_bytes": 70}
    assert memory.total_bytes == memory.static_bytes == 70


def test_frozen_parameters_are_held_once() -> None:
    memory = held(middle(parameter_bytes=400, trainable=False), workload=workload(optimiser=Optimiser.ADAM), replicas=2)
    assert only(memory) == {"parameter_bytes": 400}


@pytest.mark.parametrize(("optimiser", "states"), [(Optimiser.SGD, 0), (Optimiser.MOMENTUM, 1), (Optimiser.ADAM, 2)])
def test_trained_parameters_have_gradients_and_the_optimiser_s_state(optimiser: Optimiser, states: int) -> None:
    memory = held(middle(parameter_bytes=400), workload=workload(optimiser=optimiser))
    state = {"optimiser_bytes": states * 400} if states else {}
    assert only(memory) == {"parameter_bytes": 400, "gradient_bytes": 400} | state
    assert memory.total_bytes == memory.static_bytes == (2 + states) * 400


def test_inference_trains_nothing() -> None:
    memory = held(middle(parameter_bytes=400), workload=workload(purpose=Purpose.INFER, optimiser=Optimiser.ADAM))
    assert only(memory) == {"parameter_bytes": 400}


@pytest.mark.parametrize(
    ("trainable", "expected"),
    [(True, {"parameter_bytes": 40, "gradient_bytes": 40, "optimiser_bytes": 80}), (False, {"parameter_bytes": 40})],
)
def test_a_block_tied_to_a_layer_elsewhere_holds_a_copy(trainable: bool, expected: dict[str, float]) -> None:
    model = middle(tied_bytes=40, tied_to="l0", trainable=trainable)
    asked = workload(optimiser=Optimiser.ADAM)
    assert only(held(model, workload=asked)) == expected
    assert only(held(model, (0, 2), workload=asked)) == {}


def test_a_stash_is_kept_for_each_sample_of_each_micro_batch_in_flight() -> None:
    memory = held(middle(stash_bytes=Cost(per_sample=5)))
    assert only(memory) == {"stash_bytes": 3 * 2 * 5}
    assert memory.total_bytes == memory.resting_bytes + memory.stash_bytes == 30


def test_where_activations_are_recomputed_one_micro_batch_is_stashed() -> None:
    memory = held(middle(stash_bytes=Cost(per_sample=5)), recompute=True)
    assert only(memory) == {"stash_bytes": 2 * 5}
    assert held(middle(stash_bytes=Cost(per_sample=5)), workload=workload(purpose=Purpose.INFER), recompute=True) == (
        held(middle(stash_bytes=Cost(per_sample=5)), workload=workload(purpose=Purpose.INFER))
    )


def test_activations_are_received_ahead_and_their_gradients_kept_to_the_end() -> None:
    """Of all four micro-batches, 2 samples of 7 B each."""
    model = replace(SILENT, layers=(Layer(name="l0", blocks=(block(output_bytes=7),)), *SILENT.layers[1:]))
    assert only(held(model)) == {"message_bytes": (4 + 4) * 14}
    assert only(held(model, (0, 1)))["message_bytes"] == (3 + 4) * 14  # where it is sent: outputs in flight, gradients
    assert only(held(model, workload=workload(purpose=Purpose.INFER))) == {
        "message_bytes": 4 * 14,
        "transient_bytes": 14,
    }


def test_a_received_input_is_not_counted_again_in_the_stash() -> None:
    model = replace(
        middle(stash_bytes=Cost(per_sample=9)),
        layers=(Layer(name="l0", blocks=(block(output_bytes=7),)), *middle(stash_bytes=Cost(per_sample=9)).layers[1:]),
    )
    assert held(model).stash_bytes == 3 * (2 * 9 - 2 * 7)


def test_nothing_is_sent_at_the_ends_of_the_model() -> None:
    model = chain(3, output_bytes=1000)
    assert [boundary_bytes(model, layers, samples=2, tokens=1) for layers in ((0, 3), (0, 1), (1, 2), (2, 3))] == [
        (0, 0),
        (0, 2000),
        (2000, 2000),
        (2000, 0),
    ]
    assert held(model, (0, 3)).message_bytes == 0


@pytest.mark.parametrize(("trained", "replicas", "expected"), [(400, 1, 0), (400, 2, 200), (400, 3, 136), (0, 3, 0)])
def test_a_ring_receives_the_largest_part_of_the_gradients(trained: int, replicas: int, expected: int) -> None:
    """100 numbers on three ranks are 34, 33 and 33."""
    assert ring_bytes(trained, replicas=replicas) == expected
    assert held(middle(parameter_bytes=trained), replicas=replicas).ring_bytes == expected


def test_the_ring_runs_when_no_stash_is_left() -> None:
    small, large = (middle(parameter_bytes=400, stash_bytes=Cost(per_sample=nbytes)) for nbytes in (20, 50))
    assert held(small, replicas=2).total_bytes == 800 + 200
    assert held(large, replicas=2).total_bytes == 800 + 3 * 2 * 50


def test_inference_needs_the_input_and_the_output_of_its_largest_block() -> None:
    sizes = (5, 40, 30, 2)
    model = Model(
        name="uneven",
        architecture="chain",
        hyper={},
        layers=(Layer(name="only", blocks=tuple(block(output_bytes=n, parameter_bytes=0) for n in sizes)),),
    )
    memory = held(model, (0, 1), workload=workload(purpose=Purpose.INFER))
    assert only(memory) == {"transient_bytes": 2 * (40 + 30)}
    assert memory.total_bytes == 140


# --- shares of a stage ------------------------------------------------------------------------------------------------

GPT = gpt2(name="small", layers=2, hidden=64, heads=4, columns=256, vocabulary=100, positions=64, tied=True)
INFERRING = workload(purpose=Purpose.INFER, tokens=32)
H, F, V, P, T = 64, 256, 100, 64, 32  # hidden, columns, vocabulary, positions, tokens
# Numbers in all ranks: embedding, norms, and the biases behind attention and MLP.
REPLICATED = (V + P) * H + 2 * (2 * 2 * H + 2 * H) + 2 * H
SPLIT_NUMBERS = 2 * (4 * H * H + 3 * H + 2 * H * F + F)
PREFILL = {"samples": 1, "in_flight": 1, "micro_batches": 1}


def of_gpt(share: Share, asked: Workload = INFERRING, **more: object) -> Memory:
    return held(GPT, (0, 4), workload=asked, share=share, **PREFILL | more)


def test_a_share_of_heads_and_columns_holds_its_part_of_the_matrices_and_all_else() -> None:
    """The tied head reads its words from the embedding, which every rank has."""
    assert of_gpt(WHOLE).parameter_bytes == 4 * (REPLICATED + SPLIT_NUMBERS) == GPT.parameter_bytes
    assert of_gpt(Share(heads=0.25, columns=0.25)).parameter_bytes == 4 * (REPLICATED + SPLIT_NUMBERS // 4)
    attention, mlp = 2 * (4 * H * H + 3 * H), 2 * (2 * H * F + F)
    assert of_gpt(Share(heads=0.5, columns=0.25)).parameter_bytes == 4 * (REPLICATED + attention // 2 + mlp // 4)


def test_weights_in_half_precision_take_half_the_bytes() -> None:
    half = of_gpt(Share(heads=0.25, columns=0.25), replace(INFERRING, weight_bytes=2))
    assert half.parameter_bytes == 2 * (REPLICATED + SPLIT_NUMBERS // 4)


def test_a_rank_with_its_own_tokens_alone_holds_every_weight() -> None:
    assert of_gpt(Share(tokens=8)).parameter_bytes == GPT.parameter_bytes


@pytest.mark.parametrize(
    ("share", "numbers"),
    [
        (WHOLE, T * H + T * V),  # the head: a hidden vector and words per token
        (Share(heads=0.25, columns=0.25), 2 * T * H),  # a norm: vectors of all tokens in and out
        (Share(tokens=8), 2 * 8 * H + 2 * T * H),  # attention: its own in and out, K and V of all
        (Share(heads=0.25, columns=0.25, tokens=8), 8 * H + T * H + T * H),  # attention: own, gathered, and all out
    ],
)
def test_inference_at_a_share_needs_what_its_largest_block_reads_gathers_and_writes(share: Share, numbers: int) -> None:
    assert of_gpt(share).transient_bytes == 4 * numbers


def test_keys_and_values_of_prompt_and_answer_are_kept_for_the_own_heads() -> None:
    asked = replace(INFERRING, new_tokens=10)
    assert of_gpt(WHOLE).kv_bytes == 0
    assert of_gpt(WHOLE, asked).kv_bytes == 2 * 2 * (T + 10) * H * 4
    assert of_gpt(Share(heads=0.25, columns=0.5), asked).kv_bytes == 2 * 2 * (T + 10) * H
    assert of_gpt(WHOLE, asked, samples=3).resting_bytes == GPT.parameter_bytes + 3 * 2 * 2 * (T + 10) * H * 4


def test_what_is_gathered_of_keys_and_values_is_not_counted_beside_their_cache() -> None:
    own, words = 2 * 8 * H, 8 * H + 8 * V
    assert of_gpt(Share(tokens=8), replace(INFERRING, new_tokens=1)).transient_bytes == 4 * max(own, words)


def test_encoders_generate_nothing() -> None:
    with pytest.raises(ValueError, match=r"encoder\.0 is an encoder, which generates nothing"):
        held(BERT, (0, 6), workload=replace(INFERRING, new_tokens=1))


def test_own_tokens_keep_their_own_stash_and_keys_and_values_of_all() -> None:
    """Training by sequence: a quarter of everything, but all of K and V; weights and their gradients in full."""
    asked = workload(tokens=T)
    whole, quarter = (of_gpt(share, asked, in_flight=3) for share in (WHOLE, Share(tokens=8)))
    keys_and_values = 3 * 2 * 2 * T * H * 4
    assert quarter.stash_bytes - keys_and_values == (whole.stash_bytes - keys_and_values) / 4
    assert quarter.gradient_bytes == whole.gradient_bytes


def test_own_heads_keep_their_stash_and_the_whole_input() -> None:
    """Of half the heads and columns, all but the inputs of attention, MLP and head, and the blocks between them."""
    asked = workload(tokens=T)
    whole, half = (of_gpt(share, asked).stash_bytes for share in (WHOLE, Share(heads=0.5, columns=0.5)))
    blocks = [block for layer in GPT.layers for block in layer.blocks]
    shared = sum((b.unsplit if b.splits else b).stash_bytes(1, T) for b in blocks)
    assert 0 < shared < half < whole
    assert half - shared == (whole - shared) / 2


def test_one_stage_of_many_ranks_exchanges_no_boundary() -> None:
    for share in (Share(heads=0.5), Share(tokens=8), Share(heads=0.5, columns=0.5, tokens=8)):
        assert of_gpt(share, workload(tokens=T), replicas=4).message_bytes == 0


@pytest.mark.parametrize("tokens", [0, 33])
def test_more_own_tokens_than_there_are_are_refused(tokens: int) -> None:
    with pytest.raises(ValueError, match=rf"a share of {tokens} tokens must lie in 1\.\.32"):
        of_gpt(Share(tokens=tokens))


def test_keys_and_values_of_an_attention_without_parts_are_unknown() -> None:
    attention = replace(GPT.block("decoder.0/attention"), parts=())
    with pytest.raises(ValueError, match="attention has no parts, so its K and V are unknown"):
        kv_bytes(attention, samples=1, tokens=1)


# --- the activation cache ---------------------------------------------------------------------------------------------

BERT = bert(name="small", layers=4, hidden=64, heads=4, columns=128, vocabulary=259, positions=64)
CACHING = workload(purpose=Purpose.FINE_TUNE, cache=True)


def test_the_cache_keeps_the_embedding_s_output_and_that_of_every_layer() -> None:
    """s h (l + 1) numbers per sequence."""
    assert cache_bytes(BERT, samples=3, tokens=16) == 3 * 16 * 64 * (4 + 1) * 4


def test_the_cache_lies_on_disk_unless_memory_is_asked_for() -> None:
    assert held(BERT, (0, 6), workload=CACHING).cache_bytes == 0
    asked = replace(CACHING, tokens=16, cached_in_memory_samples=3)
    memory = held(BERT, (0, 6), workload=asked)
    assert memory.cache_bytes == cache_bytes(BERT, samples=3, tokens=16)
    without = held(BERT, (0, 6), workload=replace(asked, cached_in_memory_samples=0))
    assert memory.total_bytes - without.total_bytes == memory.cache_bytes


def test_a_stage_caches_the_outputs_of_its_own_layers() -> None:
    asked = replace(CACHING, cached_in_memory_samples=3)
    parts = [held(BERT, layers, workload=asked).cache_bytes for layers in ((0, 2), (2, 5), (5, 6))]
    assert BERT.layers[5].blocks[0].kind is BlockKind.HEAD
    assert parts == [2 * 3 * 64 * 4, 3 * 3 * 64 * 4, 0]


@pytest.mark.parametrize(
    ("fields_", "message"),
    [
        ({"cached_in_memory_samples": 1}, r"cached_in_memory_samples=1 without a cache \(try cache: true\)"),
        ({"cached_in_memory_samples": -1, "cache": True}, "cached_in_memory_samples must be at least 0, got -1"),
    ],
)
def test_samples_in_memory_without_a_cache_are_refused(fields_: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        workload(**fields_)


# --- laws -------------------------------------------------------------------------------------------------------------

costs = st.integers(0, 50)


@st.composite
def stages(draw: st.DrawFn) -> tuple[Model, tuple[int, int], dict[str, object]]:
    """A random chain, a range of its layers, and what is asked of it."""
    parts = [
        replace(
            block(output_bytes=draw(costs), parameter_bytes=4 * draw(costs), stash_bytes=draw(costs)),
            trainable=draw(st.booleans()),
            tied_bytes=draw(st.sampled_from([0, 8])),
            tied_to="l0",
        )
        for _ in range(draw(st.integers(1, 4)))
    ]
    model = replace(SILENT, layers=tuple(Layer(name=f"l{i}", blocks=(part,)) for i, part in enumerate(parts)))
    start = draw(st.integers(0, len(parts) - 1))
    asked: Workload = workload(purpose=draw(st.sampled_from(Purpose)), optimiser=draw(st.sampled_from(Optimiser)))
    numbers = {"workload": asked, "samples": draw(st.integers(1, 4)), "replicas": draw(st.integers(1, 3))}
    return model, (start, draw(st.integers(start + 1, len(parts)))), numbers


@repeatable
@given(stages(), st.integers(1, 6), st.integers(1, 6))
def test_more_in_flight_or_more_micro_batches_never_need_less(
    stage: tuple[Model, tuple[int, int], dict[str, object]], one: int, other: int
) -> None:
    model, layers, numbers = stage
    few, many = sorted((one, other))
    for name in ("in_flight", "micro_batches"):
        less, more = (held(model, layers, **numbers | {name: n}).total_bytes for n in (few, many))
        assert less <= more


@repeatable
@given(stages())
def test_every_term_is_counted_and_none_is_negative(stage: tuple[Model, tuple[int, int], dict[str, object]]) -> None:
    model, layers, numbers = stage
    memory = held(model, layers, **numbers, context_bytes=3.0)
    terms = only(memory)
    assert min(terms.values()) > 0
    at_once = max(terms.get("stash_bytes", 0) + terms.get("transient_bytes", 0), terms.get("ring_bytes", 0))
    rest = sum(terms[name] for name in terms.keys() - {"stash_bytes", "transient_bytes", "ring_bytes"})
    assert memory.total_bytes == pytest.approx(rest + at_once)
    assert memory.largest[1] == max(terms.values())
