"""Does a proof say what it proves: one objective, its unit, and no more than value and bound allow?"""

from dataclasses import replace

import pytest

from edgesim.proof import OPTIMAL_GAP, Objective, Proof, Status, bound_or_none

PROOF = Proof(method="by hand", objective=Objective.SLOWEST_STAGE, value=1.2)


def test_the_gap_is_the_values_distance_from_the_bound_and_needs_one() -> None:
    assert replace(PROOF, bound=1.0).gap == pytest.approx(0.2)
    assert PROOF.gap is None


@pytest.mark.parametrize(
    ("bound", "status"),
    [
        (None, Status.HEURISTIC),
        (1.0, Status.FEASIBLE),
        (1.2 / (1 + 1.01 * OPTIMAL_GAP), Status.FEASIBLE),
        (1.2 / (1 + 0.99 * OPTIMAL_GAP), Status.OPTIMAL),
        (1.2, Status.OPTIMAL),
    ],
)
def test_the_status_follows_from_value_and_bound(bound: float | None, status: Status) -> None:
    assert replace(PROOF, bound=bound).status is status


def test_nothing_lies_below_its_bound() -> None:
    with pytest.raises(ValueError, match=r"slowest stage or message: the value 1\.2 lies below the bound 1\.3"):
        replace(PROOF, bound=1.3)


def test_a_searchs_bound_is_no_more_than_the_value_and_none_where_it_says_nothing() -> None:
    assert (bound_or_none(1.0, 2.0), bound_or_none(2.0 + 1e-12, 2.0), bound_or_none(0.0, 2.0)) == (1.0, 2.0, None)


def test_nothing_to_do_is_optimal_and_anything_is_infinitely_far_from_it() -> None:
    assert replace(PROOF, value=0.0, bound=0.0).gap == 0
    assert replace(PROOF, bound=0.0).status is Status.FEASIBLE


def test_every_objective_has_a_text_of_its_own_and_a_unit() -> None:
    assert len({str(objective) for objective in Objective}) == len(Objective)
    assert {objective.unit for objective in Objective} == {"s", "J", "layers", "columns", "tokens", "layers/B"}
    assert [objective.show(1500.0) for objective in (Objective.HPP_ROUND, Objective.ITERATION_ENERGY)] == [
        "1.5 ks",
        "1.5 kJ",
    ]


def test_details_are_told_with_the_objective() -> None:
    proof = replace(PROOF, objective=Objective.JOB_TIME, details="9 epochs of 459 iterations")
    assert proof.minimised == "job time of both phases, 9 epochs of 459 iterations"
    assert PROOF.minimised == "slowest stage or message"


def test_a_proof_survives_json_and_old_words_are_no_proof() -> None:
    full = replace(PROOF, bound=1.0, details="x", seconds=0.5, solver="CBC")
    assert Proof.from_dict(full.to_dict()) == full
    assert full.to_dict()["status"] == "feasible"
    assert full.to_dict()["unit"] == "s"
    assert Proof.from_dict({"status": "heuristic", "method": "manual", "objective": "none"}) is None
    assert Proof.from_dict(None) is None
