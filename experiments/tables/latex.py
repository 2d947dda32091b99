"""Rows as a LaTeX table in the style of the booktabs package, with every special character escaped."""

import re
from collections.abc import Sequence

_ESCAPED = str.maketrans(
    {
        **{special: f"\\{special}" for special in "&%$#_{}"},
        "\\": r"\textbackslash{}",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        "<": r"\textless{}",
        ">": r"\textgreater{}",
        "|": r"\textbar{}",
        # After the end of a row these two would be read as its optional arguments.
        "[": "{[}",
        "*": "{*}",
    }
)


def escape(text: str) -> str:
    r"""Text that LaTeX prints as it is, in one line of a cell.

    >>> print(escape("bert_small: 5 % of $10"))
    bert\_small: 5 \% of \$10
    """
    printable = "".join(character if character.isprintable() else " " for character in text)
    return " ".join(printable.split()).translate(_ESCAPED)


def latex_number(text: str) -> str:
    r"""A number as :func:`experiments.tables.number.number` writes it, in mathematics where it needs to be.

    >>> print(latex_number("1.50e-7"), latex_number("-2.00"), latex_number("12.3"), latex_number("inf"))
    $1.50 \times 10^{-7}$ $-2.00$ 12.3 $\infty$
    """
    if (power := re.fullmatch(r"(-?[\d.]+)e(-?\d+)", text)) is not None:
        return rf"${power[1]} \times 10^{{{power[2]}}}$"
    if text.endswith("inf"):
        return "$" + text.replace("inf", r"\infty") + "$"
    return f"${text}$" if text.startswith("-") else text


def bold(cell: str) -> str:
    """A cell in bold, its mathematics too."""
    return rf"\textbf{{\boldmath {cell}}}" if "$" in cell else rf"\textbf{{{cell}}}"


def latex(
    head: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    texts: int = 1,
    above: str = "",
    caption: str = "",
    label: str = "",
    notes: Sequence[str] = (),
) -> str:
    """A floating table of cells in LaTeX; the first ``texts`` columns are text, ``above`` heads all the others.

    Rows that begin alike stand together; notes stand below in small type.
    """
    figures = len(head) - texts
    lines = ["% needs \\usepackage{booktabs}", r"\begin{table}", r"  \centering", rf"  \caption{{{caption}}}"]
    lines += [rf"  \label{{{label}}}"] if label else []
    lines += [rf"  \begin{{tabular}}{{{'l' * texts}{'r' * figures}}}", r"    \toprule"]
    if above:
        lines += [f"    {'& ' * texts}\\multicolumn{{{figures}}}{{c}}{{{above}}} \\\\"]
        lines += [rf"    \cmidrule(lr){{{texts + 1}-{len(head)}}}"]
    lines += [f"    {' & '.join(head)} \\\\", r"    \midrule"]
    for place, row in enumerate(rows):
        if place and row[0] != rows[place - 1][0]:
            lines.append(r"    \addlinespace")
        lines.append(f"    {' & '.join(row)} \\\\")
    lines += [r"    \bottomrule", r"  \end{tabular}"]
    lines += [rf"  \par\smallskip{{\footnotesize {note}\par}}" for note in notes]
    return "\n".join([*lines, r"\end{table}"]) + "\n"
