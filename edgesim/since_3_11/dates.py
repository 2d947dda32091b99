"""Which moment does a date in ISO 8601 name? What ``datetime.fromisoformat`` reads since Python 3.11."""

import re
from datetime import datetime

_DATE = re.compile(
    r"(?P<year>\d{4})(?P<dash>-?)(?P<month>\d\d)(?P=dash)(?P<day>\d\d)"
    r"(?:[^\d+-](?P<hour>\d\d)(?:(?P<colon>:?)(?P<minute>\d\d)(?:(?P=colon)(?P<second>\d\d)(?:[.,](?P<part>\d+))?)?)?"
    r"(?P<zone>Z|(?P<sign>[+-])(?P<hours>\d\d)(?::?(?P<minutes>\d\d))?)?)?",
    re.ASCII,
)


def date_of(text: str) -> datetime:
    """Read a date, with a time of day or without. Raises ValueError.

    >>> date_of("2026-03-01T12:00:00.5Z").isoformat()
    '2026-03-01T12:00:00.500000+00:00'
    """
    found = _DATE.fullmatch(text)
    return datetime.fromisoformat(text if found is None else _at_length(found))


def _at_length(found: re.Match[str]) -> str:
    """The same date as all versions of Python read it: with dashes and colons, microseconds, and a zone in digits."""
    day = f"{found['year']}-{found['month']}-{found['day']}"
    if found["hour"] is None:
        return day
    time = f"{found['hour']}:{found['minute'] or '00'}:{found['second'] or '00'}.{(found['part'] or '')[:6]:0<6}"
    if found["zone"] is None:
        return f"{day}T{time}"
    return f"{day}T{time}{found['sign'] or '+'}{found['hours'] or '00'}:{found['minutes'] or '00'}"
