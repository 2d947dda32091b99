"""A workload refuses what does not fit together."""

import pytest
from builders import workload

from edgesim.workload import Purpose


def test_inference_may_generate_and_keep_weights_in_half_precision() -> None:
    asked = workload(purpose=Purpose.INFER, new_tokens=5, weight_bytes=2)
    assert (asked.new_tokens, asked.weight_bytes) == (5, 2)
    assert (workload().new_tokens, workload().weight_bytes) == (0, 4)


def test_training_and_fine_tuning_update_parameters_and_inference_does_not() -> None:
    assert {purpose: workload(purpose=purpose).trains for purpose in Purpose} == {
        Purpose.TRAIN: True,
        Purpose.FINE_TUNE: True,
        Purpose.INFER: False,
    }


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (
            {"new_tokens": 1},
            r"only inference generates tokens, got new_tokens=1 and purpose train \(try purpose: infer\)",
        ),
        ({"new_tokens": 1, "purpose": "fine_tune"}, "got new_tokens=1 and purpose fine_tune"),
        ({"new_tokens": -1, "purpose": "infer"}, "new_tokens must be at least 0, got -1"),
        ({"weight_bytes": 2}, "weight_bytes must be 4, or 2 in inference, got 2 and purpose train"),
        ({"weight_bytes": 1, "purpose": "infer"}, "weight_bytes must be 4, or 2 in inference, got 1"),
        ({"weight_bytes": 0.5625, "purpose": "infer"}, "weight_bytes must be 4, or 2 in inference, got 0.5625"),
        ({"kv_bytes": 2}, "kv_bytes must be 4, or 2 or 1 in inference, got 2 and purpose train"),
        ({"kv_bytes": 3, "purpose": "infer"}, "kv_bytes must be 4, or 2 or 1 in inference, got 3"),
        ({"activation_bytes": 2}, "activation_bytes must be 4, or 2 in inference, got 2 and purpose train"),
    ],
)
def test_training_neither_generates_nor_halves_its_weights(fields: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        workload(**fields)  # type: ignore[arg-type]
