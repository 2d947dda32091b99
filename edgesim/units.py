"""How do human units become SI, and back? The only file that converts: Mbit = 10^6 bit, GiB = 2^30 byte."""

import re

_PREFIX = {"": 1.0, "n": 1e-9, "u": 1e-6, "µ": 1e-6, "m": 1e-3, "k": 1e3, "K": 1e3, "M": 1e6, "G": 1e9, "T": 1e12}
_BINARY = {"Ki": 2.0**10, "Mi": 2.0**20, "Gi": 2.0**30, "Ti": 2.0**40}
# Base units and what they are worth in SI; a bit is an eighth of a byte.
_BASE = {
    "B": 1.0,
    "bit": 0.125,
    "FLOP": 1.0,
    "s": 1.0,
    "W": 1.0,
    "J": 1.0,
    "Hz": 1.0,
    "min": 60.0,
    "h": 3600.0,
    "Wh": 3600.0,
}
_QUANTITY = re.compile(r"\s*([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?|inf(?=\s))\s*([^\s/\d.][^\s/]*)(/s)?\s*")
BYTES_PER_FLOAT32 = 4


def si(text: str) -> float:
    """Read a quantity with its unit into SI: ``si("100 Mbit/s")`` is 12.5e6 (bytes per second).

    >>> si("100 Mbit/s"), si("4 GiB"), si("236 GFLOP/s"), si("2 ms"), si("inf GB/s")
    (12500000.0, 4294967296.0, 236000000000.0, 0.002, inf)
    """
    number, unit = _split(str(text))
    for prefix, factor in (_BINARY | _PREFIX).items():
        base = unit.removeprefix(prefix)
        if unit.startswith(prefix) and base in _BASE and not (prefix and base in {"min", "h"}):
            return number * (factor * _BASE[base])
    raise ValueError(
        f"unknown unit {unit!r} in {text!r} (known: {', '.join(_BASE)}, with prefixes k M G T, Ki Mi Gi Ti, m u n)"
    )


def _split(text: str) -> tuple[float, str]:
    if (quantity := _QUANTITY.fullmatch(text)) is None:
        raise ValueError(f"not a quantity with a unit: {text!r} (try '100 Mbit/s' or '4 GiB')")
    return float(quantity[1]), quantity[2]


def show(value: float, unit: str) -> str:
    """Write an SI value with three digits and a prefix: ``show(0.0123, "s")`` is ``'12.3 ms'``.

    >>> show(0.0123, "s"), show(12.5e6, "B/s"), show(0, "J"), show(3.2e9, "B")
    ('12.3 ms', '12.5 MB/s', '0 J', '3.2 GB')
    """
    if value == 0 or value in (float("inf"), float("-inf")) or value != value:
        return f"{value:g} {unit}"
    for prefix in ("T", "G", "M", "k", "", "m", "u"):
        if abs(value) >= 0.9995 * _PREFIX[prefix]:
            return f"{value / _PREFIX[prefix]:.3g} {prefix}{unit}"
    return f"{value / _PREFIX['n']:.3g} n{unit}"


def mbit_per_s(bytes_per_s: float) -> float:
    """Convert bytes per second to megabits per second, as networks are described."""
    return bytes_per_s / si("1 Mbit/s")


def bit_per_s(bytes_per_s: float) -> float:
    """Convert bytes per second to bits per second."""
    return bytes_per_s / si("1 bit/s")
