"""Layers cost what their closed forms say."""

import json

import pytest
from builders import block, chain

from edgesim.model import Cost, Layer, from_table, layer_names, model_from_dict, model_to_dict
from edgesim.zoo.bert import bert

H, HEADS, COLUMNS, VOCABULARY = 64, 4, 256, 1000


def small_bert():
    return bert(
        name="small", layers=2, hidden=H, heads=HEADS, columns=COLUMNS, vocabulary=VOCABULARY, positions=128
    )  # fmt: skip


def test_a_cost_is_a_polynomial_in_samples_and_tokens() -> None:
    cost = Cost(fixed=1, per_sample=10, per_token=100, per_token_squared=1000)
    assert cost(2, 3) == 1 + 2 * (10 + 3 * 100 + 9 * 1000)
    assert (cost + cost)(2, 3) == 2 * cost(2, 3) == (cost * 2)(2, 3)


def test_an_encoder_layer_has_the_flops_of_vaswani() -> None:
    layer, samples, tokens = small_bert().layers[1], 3, 32
    expected = samples * tokens * (8 * H * H + 4 * tokens * H + 4 * H * COLUMNS)
    assert layer.forward_flop(samples, tokens) == expected
    assert layer.backward_flop(samples, tokens) == 2 * expected


def test_parameters_of_bert_are_counted_in_closed_form() -> None:
    embedding = (VOCABULARY + 128 + 2) * H + 2 * H
    encoder = 4 * (H * H + H) + 2 * H * COLUMNS + H + COLUMNS + 2 * 2 * H
    head = H * H + H + 2 * H + H * VOCABULARY + VOCABULARY
    assert small_bert().parameter_bytes == 4 * (embedding + 2 * encoder + head)


def test_a_boundary_carries_one_hidden_vector_per_token() -> None:
    assert [layer.output_bytes(3, 32) for layer in small_bert().layers[:-1]] == [3 * 32 * H * 4] * 3


def test_frozen_blocks_have_no_trainable_bytes() -> None:
    layer = Layer(name="l", blocks=(block("a", parameter_bytes=8), block("b", parameter_bytes=4)))
    assert (layer.parameter_bytes, layer.trainable_bytes) == (12, 12)


def test_a_layer_stashes_what_its_blocks_stash() -> None:
    layer = Layer(name="l", blocks=(block("a", stash_bytes=5), block("b", stash_bytes=7)))
    assert layer.stash_bytes(3, 1) == 36


def test_a_layer_sends_on_what_its_last_block_puts_out() -> None:
    layer = Layer(name="l", blocks=(block("a", output_bytes=5), block("b", output_bytes=7)))
    assert layer.output_bytes(3, 1) == 21


def test_a_layer_without_blocks_is_refused() -> None:
    with pytest.raises(ValueError, match="layer void: has no blocks"):
        Layer(name="void", blocks=())


def test_heads_must_divide_the_hidden_size() -> None:
    with pytest.raises(ValueError, match="hidden=65 is no multiple of heads=4"):
        bert(name="odd", layers=1, hidden=65, heads=4, columns=8, vocabulary=9, positions=9)


def test_a_model_survives_json() -> None:
    model = small_bert()
    assert model_from_dict(json.loads(json.dumps(model_to_dict(model)))) == model


def test_an_unknown_layer_table_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"unknown layer table 'none' \(known: "):
        from_table(table="none")


def test_names_of_layers_are_short() -> None:
    model = chain(3)
    assert (layer_names(model.layers), layer_names(model.layers[1:2])) == ("l0 .. l2", "l1")
    assert str(model) == "chain3: 3 layers, 0.00 M parameters, 12 kB"
