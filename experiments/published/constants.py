"""Which constants do predictions rest on, and from which published rows do these come? A claim's role follows."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple


class Row(NamedTuple):
    """The key of a published number."""

    source: str
    item: str
    model: str
    method: str
    metric: str

    @property
    def experiment(self) -> tuple[str, str, str, str]:
        """Rows of one experiment are parts and sums of each other: passes and their total, terms of one peak."""
        return self[:4]


class ConstantOrigin(StrEnum):
    """How a constant came from its rows."""

    FITTED = "fitted"  # by least error
    READ = "read"  # solved for, or divided out of them
    CHOSEN = "chosen"  # a reading of a paper that leaves it open, chosen after its rows were seen


@dataclass(frozen=True, slots=True, kw_only=True)
class Constant:
    """A number, or a reading of a paper, that the paper does not state and published rows decided."""

    name: str
    origin: ConstantOrigin
    rows: frozenset[Row]


class Role(StrEnum):
    """What a published row was to its prediction."""

    FITTED = "fitted"  # a constant was fitted to the row or read from it
    DEPENDENT = "dependent"  # of the same experiment as such a row, or seen before a reading was chosen
    PREDICTED = "predicted"  # no constant of its prediction knows the experiment


def role_of(row: Row, constants: Iterable[Constant]) -> Role:
    """The role of a row whose prediction rests on these constants."""
    known = list(constants)
    if any(row in constant.rows for constant in known if constant.origin is not ConstantOrigin.CHOSEN):
        return Role.FITTED
    if any(row.experiment == other.experiment for constant in known for other in constant.rows):
        return Role.DEPENDENT
    return Role.PREDICTED
