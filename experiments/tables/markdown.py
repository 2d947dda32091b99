"""Rows as a Markdown table."""

from collections.abc import Sequence


def markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table whose first column is text and whose others are figures.

    >>> print(markdown(["plan", "s"], [["data", "7.1"]]), end="")
    | plan | s |
    |---|---:|
    | data | 7.1 |
    """
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    joined = ["|" + "|".join(line) + "|" if line is lines[1] else "| " + " | ".join(line) + " |" for line in lines]
    return "\n".join(joined) + "\n"
