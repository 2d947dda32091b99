"""How is a power log kept? As CSV: what is known of the meter in lines that begin with #, then a time and a value each.

Numbers are written so that reading them gives the same bits; an empty value is a reading that is missing.
"""

import json
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

import numpy as np

from edgesim.errors import reading
from edgesim.metered.power_log import Covers, Evidence, MeterFacts, PowerLog, Quantity
from edgesim.since_3_11 import StrEnum

CLOCK = "monotonic clock of the machine that played the traces, in s"
_WRITER = "a run with a meter (power_*.csv)"


def log_lines(log: PowerLog) -> Iterator[str]:
    """Yield the lines of a power log, each with its end."""
    head = asdict(log.facts) | {"ranks": list(log.ranks), "clock": CLOCK, "notes": list(log.notes)}
    for name, value in head.items():
        yield f"# {name}: {json.dumps(value)}\n"
    yield f"at_s,{log.facts.quantity}\n"
    for at_s, value in zip(log.at_s.tolist(), log.value.tolist(), strict=True):
        yield f"{at_s!r},{'' if value != value else repr(value)}\n"


def log_from_text(text: str, *, source: str = "the text") -> PowerLog:
    """Read what :func:`log_lines` wrote, to the bit. Raises ValueError, naming the source and the line."""
    with reading(source, "power log", written_by=_WRITER):
        lines = list(enumerate(text.splitlines(), start=1))
        head: dict[str, Any] = {}
        for _, line in (each for each in lines if each[1].startswith("#")):
            name, _, said = line.removeprefix("#").partition(":")
            head[name.strip()] = json.loads(said)
        _, *body = (each for each in lines if not each[1].startswith("#"))  # the first is that of names
        table = np.array([_row(line, number, source) for number, line in body], dtype=np.float64).reshape(-1, 2)
        if (clock := head.pop("clock")) != CLOCK:
            raise ValueError(f"its clock is {clock!r}, and must be {CLOCK!r}")
        ranks, notes = tuple(head.pop("ranks")), tuple(head.pop("notes"))
        kinds: dict[str, type[StrEnum]] = {"covers": Covers, "evidence": Evidence, "quantity": Quantity}
        head |= {name: kind(head[name]) for name, kind in kinds.items()}
        return PowerLog(facts=MeterFacts(**head), ranks=ranks, at_s=table[:, 0], value=table[:, 1], notes=notes)


def _row(line: str, number: int, source: str) -> tuple[float, float]:
    at_s, comma, value = line.partition(",")
    try:
        if not comma:
            raise ValueError
        return float(at_s), float(value) if value else float("nan")
    except ValueError:
        raise ValueError(f"{source}, line {number}: {line!r} is no time and value (write 12.5,3.2)") from None
