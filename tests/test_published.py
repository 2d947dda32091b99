"""How near do predictions come to what others published, and does the kept table still say so?"""

from collections.abc import Callable
from io import StringIO

import pandas as pd
import pytest

from experiments.configuration.places import CODE
from experiments.published import __main__ as command
from experiments.published.__main__ import all_claims, claims_frame, errors_frame, groupings_frame, main, to_csv
from experiments.published.claims import PUBLISHED, Claim, model, published
from experiments.published.constants import Constant, ConstantOrigin, Role, Row, role_of
from experiments.published.grouping import groupings
from experiments.published.memory import first_stage


@pytest.fixture(scope="module")
def claims() -> list[Claim]:
    return all_claims()


def worst(claims: list[Claim], item: str, **wanted: object) -> dict[tuple[str, str, str], float]:
    """Errors of an item's claims with these fields, by model, method and metric."""
    return {
        (claim.row.model, claim.row.method, claim.metric): abs(claim.error)
        for claim in claims
        if claim.row.item == item
        and all(getattr(claim if name == "metric" else claim.row, name) == value for name, value in wanted.items())
    }


def beyond(errors: dict[tuple[str, str, str], float], bound: float) -> set[tuple[str, str, str]]:
    assert errors
    return {key for key, error in errors.items() if error > bound}


def test_flops_of_every_technique_are_within_4_per_cent_in_total_and_of_full_training_in_each_pass(
    claims: list[Claim],
) -> None:
    assert beyond(worst(claims, "Fig. 3", metric="total"), 0.04) == set()
    for method in ("Full", "Inference"):
        assert beyond(worst(claims, "Fig. 3", method=method), 0.04) == set()


def test_memory_on_one_device_is_within_8_per_cent(claims: list[Claim]) -> None:
    assert beyond(worst(claims, "Table 1", metric="total memory"), 0.08) == set()


def test_memory_of_a_device_is_within_12_per_cent(claims: list[Claim]) -> None:
    assert beyond(worst(claims, "Fig. 8b", metric="total"), 0.12) == set()


def test_seconds_of_bart_follow_from_t5_within_15_per_cent(claims: list[Claim]) -> None:
    assert beyond(worst(claims, "Fig. 8a", model="BART-Large"), 0.15) == set()


def test_the_tensor_parallel_curve_is_within_8_per_cent_by_its_law_and_from_its_schedules(claims: list[Claim]) -> None:
    errors = worst(claims, "slides", method="TP")
    assert len(errors) == 10
    assert sum(metric.endswith("simulated") for _, _, metric in errors) == 5
    assert beyond(errors, 0.08) == set()


def test_the_sequence_parallel_curve_is_off_by_what_the_documents_say(claims: list[Claim]) -> None:
    """From 1000 to 125 Mbit/s; theory sends half of TP's bytes, the published curve implies 0.78 of them."""
    rows = [claim for claim in claims if claim.row.method == "SP"]
    law, simulated = ([claim.error for claim in rows[start::2]] for start in (0, 1))
    assert law == pytest.approx([-0.164, -0.176, -0.210, -0.247, -0.283], abs=0.001)
    assert simulated == pytest.approx([-0.096, -0.118, -0.167, -0.229, -0.287], abs=0.001)
    assert all("0.78" in claim.note and claim.role is Role.PREDICTED for claim in rows)


EXPERIMENT = ("paper", "Fig. 1", "model", "method")
TOTAL, PART, ELSEWHERE = (
    Row(*EXPERIMENT, "total"),
    Row(*EXPERIMENT, "part"),
    Row("paper", "Fig. 2", *EXPERIMENT[2:], "x"),
)


@pytest.mark.parametrize(
    ("row", "origin", "role"),
    [
        (TOTAL, ConstantOrigin.FITTED, Role.FITTED),
        (TOTAL, ConstantOrigin.READ, Role.FITTED),
        (TOTAL, ConstantOrigin.CHOSEN, Role.DEPENDENT),
        (PART, ConstantOrigin.FITTED, Role.DEPENDENT),
        (PART, ConstantOrigin.CHOSEN, Role.DEPENDENT),
        (ELSEWHERE, ConstantOrigin.FITTED, Role.PREDICTED),
    ],
)
def test_a_role_follows_from_what_constants_were_fitted_to(row: Row, origin: ConstantOrigin, role: Role) -> None:
    constant = Constant(name="speed", origin=origin, rows=frozenset({TOTAL}))
    assert role_of(row, [constant]) is role
    assert role_of(row, []) is Role.PREDICTED


def test_every_constant_names_rows_that_were_published(claims: list[Claim]) -> None:
    rows = {claim.row for claim in claims}
    constants = {constant for claim in claims for constant in claim.constants}
    assert len(constants) == 8
    for constant in constants:
        assert constant.rows
        assert constant.rows <= rows, constant.name


def test_what_a_constant_was_read_from_is_not_called_predicted(claims: list[Claim]) -> None:
    roles = {(*claim.row[1:], claim.player): claim.role for claim in claims}
    assert roles["Table 1", "T5-Large", "LoRA", "gradients memory", ""] is Role.FITTED
    assert roles["Table 1", "T5-Large", "Adapters", "gradients memory", ""] is Role.FITTED
    assert roles["Table 1", "T5-Large", "Adapters", "total memory", ""] is Role.DEPENDENT
    assert roles["Table 1", "T5-Large", "Full", "total memory", ""] is Role.PREDICTED
    assert roles["Fig. 8b", "T5-Base", "Adapters", "weights + activations", ""] is Role.DEPENDENT  # equals its total
    assert roles["Fig. 8a", "T5-Base", "Full", "forward per sample", ""] is Role.DEPENDENT  # part of its total
    assert roles["Fig. 8a", "BART-Large", "Full", "total per sample", ""] is Role.PREDICTED
    assert {role for key, role in roles.items() if key[0] == "slides" and key[2] == "TP"} == {Role.FITTED}


def test_the_first_stage_has_an_embedding_and_its_share_of_the_layers() -> None:
    """An eighth of 24 layers for T5-Base and BART-Large, of 48 for T5-Large."""
    stages = {title: first_stage(model(title, "Full").layers, 8) for title in ("T5-Base", "BART-Large", "T5-Large")}
    assert {title: len(stage) for title, stage in stages.items()} == {"T5-Base": 4, "BART-Large": 4, "T5-Large": 7}
    with pytest.raises(ValueError, match="24 layers cannot be divided evenly among 7 devices"):
        first_stage(model("T5-Base", "Full").layers, 7)


def test_weights_per_device_tell_cuts_apart_that_group_sizes_do_not(claims: list[Claim]) -> None:
    """The whole model where all devices hold it; Eco-FL's last stage is up to half as heavy again as published."""
    errors = {claim.row[3:]: claim.error for claim in claims if claim.row.item == "Fig. 9b"}
    assert len(errors) == 12
    whole = [error for (method, _), error in errors.items() if method in ("PAC", "EDDL")]
    assert whole == pytest.approx([-0.002] * 8, abs=0.001)
    cut = [error for (method, _), error in errors.items() if method == "Eco-FL"]
    assert cut == pytest.approx([-0.049, 0.334, 0.524, 0.481], abs=0.002)


@pytest.mark.parametrize(("name", "frame"), [("costs", claims_frame), ("errors", errors_frame)])
def test_the_kept_table_is_what_the_command_writes(
    name: str, frame: Callable[[list[Claim]], pd.DataFrame], claims: list[Claim]
) -> None:
    """To the digits that another processor's sums may change: some rows come from a fit."""
    kept, now = pd.read_csv(PUBLISHED.parent / f"{name}.csv"), pd.read_csv(StringIO(to_csv(frame(claims))))
    pd.testing.assert_frame_equal(kept, now, rtol=1e-4, atol=1e-5)


def test_published_numbers_name_their_source_and_unit() -> None:
    table = published()
    assert (table[["source", "item", "metric", "unit"]] != "").all().all()
    assert PUBLISHED.is_relative_to(CODE / "results")


def test_an_unknown_item_is_one_sentence(
    claims: list[Claim], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(command, "all_claims", lambda: claims)
    assert main(["--item", "Fig. 33"]) == 2
    error = capsys.readouterr().err
    assert "no predictions for 'Fig. 33' (did you mean 'Fig. 3'" in error
    assert error.count("\n") == 1


def test_pac_groups_nanos_exactly_as_published_and_the_kept_table_says_so() -> None:
    planned = list(groupings())
    assert len(planned) == 8
    assert [each.planned for each in planned] == [each.published for each in planned]
    assert to_csv(groupings_frame(planned)) == (PUBLISHED.parent / "grouping.csv").read_text()
