"""Do the shares of rails sum to what a board draws, and is what nobody knows of them said?"""

import pytest
from builders import power

from edgesim.cluster import Rail, by_rail_j

JOULES = {"idle": 6.0, "waiting": 2.0, "compute": 10.0, "transmit": 1.0, "receive": 0.5, "static": 3.0}
CPU = Rail(name="CPU", idle=1.0, compute=2.0, transmit=0.0, receive=0.0, source="test")
GPU = Rail(name="GPU", idle=3.0, compute=6.0, transmit=1.0, receive=1.0, source="test")


def test_each_state_is_shared_out_by_weights_and_waiting_is_idle() -> None:
    """A quarter of idle and waiting and of computing is the CPU's; nobody knows where the carrier's watts flow."""
    found = by_rail_j(JOULES, (CPU, GPU))
    assert found == pytest.approx({"CPU": 8 / 4 + 10 / 4, "GPU": 8 * 3 / 4 + 10 * 3 / 4 + 1.5, "unknown": 3})
    assert sum(found.values()) == pytest.approx(sum(JOULES.values()), rel=1e-12)


def test_a_board_without_rails_has_no_joules_by_rail_and_no_joules_are_no_row() -> None:
    assert by_rail_j(JOULES, ()) == {}
    assert by_rail_j(JOULES | {"static": 0.0}, (CPU, GPU)).keys() == {"CPU", "GPU"}


@pytest.mark.parametrize(
    ("rails", "said"),
    [
        ((CPU, CPU), "two rails are called 'CPU'"),
        ((CPU, Rail(name="IO", source="test")), "idle is not known of rail IO, but of others"),
        ((Rail(name="CPU", idle=0.0, source="test"),), "no rail has a part of idle"),
    ],
)
def test_shares_that_are_not_of_the_whole_are_refused(rails: tuple[Rail, ...], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        power(rails=rails)  # type: ignore[arg-type]


def test_a_weight_below_zero_is_refused() -> None:
    with pytest.raises(ValueError, match="rail CPU: idle must be a weight >= 0, got -1"):
        Rail(name="CPU", idle=-1.0, source="test")
