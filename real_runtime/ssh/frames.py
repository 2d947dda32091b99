"""What may come over a channel? JSON objects, one a line, bounded in length and depth: anything else is refused.

Both ends take what arrives for untrusted. Nothing is unpickled or evaluated, and no line is held that is too long.
"""

import json
import re
from collections.abc import Iterator
from typing import Any, BinaryIO

from edgesim.errors import RunError

Frame = dict[str, Any]

MOST_BYTES = 64 * 2**20
"""Of a line: an assignment with a schedule of half a million tasks."""
MOST_DEPTH = 32
"""Of lists and objects within each other; a command has eight."""
_SHOWN = 60  # letters of what a message tells of a value
_TEXTS, _OPENS = re.compile(rb'"(?:[^"\\]|\\.)*"', re.DOTALL), re.compile(rb"[\[{\]}]")


class FrameError(RunError):
    """What arrived is nothing that the other end says."""


def written(frame: Frame) -> bytes:
    """A line for a message. Raises FrameError where the other end would refuse it."""
    line = json.dumps(frame).encode() + b"\n"
    if len(line) > MOST_BYTES:
        raise FrameError(f"a message of {len(line)} bytes is too long: at most {MOST_BYTES} are sent")
    return line


def read(line: bytes) -> Frame:
    """The message in a line. Raises FrameError."""
    if len(line) > MOST_BYTES:
        raise FrameError(f"a line of {len(line)} bytes: at most {MOST_BYTES} are read")
    if _depth(line) > MOST_DEPTH:
        raise FrameError(f"lists and objects more than {MOST_DEPTH} deep")
    try:
        frame = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise FrameError(f"no JSON: {error}") from None
    if not isinstance(frame, dict):
        raise FrameError(f"no object, but a {type(frame).__name__}")
    return frame


def lines(source: BinaryIO) -> Iterator[bytes]:
    """The lines of a channel until it ends. Raises FrameError for one that is too long, and OSError as the source."""
    while line := source.readline(MOST_BYTES + 1):
        if not line.endswith(b"\n"):
            if len(line) > MOST_BYTES:
                raise FrameError(f"a line of more than {MOST_BYTES} bytes")
            return  # torn: the other end has ended within it
        yield line


def _depth(line: bytes) -> int:
    """How deep a text nests, reckoned without nesting ourselves."""
    depth = most = 0
    for sign in _OPENS.finditer(_TEXTS.sub(b"", line)):
        depth += 1 if sign[0] in b"[{" else -1
        most = max(most, depth)
    return most


def whole_number(frame: Frame, key: str, *, most: int = 2**31) -> int:
    """A whole number of a message, from 0. Raises FrameError."""
    value = frame.get(key)
    if type(value) is not int or not 0 <= value <= most:
        raise FrameError(f"{key} is no whole number from 0 to {most}: {shown(value)}")
    return value


def finite_number(frame: Frame, key: str) -> float:
    """A finite number of a message. Raises FrameError."""
    value = frame.get(key)
    if not isinstance(value, int | float) or isinstance(value, bool) or not abs(value) < 1e300:  # a NaN is not less
        raise FrameError(f"{key} is no finite number: {shown(value)}")
    return float(value)


def object_of(frame: Frame, key: str) -> Frame:
    """An object within a message. Raises FrameError."""
    value = frame.get(key)
    if not isinstance(value, dict):
        raise FrameError(f"{key} is no object: {shown(value)}")
    return value


def text_of_frame(frame: Frame, key: str, *, most: int = 10_000) -> str:
    """A text of a message, cut to so many letters. Raises FrameError."""
    value = frame.get(key)
    if not isinstance(value, str):
        raise FrameError(f"{key} is no text: {shown(value)}")
    return value[:most]


def shown(value: object) -> str:
    """A value for a message, of which there may be much."""
    text = repr(value)
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "..."
