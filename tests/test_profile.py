"""A profile answers between its points and refuses outside them; an estimate fills it from a device's description."""

import pickle
from dataclasses import replace
from math import inf
from pathlib import Path

import pytest
from builders import block, chain, constant_profile, device, homogeneous, linear_profile, named
from hypothesis import given, settings
from hypothesis import strategies as st

from edgesim.cluster import EfficiencyCurve, Origin
from edgesim.errors import ProfileError
from edgesim.model import Cost
from edgesim.profile import Point, Portion, Profile, estimate, estimated_s, leave_one_out_error, mix, profile_from_rows
from edgesim.zoo.bert import bert


def points(*samples_seconds: tuple[int, float], block: str = "l0", op: str = "F") -> Profile:
    return Profile(
        model="chain1",
        origin=Origin.MEASURED,
        source="test",
        points=tuple(
            Point(block=block, device="board", op=op, samples=n, tokens=1, share=1.0, seconds=s)
            for n, s in samples_seconds
        ),
    )


def amounted(asked: dict[str, object]) -> dict[str, object]:
    """The same question with its portion in one piece."""
    portion = Portion(**{name: asked[name] for name in Portion._fields if name in asked})  # type: ignore[arg-type]
    return {name: value for name, value in asked.items() if name not in Portion._fields} | {"portion": portion}


def ask(profile: Profile, samples: int, **more: object) -> float:
    asked = {"device": "board", "block": "l0", "op": "F", "samples": samples, "tokens": 1} | more
    return profile.block_s(**amounted(asked))  # type: ignore[arg-type]


def test_between_two_points_the_table_is_linear() -> None:
    table = points((4, 1.0), (8, 3.0), (1, 0.5))
    assert [ask(table, n) for n in (1, 2, 4, 5, 8)] == pytest.approx([0.5, 0.5 + 0.5 / 3, 1.0, 1.5, 3.0])


@pytest.mark.parametrize("samples", [1, 9])
def test_outside_its_points_the_table_refuses(samples: int) -> None:
    with pytest.raises(ProfileError, match=rf"known for 2\.\.8 samples, asked for {samples}"):
        ask(points((2, 1.0), (8, 3.0)), samples)


def grid(*tokens_samples_seconds: tuple[int, int, float], **more: object) -> Profile:
    fields = {"model": "chain1", "origin": Origin.MEASURED, "source": "test"} | more
    return Profile(
        points=tuple(
            Point(block="l0", device="board", op="F", samples=n, tokens=t, share=1.0, seconds=s)
            for t, n, s in tokens_samples_seconds
        ),
        **fields,  # type: ignore[arg-type]
    )


def test_between_two_token_counts_the_table_is_linear_too() -> None:
    table = grid((16, 1, 1.0), (16, 3, 3.0), (32, 1, 2.0), (32, 3, 10.0))
    assert [ask(table, 2, tokens=t) for t in (16, 20, 32)] == pytest.approx([2.0, 2.0 + 0.25 * 4.0, 6.0])
    assert ask(table, 3, tokens=24) == pytest.approx(6.5)


def of_shares(*share_keys_seconds: tuple[float, int, float], tokens: int = 8) -> Profile:
    return Profile(
        model="chain1",
        origin=Origin.MEASURED,
        source="test",
        points=tuple(
            Point(block="l0", device="board", op="F", samples=1, tokens=tokens, share=share, keys=keys, seconds=seconds)
            for share, keys, seconds in share_keys_seconds
        ),
    )


def test_between_two_shares_the_table_is_linear_as_well() -> None:
    table = of_shares((0.25, 0, 1.0), (0.5, 0, 3.0), (1.0, 0, 4.0))
    assert [ask(table, 1, tokens=8, share=share) for share in (0.25, 0.375, 0.5, 0.75, 1.0)] == [1, 2, 3, 3.5, 4]


def test_between_two_key_counts_the_table_is_linear_as_well() -> None:
    """Keys that are not told are the tokens themselves."""
    table = of_shares((1.0, 0, 1.0), (1.0, 16, 2.0), (1.0, 32, 6.0))
    assert [ask(table, 1, tokens=8, keys=keys) for keys in (None, 8, 12, 16, 24, 32)] == [1, 1, 1.5, 2, 4, 6]


def test_between_tokens_that_look_at_themselves_keys_grow_with_them() -> None:
    eight, sixteen = of_shares((1.0, 0, 1.0), (1.0, 16, 3.0)), of_shares((1.0, 0, 5.0), (1.0, 8, 4.0), tokens=16)
    table = replace(eight, points=eight.points + sixteen.points)
    assert ask(table, 1, tokens=12) == 3  # half way from 8 of 8 to 16 of 16
    assert ask(table, 1, tokens=12, keys=16) == 4  # half way from 8 of 16 to 16 of 16
    assert ask(table, 1, tokens=12, keys=8) == 2.5  # half way from 8 of 8 to 16 of 8


@pytest.mark.parametrize(
    ("asked", "answer"),
    [
        ({"share": 0.2}, r"has no F of 'l0' on board with share 0.2 \(it has \[0.25, 1.0\]; profile more shares\)"),
        ({"keys": 40}, r"for \[8, 32\] keys of 8 tokens, asked for 40 in F of 'l0' on board \(profile more keys\)"),
        ({"keys": 4}, r"asked for 4"),
    ],
)
def test_outside_its_shares_and_keys_the_table_refuses(asked: dict[str, object], answer: str) -> None:
    with pytest.raises(ProfileError, match=answer):
        ask(of_shares((0.25, 0, 1.0), (1.0, 0, 2.0), (1.0, 32, 4.0)), 1, tokens=8, **asked)


def test_keys_survive_the_file_and_stand_in_it_only_where_there_are_any() -> None:
    table = of_shares((1.0, 0, 1.0), (1.0, 16, 2.0))
    assert Profile.from_json(table.to_json()) == table
    assert table.to_json().count("keys") == 1


def test_repeats_survive_the_file_and_are_those_of_their_operation_on_their_device() -> None:
    point = Point(block="(call)", device="a", op="F", samples=1, tokens=4, share=1.0, seconds=1.0, repeats=(0.9, 1.1))
    other = replace(point, samples=2, repeats=(1.0,))
    plain = replace(point, op="B", repeats=())
    made = Profile(model="m", origin=Origin.MEASURED, source="test", points=(point, other, plain))
    read = Profile.from_json(made.to_json())
    assert read == made
    assert read.repeats(device="a", op="F") == (0.9, 1.0, 1.1)
    assert read.repeats(device="a", op="B") == read.repeats(device="b", op="F") == ()
    assert made.to_json().count("repeats") == 2
    with pytest.raises(ValueError, match="repeats must be above 0"):
        replace(point, repeats=(0.0,))


def test_leaving_out_a_share_or_a_key_count_counts_as_well() -> None:
    assert leave_one_out_error(of_shares((0.25, 0, 1.0), (0.5, 0, 4.0), (0.75, 0, 3.0)).points) == pytest.approx(0.5)
    assert leave_one_out_error(of_shares((1.0, 0, 1.0), (1.0, 16, 4.0), (1.0, 24, 3.0)).points) == pytest.approx(0.5)


def test_a_layer_is_measured_for_the_tokens_between_as_well() -> None:
    question = {"device": "board", "layer": chain(1).layers[0], "op": "F", "samples": 1}
    assert grid((16, 1, 1.0), (32, 1, 3.0)).layer_s(tokens=24, **question) == 2.0  # type: ignore[arg-type]


@pytest.mark.parametrize("tokens", [8, 64])
def test_outside_its_token_counts_the_table_refuses(tokens: int) -> None:
    with pytest.raises(ProfileError, match=rf"made for \[16, 32\] tokens, asked for {tokens}"):
        ask(grid((16, 1, 1.0), (32, 1, 2.0)), 1, tokens=tokens)


@pytest.mark.parametrize(
    ("asked", "answer"),
    [
        ({"device": "other"}, r"no device 'other' \(it has: board\)"),
        ({"tokens": 7}, r"made for \[1\] tokens, asked for 7"),
        ({"op": "B"}, "no B of 'l0' on board"),
        ({"block": "l9"}, "no F of 'l9' on board"),
        ({"share": 0.5}, "with share 0.5"),
    ],
)
def test_what_the_table_lacks_is_named(asked: dict[str, object], answer: str) -> None:
    with pytest.raises(ProfileError, match=answer):
        ask(points((1, 1.0)), 1, **asked)


def test_a_layer_is_its_own_point_or_the_sum_of_its_blocks() -> None:
    layer = chain(1).layers[0]
    question = {"device": "board", "layer": layer, "op": "F", "samples": 1, "tokens": 1}
    assert points((1, 5.0)).layer_s(**question) == 5.0  # type: ignore[arg-type]
    assert points((1, 3.0), block="l0/only").layer_s(**question) == 3.0  # type: ignore[arg-type]


def test_layers_add_up() -> None:
    model, cluster = chain(3), homogeneous(1)
    table = constant_profile(model, cluster, forward_s=0.5, backward_s=1.0)
    assert table.layers_s(device="board", layers=model.layers, op="B", samples=7, tokens=1) == pytest.approx(3.0)


def test_negative_seconds_are_refused() -> None:
    with pytest.raises(ValueError, match="seconds must be >= 0"):
        points((1, -1.0))
    with pytest.raises(ValueError, match="seconds must be >= 0"):
        points((1, float("nan")))


def test_an_estimate_is_arithmetic_and_then_memory() -> None:
    part = block()
    arithmetic, memory = {"flop_per_s": 1e9, "memory_bytes_per_s": inf}, {"flop_per_s": inf, "memory_bytes_per_s": 1e6}
    assert estimated_s(device(**arithmetic), part, "F", Portion(2, 1)) == pytest.approx(2e6 / 1e9)
    assert estimated_s(device(**arithmetic), part, "B", Portion(2, 1)) == pytest.approx(4e6 / 1e9)
    assert estimated_s(device(**memory), part, "F", Portion(2, 1)) == pytest.approx(2e3 / 1e6)
    assert estimated_s(device(**memory), part, "B", Portion(2, 1)) == pytest.approx(4e3 / 1e6)
    assert estimated_s(device(**arithmetic | {"memory_bytes_per_s": 1e6}), part, "F", Portion(2, 1)) == pytest.approx(
        4e-3
    )


def test_an_estimate_pays_for_inefficiency() -> None:
    half = EfficiencyCurve(kind="any", work_flop=(1.0,), fraction=(0.5,), source="test")
    assert estimated_s(device(efficiency=(half,)), block(), "F", Portion(1, 1)) == pytest.approx(2e6 / 1e9)


@given(flop=st.floats(1e3, 1e12), nbytes=st.floats(1e3, 1e12), fraction=st.floats(0.01, 1))
@settings(derandomize=True, deadline=None, database=None)
def test_a_block_computes_and_then_moves_its_bytes(flop: float, nbytes: float, fraction: float) -> None:
    part = replace(block(), forward_flop=Cost(per_sample=flop), forward_bytes=Cost(per_sample=nbytes))
    curve = EfficiencyCurve(kind="mlp", work_flop=(1.0,), fraction=(fraction,), source="test")
    board = device(flop_per_s=1e9, memory_bytes_per_s=1e8, efficiency=(curve,))
    seconds = estimated_s(board, part, "F", Portion(1, 1))
    assert seconds == pytest.approx(flop / (1e9 * fraction) + nbytes / 1e8)


def test_an_estimate_takes_the_curve_of_each_block_kind_at_its_work() -> None:
    """1 MFLOP per sample forward, 2 backward; the curve rises from 1 to 100 MFLOP, and 10 is in the middle."""
    curve = EfficiencyCurve(kind="mlp", work_flop=(1e6, 1e8), fraction=(0.2, 0.6), source="test")
    other = EfficiencyCurve(kind="any", work_flop=(1.0,), fraction=(0.01,), source="test")
    table = estimate(chain(1), [device(efficiency=(other, curve))], samples=(1, 10, 50), tokens=1)
    asked = {"device": "board", "block": "l0/only"}
    assert table.block_s(op="F", portion=Portion(1, 1), **asked) == pytest.approx(1e6 / 1e9 / 0.2)  # type: ignore[arg-type]
    assert table.block_s(op="F", portion=Portion(10, 1), **asked) == pytest.approx(1e7 / 1e9 / 0.4)  # type: ignore[arg-type]
    assert table.block_s(op="B", portion=Portion(50, 1), **asked) == pytest.approx(1e8 / 1e9 / 0.6)  # type: ignore[arg-type]


def test_an_update_touches_each_parameter_three_times_and_does_two_flop() -> None:
    part = block(parameter_bytes=4000)
    assert estimated_s(device(memory_bytes_per_s=1e3), part, "UPDATE", Portion(0, 1)) == pytest.approx(3 * 4000 / 1e3)
    assert estimated_s(device(flop_per_s=1.0), part, "UPDATE", Portion(0, 1)) == pytest.approx(2 * 1000)


def test_an_estimate_has_every_block_op_and_sample_count_and_says_that_it_is_one() -> None:
    table = estimate(chain(2), [device(), device()], samples=(1, 4), tokens=1)
    assert table.origin is Origin.ESTIMATED
    assert len(table.points) == 2 * (2 + 2 + 1)
    assert table.block_s(device="board", block="l1/only", op="F", portion=Portion(2, 1)) == pytest.approx(2e6 / 1e9)


BERT = bert(name="small", layers=1, hidden=64, heads=4, columns=256, vocabulary=99, positions=64)


def guess() -> Profile:
    return estimate(BERT, [device("board", memory_bytes_per_s=1e7)], samples=(1, 4), tokens=32)


def of_block(profile: Profile, block: str, **more: object) -> float:
    asked = {"device": "board", "op": "F", "samples": 2, "tokens": 32} | more
    return profile.block_s(block=f"encoder.0/{block}", **amounted(asked))  # type: ignore[arg-type]


def test_twice_the_share_takes_twice_the_time_but_for_what_each_rank_does() -> None:
    """The input is read and the output written in full: 128 numbers per token at 1e7 bytes a second, and one bias."""
    alike_s = (2 * 32 * 128 + 64) * 4 / 1e7
    quarter, half = (of_block(guess(), "mlp", share=share) - alike_s for share in (0.25, 0.5))
    assert half == pytest.approx(2 * quarter)
    assert half + alike_s == pytest.approx(of_block(guess(), "mlp") / 2 + alike_s / 2)


def test_an_estimate_answers_for_any_share_part_tokens_keys_and_samples() -> None:
    parts = [of_block(guess(), f"attention.{part}", share=0.75) for part in ("in", "core", "out")]
    assert sum(parts) == pytest.approx(of_block(guess(), "attention", share=0.75))
    board, attention = device("board", memory_bytes_per_s=1e7), BERT.block("encoder.0/attention")
    assert of_block(guess(), "attention", tokens=8, keys=32) == estimated_s(
        board, attention, "F", Portion(2, 8, keys=32)
    )
    assert of_block(guess(), "attention", samples=99) == estimated_s(board, attention, "F", Portion(99, 32))


def test_keys_cost_their_scores_and_their_reading() -> None:
    """Each key more: 4 h FLOP for every query at 1 GFLOP/s; K and V, of 64 numbers each."""
    few, many = (of_block(guess(), "attention.core", samples=1, tokens=1, keys=keys) for keys in (10, 20))
    assert many - few == pytest.approx(10 * (4 * 64 / 1e9 + 2 * 64 * 4 / 1e7))


def test_an_update_of_half_the_columns_writes_half_the_weights_and_the_whole_bias() -> None:
    half, whole = (of_block(guess(), "mlp.out", op="UPDATE", samples=0, share=share) for share in (0.5, 1.0))
    assert half / whole == pytest.approx((64 * 128 + 64) / (64 * 256 + 64))


@pytest.mark.parametrize(
    ("block", "share", "message"),
    [
        ("norm_mlp", 0.5, "encoder.0/norm_mlp on board: norm_mlp is split by tokens, not by heads or columns"),
        ("mlp.up", 1.0, r"no estimate of encoder.0/mlp.up on board: layer encoder.0 of small has no block 'mlp.up'"),
    ],
)
def test_an_estimate_refuses_what_the_model_has_not(block: str, share: float, message: str) -> None:
    with pytest.raises(ProfileError, match=message):
        of_block(guess(), block, share=share)


def test_the_formula_behind_an_estimate_is_no_part_of_what_it_is_known_by() -> None:
    again = Profile.from_json(guess().to_json())
    assert (again, again.hash, again.estimates) == (guess(), guess().hash, None)
    with pytest.raises(ProfileError, match=r"has no F of 'encoder\.0/mlp' on board with share 0\.5"):
        of_block(again, "mlp", share=0.5)


def test_an_estimated_profile_can_be_handed_to_another_process() -> None:
    table = guess()
    expected = of_block(table, "mlp", share=0.5)
    assert of_block(pickle.loads(pickle.dumps(table)), "mlp", share=0.5) == expected


def test_of_a_mixture_only_what_is_estimated_answers_beyond_its_table() -> None:
    boards = [device("board"), device("other")]
    both = estimate(BERT, boards, samples=(1, 4), tokens=32)
    measured = replace(both, origin=Origin.MEASURED, estimates=None)
    table = mix({"board": both, "other": measured})
    assert of_block(table, "mlp", share=0.5) == of_block(both, "mlp", share=0.5)
    with pytest.raises(ProfileError, match=r"has no F of 'encoder\.0/mlp' on other with share 0\.5"):
        of_block(table, "mlp", share=0.5, device="other")


def test_a_profile_survives_its_file_and_keeps_its_hash(tmp_path: Path) -> None:
    model = chain(2)
    table = linear_profile(model, named(2), speeds=(1, 3), update_s=0.25)
    table.save(tmp_path / "profiles" / "p.json")
    again = Profile.load(tmp_path / "profiles" / "p.json")
    assert again == table
    assert again.hash == table.hash
    assert [path.name for path in (tmp_path / "profiles").iterdir()] == ["p.json"]


def test_another_number_has_another_hash() -> None:
    assert points((1, 1.0)).hash != points((1, 1.0000001)).hash


def test_leaving_out_a_point_of_a_line_costs_nothing_and_of_a_bend_something() -> None:
    assert leave_one_out_error(points((1, 1.0), (2, 2.0), (4, 4.0)).points) == pytest.approx(0)
    assert leave_one_out_error(points((1, 1.0), (2, 4.0), (3, 3.0)).points) == pytest.approx(0.5)
    assert leave_one_out_error(points((1, 1.0), (2, 4.0)).points) is None


def test_leaving_out_a_token_count_counts_as_well() -> None:
    assert leave_one_out_error(grid((1, 1, 1.0), (2, 1, 4.0), (3, 1, 3.0)).points) == pytest.approx(0.5)


def test_a_measured_profile_prints_how_well_it_predicts_itself_and_an_estimate_does_not() -> None:
    assert str(points((1, 1.0), (2, 4.0), (3, 3.0))).count("leave-one-out error 50.0%") == 1
    assert "leave-one-out" not in str(points((1, 1.0), (2, 4.0)))
    assert "leave-one-out" not in str(estimate(chain(1), [device()], samples=(1, 2, 3), tokens=1))


def test_a_mixture_takes_each_device_from_its_own_profile_and_says_so() -> None:
    measured = linear_profile(chain(2), named(2), forward_s=0.5)
    guessed = estimate(chain(2), [device("d0"), device("d1")], samples=(1, 64), tokens=1)
    table = mix({"d0": replace(measured, origin=Origin.MEASURED), "d1": guessed})
    assert table.origin is Origin.MIXED
    assert table.source == "measured (test) for d0; estimated (FLOPs and bytes on d0, d1) for d1"
    layers = chain(2).layers
    for device_name, profile in (("d0", measured), ("d1", guessed)):
        seconds = [
            p.layer_s(device=device_name, layer=layers[1], op="F", samples=5, tokens=1) for p in (table, profile)
        ]
        assert seconds[0] == seconds[1]
    assert table.hash not in (measured.hash, guessed.hash)
    assert Profile.from_json(table.to_json()) == table


def test_a_mixture_of_one_origin_keeps_it() -> None:
    guessed = estimate(chain(2), [device("d0"), device("d1")], samples=(1, 64), tokens=1)
    assert mix({"d0": guessed, "d1": guessed}).origin is Origin.ESTIMATED


def test_a_mixture_of_two_models_or_without_a_device_is_refused() -> None:
    guessed = estimate(chain(2), [device("d0")], samples=(1,), tokens=1)
    with pytest.raises(ProfileError, match="only profiles of one model can be mixed, got chain2, chain3"):
        mix({"d0": guessed, "d1": estimate(chain(3), [device("d1")], samples=(1,), tokens=1)})
    with pytest.raises(ProfileError, match=r"has no device 'd1' \(measure it, or take an estimate for it\)"):
        mix({"d0": guessed, "d1": guessed})


def test_rows_of_a_measurement_become_a_measured_profile() -> None:
    row = {"block": "l0", "device": "board", "op": "F", "samples": 1, "tokens": 1, "share": 1.0, "seconds": 0.5}
    assert profile_from_rows("chain1", "test", [row]) == points((1, 0.5))
