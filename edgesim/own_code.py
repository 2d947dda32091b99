"""Whose mistake is an error? One that comes out of a user's own planner, figure or module is told with their lines."""

import os
import sys
import sysconfig
import traceback
from pathlib import Path

_HOUSE = Path(__file__).resolve().parents[1]
_OURS = tuple(str(_HOUSE / package) for package in ("edgesim", "experiments", "real_runtime"))
_OTHERS = tuple({sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")})
_LEAVES_OUT = ("<", *_OURS, *_OTHERS)


def import_from_here_last() -> None:
    """Let Python find a user's modules where they stand, after all that is installed: theirs never shadow ours."""
    here = os.getcwd()
    if here not in sys.path and "" not in sys.path:
        sys.path.append(here)


def users_mistake(error: BaseException) -> str | None:
    """Return what went wrong in a user's own code, with the line where; None if the error did not pass through any."""
    last: BaseException | None = error
    while last is not None:
        frames = [frame for frame in traceback.extract_tb(last.__traceback__) if _is_users(frame.filename)]
        if frames:
            where = frames[-1]
            said = " ".join(f"{type(last).__name__}: {last}".split())
            return f"{said}\n  {where.filename}:{where.lineno}, in {where.name}: {where.line}"
        if isinstance(last, SyntaxError) and last.filename and _is_users(last.filename):
            return f"SyntaxError: {last.msg}\n  {last.filename}:{last.lineno}: {(last.text or '').strip()}"
        last = last.__cause__
    return None


def _is_users(file: str) -> bool:
    return not file.startswith(_LEAVES_OUT) and "site-packages" not in file
