"""Which known name may a mistyped one mean?"""

from collections.abc import Iterable
from difflib import get_close_matches

HELP = "--help lists all"


def suggestion(name: str, known: Iterable[str], *, listed: int = 20) -> str:
    """The nearest known names, or all: `` (did you mean 'data'? known: data, pipeline)``; no more than ``listed``."""
    names = sorted(str(entry) for entry in known)
    near = get_close_matches(name, names, n=3)
    known_names = f"known: {', '.join(names)}" if len(names) <= listed else HELP
    return f" (did you mean {' or '.join(repr(n) for n in near)}? {known_names})" if near else f" ({known_names})"
