"""Which known name may a mistyped one mean?"""

from collections.abc import Iterable
from difflib import get_close_matches


def suggestion(name: str, known: Iterable[str]) -> str:
    """The nearest known names, or all of them: `` (did you mean 'data'? known: data, pipeline)``."""
    names = sorted(str(entry) for entry in known)
    near = get_close_matches(name, names, n=3)
    listed = f"known: {', '.join(names)}" if len(names) <= 20 else "--help lists all"
    return f" (did you mean {' or '.join(repr(n) for n in near)}? {listed})" if near else f" ({listed})"
