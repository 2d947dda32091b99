"""Which hosts were timed while this machine was slower? Those that took more of a core than others for the same.

Dilated hosts compute alike, whatever devices they stand for. What slows the machine down for some seconds and is no
program on it, a neighbour of a virtual machine or a processor that grew warm, nothing else shows.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

Rows = Sequence[dict[str, Any]]  # of seconds
_ALIKE = 0.03  # hosts compute the same work within so much; slow ones find their caches a little colder


def timed_alike(
    ranks: Iterable[int], fractions: Mapping[int, float], time_rank: Callable[[int], Rows], *, tries: int
) -> dict[int, Rows]:
    """Each rank's rows; those that took longer than another's are timed again up to so often, the faster is kept.

    ``fractions`` are of a core, of the dilated ranks; others are compared with nobody.
    """
    rows = {rank: time_rank(rank) for rank in ranks}
    for _ in range(tries):
        core_s = {rank: _seconds(rows[rank]) * fraction for rank, fraction in fractions.items()}
        for rank, seconds in core_s.items():
            if seconds > (1 + _ALIKE) * min(core_s.values()):
                rows[rank] = min(rows[rank], time_rank(rank), key=_seconds)
    return rows


def _seconds(rows: Rows) -> float:
    return sum(float(row["seconds"]) for row in rows)
