"""Rows as a Markdown table."""

import re
from collections.abc import Sequence


def markdown(head: Sequence[str], rows: Sequence[Sequence[str]], *, texts: int = 1) -> str:
    """A table whose first column (or ``texts`` columns) is text and whose others are figures.

    >>> print(markdown(["plan", "s"], [["data", "7.1"]]), end="")
    | plan | s |
    |---|---:|
    | data | 7.1 |
    """
    lines = [head, [*["---"] * texts, *["---:"] * (len(head) - texts)], *rows]
    joined = ["|" + "|".join(line) + "|" if line is lines[1] else "| " + " | ".join(line) + " |" for line in lines]
    return "\n".join(joined) + "\n"


def escape(text: str) -> str:
    r"""Text that Markdown shows as it is, in one line of a cell.

    >>> print(escape("a|b *c* <d>"))
    a\|b \*c\* \<d>
    """
    return re.sub(r"([\\|*`<\[])", r"\\\1", " ".join(text.split()))
