"""How is a number written in a table? With three digits, and all of a column in one unit, which stands in its head."""

import math
from collections.abc import Iterable
from statistics import median

from edgesim.units import show, si

_DIGITS = 3
INTERVAL_DIGITS = 2  # of what stands behind ±


def number(value: float, *, digits: int = _DIGITS) -> str:
    """So many digits or, before the point, all; powers of ten only where zeros would have to be counted.

    >>> number(0.12345), number(9.996), number(12345.6), number(1.5e-7), number(0)
    ('0.123', '10.0', '12346', '1.50e-7', '0')
    >>> number(0.12345, digits=2), number(345.6, digits=2)
    ('0.12', '346')
    """
    if value == 0 or not math.isfinite(value):
        return f"{value:g}"
    mantissa, power = f"{value:.{digits - 1}e}".split("e")
    if -4 <= int(power) <= 5:
        return f"{value:.{max(0, digits - 1 - int(power))}f}"
    return f"{mantissa}e{int(power)}"


def one_unit(values: Iterable[float], base: str) -> tuple[str, float]:
    """The unit that suits the middle of these SI values, and what it is worth.

    >>> one_unit([2e6, 3e6, 5e9], "B"), one_unit([1e8], "bit/s"), one_unit([], "s")
    (('MB', 1000000.0), ('Mbit/s', 1000000.0), ('s', 1.0))
    """
    sizes = [abs(value) for value in values if value and math.isfinite(value)]
    if not sizes:
        return base, 1.0
    unit = show(median(sizes), base).split(" ")[1].replace("u", "µ")
    return unit, si(f"1 {unit}") / si(f"1 {base}")
