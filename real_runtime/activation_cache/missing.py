"""Which outputs are not there, and why? Whoever trains from a cache computes these again."""

from collections.abc import Sequence
from typing import NamedTuple

_TOLD = 3


class Missing(NamedTuple):
    """An output of a sample that a cache cannot give."""

    sample: int
    layer: int
    why: str

    def __str__(self) -> str:
        return f"sample {self.sample}, layer {self.layer}: {self.why}"


class MissingOutputsError(Exception):
    """Some of what was to be read is not there, or is damaged: nothing of it may be trained on."""

    def __init__(self, missing: Sequence[Missing]) -> None:
        self.missing = tuple(missing)
        more = f", and {len(missing) - _TOLD} more" if len(missing) > _TOLD else ""
        told = "; ".join(map(str, self.missing[:_TOLD]))
        super().__init__(f"outputs of {len(self.samples)} samples must be computed again ({told}{more})")

    @property
    def samples(self) -> tuple[int, ...]:
        """The samples that the backbone must compute again."""
        return tuple(sorted({each.sample for each in self.missing}))
