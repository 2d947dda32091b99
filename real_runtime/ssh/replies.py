"""What may a rank on a host say? Known words with values of their kind; a host that says else is believed nothing more.

What the words mean is the coordinator's to judge. Here is only refused what would be nonsense to it.
"""

from collections.abc import Callable
from dataclasses import fields
from typing import Any

from edgesim.profile import Point
from real_runtime.control.evidence import Failure
from real_runtime.ssh.frames import Frame, FrameError, shown

_MOST = 10**15  # of a number that counts something
_ROW = {field.name for field in fields(Point)} - {"device"}


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _count(value: Any) -> bool:
    return type(value) is int and 0 <= value <= _MOST


def _seconds(value: Any) -> bool:
    return _number(value) and 0 <= value < 1e9


def _rate(value: Any) -> bool:
    return _number(value) and 0 < value < 1e21


def _pairs(value: Any) -> bool:
    each = value.values() if isinstance(value, dict) else ()
    return isinstance(value, dict) and all(
        isinstance(pair, list | tuple) and len(pair) == 2 and all(map(_number, pair)) for pair in each
    )


def _connections(value: Any) -> bool:
    return isinstance(value, list) and all(
        isinstance(each, list) and [type(part) for part in each] == [str, str, bool] for each in value
    )


def _row(value: Any) -> bool:
    if not isinstance(value, dict) or not set(value) <= _ROW or not _seconds(value.get("seconds")):
        return False
    texts, counts = (
        (value.get("block"), value.get("op")),
        [value.get(name, 0) for name in ("samples", "tokens", "keys")],
    )
    repeats = value.get("repeats", [])
    return (
        all(isinstance(text, str) for text in texts)
        and all(map(_count, counts))
        and _number(value.get("share", 1.0))
        and isinstance(repeats, list)
        and all(map(_number, repeats))
    )


def _rows(value: Any) -> bool:
    return isinstance(value, list) and all(map(_row, value))


def _error(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and all(isinstance(value.get(key), str) for key in ("failure", "task", "message"))
        and value["failure"] in set(Failure)
    )


def _reached(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 2 and _count(value[0]) and isinstance(value[1], str)


_WORDS: dict[str, Callable[[Any], bool]] = {
    "number": _count,
    "done": lambda value: isinstance(value, str),
    "aborted": lambda value: isinstance(value, bool),
    "error": _error,
    "store": lambda value: isinstance(value, dict),  # what it asks is checked where it is answered
    "connections": _connections,
    "iteration": _count,
    "times": _pairs,
    "loss": _number,
    "late": _number,
    "ready": _count,
    "reached": _reached,
    "version": _count,
    "saved": _count,
    "seconds": _seconds,
    "rows": _rows,
    "flop_per_s": _rate,
    "nbytes": _count,
    "read_s": _seconds,
    "write_s": _seconds,
    "is_cold": lambda value: isinstance(value, bool),
}


def refuse_misshapen(message: Frame) -> None:
    """Raise FrameError for a word that no rank says, and for a value that is not of its kind."""
    for word, value in message.items():
        fits = _WORDS.get(word)
        if fits is None:
            raise FrameError(f"a rank does not say {shown(word)}")
        if not fits(value):
            raise FrameError(f"a rank says {word} {shown(value)}")
