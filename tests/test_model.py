"""Layers cost what their closed forms say."""

import json
from dataclasses import replace

import pytest
from builders import block, chain

from edgesim.model import (
    Block,
    Cost,
    Layer,
    SplitBy,
    Unsplit,
    divided,
    from_table,
    model_from_dict,
    model_to_dict,
)
from edgesim.zoo.bert import bert

H, HEADS, COLUMNS, VOCABULARY = 64, 4, 256, 1000


def small_bert():
    return bert(name="small", layers=2, hidden=H, heads=HEADS, columns=COLUMNS, vocabulary=VOCABULARY, positions=128)


def test_a_cost_is_a_polynomial_in_samples_and_tokens() -> None:
    cost = Cost(fixed=1, per_sample=10, per_token=100, per_token_squared=1000)
    assert cost(2, 3) == 1 + 2 * (10 + 3 * 100 + 9 * 1000)
    assert (cost + cost)(2, 3) == 2 * cost(2, 3) == (cost * 2)(2, 3)


def test_tokens_look_at_as_many_keys_unless_told() -> None:
    cost = Cost(fixed=1, per_sample=10, per_token=100, per_token_squared=1000, per_key=7)
    assert cost(2, 3, 5) == 1 + 2 * (10 + 3 * 100 + 3 * 5 * 1000 + 5 * 7)
    assert cost(2, 3) == cost(2, 3, 3) == 1 + 2 * (10 + 3 * 100 + 9 * 1000 + 3 * 7)
    assert (cost + cost * 2)(2, 3, 5) == 3 * cost(2, 3, 5)


def test_a_new_token_scores_all_that_came_before_it() -> None:
    """One token with 48 keys: four matrices of the hidden size, and 4 k h for Q Kᵀ and P V."""
    attention = small_bert().block("encoder.0/attention")
    assert attention.forward_flop(3, 1, 48) == 3 * (8 * H * H + 4 * 48 * H)


def split_block(**more: object) -> Block:
    """A block of 8 columns whose every cost is 10, of which 2 are every rank's."""
    names = [name for name in Unsplit.__dataclass_fields__ if name != "parameter_bytes"]
    alike = Unsplit(**{name: Cost(per_sample=2) for name in names}, parameter_bytes=2)  # type: ignore[arg-type]
    whole = replace(block(), **{name: Cost(per_sample=10) for name in names}, parameter_bytes=10)  # type: ignore[arg-type]
    changed = {"unsplit": alike, "split_by": SplitBy.COLUMNS, "splits": 8, "score_flop": Cost(per_sample=4)} | more
    return replace(whole, **changed)  # type: ignore[arg-type]


@pytest.mark.parametrize(("share", "expected"), [(1.0, 10), (0.5, 6), (0.25, 4)])
def test_a_share_has_what_is_not_split_in_full_and_its_part_of_the_rest(share: float, expected: int) -> None:
    part = divided(split_block(tied_bytes=80, tied_to="l0"), share)
    assert {getattr(part, name)(1, 1) for name in Unsplit.__dataclass_fields__ if name != "parameter_bytes"} == {
        expected
    }
    assert part.parameter_bytes == expected
    assert (part.splits, part.tied_bytes, part.score_flop(1, 1)) == (8 * share, 80 * share, 4 * share)


def test_a_quarter_is_half_of_a_half() -> None:
    assert divided(divided(split_block(), 0.5), 0.5) == divided(split_block(), 0.25)


@pytest.mark.parametrize("share", [0, -0.5, 1.5])
def test_a_share_outside_of_the_whole_is_refused(share: float) -> None:
    with pytest.raises(ValueError, match=rf"only: a share of its columns must lie in \(0, 1\], got {share:g}"):
        divided(split_block(), share)


def test_a_block_that_is_not_split_has_only_the_whole_of_itself() -> None:
    assert divided(block(), 1) == block()
    with pytest.raises(ValueError, match=r"only is split by nothing, not by heads or columns: no share of 0\.5"):
        divided(block(), 0.5)


def test_a_block_is_found_by_its_name_and_so_is_its_part() -> None:
    model = small_bert()
    assert model.block("encoder.1/attention") == model.layers[2].blocks[0]
    assert model.block("encoder.0/mlp.out") == model.layers[1].blocks[2].parts[1]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("encoder.9/mlp", r"small has no layer 'encoder.9' for block 'encoder.9/mlp' \(it has: embedding, encoder.0, "),
        ("encoder.0/mlp.up", r"layer encoder.0 of small has no block 'mlp.up' \(it has: attention, attention.in, "),
        ("encoder.0", r"layer encoder.0 of small has no block '' \(it has: attention, "),
    ],
)
def test_an_unknown_block_is_refused_with_the_known_ones(name: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        small_bert().block(name)


def test_json_leaves_out_what_a_block_does_not_have() -> None:
    data = model_to_dict(chain(1))["layers"][0]["blocks"][0]
    assert "parts" not in data
    assert "unsplit" not in data
    assert set(data["forward_flop"]) == {"fixed", "per_sample", "per_token", "per_token_squared"}
    assert "parts" in model_to_dict(small_bert())["layers"][1]["blocks"][0]


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
    with pytest.raises(ValueError, match="hidden=65 is not a multiple of heads=4"):
        bert(name="odd", layers=1, hidden=65, heads=4, columns=8, vocabulary=9, positions=9)


def test_a_model_survives_json() -> None:
    model = small_bert()
    assert model_from_dict(json.loads(json.dumps(model_to_dict(model)))) == model


def test_an_unknown_layer_table_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"unknown layer table 'none' \(known: "):
        from_table(table="none")


def test_a_model_prints_its_size() -> None:
    assert str(chain(3)) == "chain3: 3 layers, 0.00 M parameters, 12 kB"


def test_a_table_of_pictures_of_another_size_stands_beside_it() -> None:
    """Weights are the same; what the first layer puts out grows with the pixels."""
    small, own, large = (from_table(table="mobilenet_v2", resolution=pixels) for pixels in (32, None, 224))
    assert from_table(table="mobilenet_v2", resolution=64) == own
    assert [model.hyper["resolution"] for model in (small, own, large)] == [32, 64, 224]
    assert small.parameter_bytes == own.parameter_bytes == large.parameter_bytes
    outputs = [model.layers[0].output_bytes(1, 1) for model in (small, own, large)]
    assert [output / outputs[0] for output in outputs] == [1, 4, 49]


def test_a_size_of_pictures_that_was_not_traced_is_refused_with_the_way_to_trace_it() -> None:
    with pytest.raises(ValueError, match=r"of 64 pixels, not of 100: unknown layer table .*trace it"):
        from_table(table="mobilenet_v2", resolution=100)
