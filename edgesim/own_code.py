"""Whose mistake is an error? One that comes out of a user's own planner, figure or module is told with their lines."""

import sysconfig
import traceback
from itertools import dropwhile
from pathlib import Path

_HOUSE = Path(__file__).resolve().parents[1]
_OURS = tuple(str(_HOUSE / package) for package in ("edgesim", "experiments", "real_runtime"))
_OTHERS = tuple({sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")})
_LEAVES_OUT = ("<", *_OURS, *_OTHERS)


def users_mistake(error: BaseException) -> str | None:
    """Return what went wrong in a user's own code, with the line where; None if the error did not pass through any."""
    last: BaseException | None = error
    while last is not None:
        # Not those at its beginning: a script of the user's that calls us is no part of what we call.
        called = dropwhile(lambda frame: is_users_file(frame.filename), traceback.extract_tb(last.__traceback__))
        frames = [frame for frame in called if is_users_file(frame.filename)]
        if frames:
            where = frames[-1]
            said = " ".join(f"{type(last).__name__}: {last}".split())
            return f"{said}\n  {where.filename}:{where.lineno}, in {where.name}: {where.line}"
        if isinstance(last, SyntaxError) and last.filename and is_users_file(last.filename):
            return f"SyntaxError: {last.msg}\n  {last.filename}:{last.lineno}: {(last.text or '').strip()}"
        last = last.__cause__
    return None


def is_users_file(file: str) -> bool:
    """Return whether a source file is the user's own: neither ours, nor Python's, nor an installed package's."""
    return Path(file).is_absolute() and not file.startswith(_LEAVES_OUT) and "site-packages" not in file
