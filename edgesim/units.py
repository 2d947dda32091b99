"""How do human units become SI, and back? The only file that converts: Mbit = 10^6 bit, GiB = 2^30 byte.

A name that ends in a unit (``_s``, ``_bytes``, ``_flop_per_s`` ...) says what its value measures: see
:func:`dimension_of`.
"""

import re
from collections.abc import Collection, Mapping
from dataclasses import MISSING, fields
from enum import Enum
from math import inf, isfinite, nan
from numbers import Real
from typing import Any, get_args

_PREFIX = {"": 1.0, "n": 1e-9, "u": 1e-6, "µ": 1e-6, "m": 1e-3, "k": 1e3, "K": 1e3, "M": 1e6, "G": 1e9, "T": 1e12}
_BINARY = {"Ki": 2.0**10, "Mi": 2.0**20, "Gi": 2.0**30, "Ti": 2.0**40}


class Dimension(Enum):
    """What a quantity measures: in words, with an example, and the ending of names whose values measure it in SI."""

    TIME = "a time", "5 ms", "_s"
    SIZE = "a number of bytes", "2 GiB", "_bytes"
    WORK = "a number of FLOP", "3 GFLOP", "_flop"
    BYTE_RATE = "a rate of bytes or bits", "20 Mbit/s", "_bytes_per_s"
    FLOP_RATE = "a rate of FLOP", "40 GFLOP/s", "_flop_per_s"
    POWER = "a power", "10 W", "_w"
    ENERGY = "an energy", "5 J", "_j"
    ENERGY_PER_BYTE = "an energy per byte", "1.9 uJ/B", "_j_per_byte"
    FREQUENCY = "a frequency", "1.5 GHz", "_hz"

    def __init__(self, noun: str, example: str, ending: str) -> None:
        self.noun, self.example, self.ending = noun, example, ending

    @property
    def is_rate(self) -> bool:
        """Whether a value of 0 would mean that nothing ever ends."""
        return self in (Dimension.BYTE_RATE, Dimension.FLOP_RATE)


# Base units: what they are worth in SI, and what they measure. A bit is an eighth of a byte.
_BASE = {
    "B": (1.0, Dimension.SIZE),
    "bit": (0.125, Dimension.SIZE),
    "FLOP": (1.0, Dimension.WORK),
    "s": (1.0, Dimension.TIME),
    "W": (1.0, Dimension.POWER),
    "J": (1.0, Dimension.ENERGY),
    "Hz": (1.0, Dimension.FREQUENCY),
    "min": (60.0, Dimension.TIME),
    "h": (3600.0, Dimension.TIME),
    "Wh": (3600.0, Dimension.ENERGY),
}
_PER = {
    (Dimension.SIZE, "/s"): Dimension.BYTE_RATE,
    (Dimension.WORK, "/s"): Dimension.FLOP_RATE,
    (Dimension.ENERGY, "/s"): Dimension.POWER,
    (Dimension.ENERGY, "/B"): Dimension.ENERGY_PER_BYTE,
}
_QUANTITY = re.compile(r"\s*([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?|inf(?=\s))\s*([^\s/\d.][^\s/]*)(/s|/B)?\s*")
# Times of which 0 would be no answer, and the one that may be infinite: what does not end.
_POSITIVE_TIMES = ("time_limit_s", "deadline_s", "interval_s")
_ENDLESS = ("end_s",)
BYTES_PER_FLOAT32 = 4
LEAST, MOST = 1e-100, 1e100
"""Between these lie all magnitudes that are reckoned with: no product or quotient of three is 0 or infinite."""


def si(text: str) -> float:
    """Read a quantity with its unit into SI: ``si("100 Mbit/s")`` is 12.5e6 (bytes per second).

    >>> si("100 Mbit/s"), si("4 GiB"), si("236 GFLOP/s"), si("2 ms"), si("inf GB/s")
    (12500000.0, 4294967296.0, 236000000000.0, 0.002, inf)
    """
    return _read(str(text))[0]


def _read(text: str) -> tuple[float, Dimension | None]:
    """The value in SI and what it measures; None for what has no name here, like seconds per second."""
    if (quantity := _QUANTITY.fullmatch(text)) is None:
        raise ValueError(f"not a quantity with a unit: {text!r} (try '100 Mbit/s' or '4 GiB')")
    number, unit, per = float(quantity[1]), quantity[2], quantity[3]
    for prefix, factor in (_BINARY | _PREFIX).items():
        base = unit.removeprefix(prefix)
        if unit.startswith(prefix) and base in _BASE and not (prefix and base in {"min", "h"}):
            worth, measures = _BASE[base]
            return number * (factor * worth), _PER.get((measures, per)) if per else measures
    raise ValueError(
        f"unknown unit {unit!r} in {text!r} (known: {', '.join(_BASE)}, with prefixes k M G T, Ki Mi Gi Ti, m u n)"
    )


def is_reckonable(value: float) -> bool:
    """Whether a positive quantity is of a size that can be reckoned with.

    >>> is_reckonable(12.5e6), is_reckonable(0), is_reckonable(5e-324), is_reckonable(inf)
    (True, False, False, False)
    """
    return LEAST <= value <= MOST


def dimension_of(name: str) -> Dimension | None:
    """What the value of a name measures, by the unit at its end; None where it ends in none.

    >>> dimension_of("disk_bytes_per_s") is Dimension.BYTE_RATE, dimension_of("samples_per_s")
    (True, None)
    """
    whole = f"_{name.removesuffix('_per_message')}" if len(name) > 1 else name
    endings = {each.ending: each for each in Dimension}
    longest = max((ending for ending in endings if whole.endswith(ending)), key=len, default=None)
    if longest is None or whole.removesuffix(longest).endswith("_per"):
        return None
    return endings[longest]


def quantity(value: object, measures: Dimension, *, name: str, bare: bool = True) -> float:
    """Read what a person wrote for ``name`` into SI: a text with a unit of this dimension, or a number, which is SI.

    ``bare`` says whether a number without a unit is clear, as it is where the name ends in the unit. Raises ValueError
    for another dimension, an unknown or missing unit, and a number that nothing real can have.

    >>> quantity("20 Mbit/s", Dimension.BYTE_RATE, name="network.rate"), quantity(3, Dimension.TIME, name="end_s")
    (2500000.0, 3.0)
    """
    last = name.rpartition(".")[2].partition("[")[0]
    above = "above 0" if measures.is_rate or last in _POSITIVE_TIMES else "0 or more"
    expected = f"{name}: expected {measures.noun}, {above}, like '{measures.example}'"
    if isinstance(value, str):
        number, measured = _read_for(value, expected)
        if measured is not measures:
            raise ValueError(f"{expected}, got {value!r}" + (f", which is {measured.noun}" if measured else ""))
    elif isinstance(value, int | float) and not isinstance(value, bool):
        number = float(value) if isinstance(value, float) or abs(value) < 1e308 else nan  # larger than any float
        if not bare:
            raise ValueError(f"{expected}, got {value!r} without a unit")
    else:
        raise ValueError(f"{expected}, got {'null' if value is None else repr(value)}")
    endless = number == inf and last in _ENDLESS
    if not (isfinite(number) or endless) or number < 0 or (number == 0 and above == "above 0"):
        raise ValueError(f"{expected}, got {value!r}")
    return number


def _read_for(text: str, expected: str) -> tuple[float, Dimension | None]:
    try:
        return _read(text)
    except ValueError as error:
        raise ValueError(f"{expected}: {error}") from None


def require_number(whose: str, name: str, value: object, *, or_none: bool = False, several: bool = False) -> None:
    """Raise ValueError for a quantity of a noun that is no number, nor a list of numbers where it may be ``several``.

    Nouns are of SI; texts with units are read where configurations are, and by :func:`si`, which the message names.

    >>> require_number("device x", "flop_per_s", 8e9)
    """
    if type(value) in (float, int) or (value is None and or_none):
        return
    if several and isinstance(value, Collection) and not isinstance(value, str | bytes | Mapping):
        if set(map(type, value)) <= {float, int}:  # a matrix of a thousand ranks has a million
            return
        for each in value:
            require_number(whose, name, each, several=True)
    elif isinstance(value, bool) or not isinstance(value, Real):
        raise ValueError(f"{whose}: {name} must be a number, got {value!r}{_read_by(value, name)}")


def require_numbers(whose: str, noun: object) -> None:
    """Raise ValueError where an attribute of a noun that is to be a number, by its type, is none."""
    if (known := _NUMBERS.get(type(noun))) is None:
        known = _NUMBERS[type(noun)] = _numbers(type(noun))
    for name, or_none, several in known:
        require_number(whose, name, getattr(noun, name), or_none=or_none, several=several)


_NUMBERS: dict[type, tuple[tuple[str, bool, bool], ...]] = {}  # by noun: thousands of some are made


def _numbers(noun: type) -> tuple[tuple[str, bool, bool], ...]:
    """Attributes that hold numbers and nothing else, whether each may be None, and whether it may be several."""
    typed = [(each, set(_parts(each.type))) for each in fields(noun) if each.init and each.default_factory is MISSING]
    return tuple(
        (each.name, type(None) in parts, Ellipsis in parts)
        for each, parts in typed
        if parts & {int, float} and parts <= {int, float, type(None), Ellipsis}
    )


def _parts(hint: Any) -> tuple[Any, ...]:
    """The types that a type is made of: of ``tuple[float, ...] | None`` float, the dots and None."""
    return tuple(part for each in get_args(hint) for part in _parts(each)) or (hint,)


def _read_by(value: object, name: str) -> str:
    """How a text becomes the number, where that is clear."""
    measures = dimension_of(name)
    if not isinstance(value, str) or measures is None:
        return ""
    try:
        quantity(value, measures, name=name)
    except ValueError:
        return f" (give {measures.noun} in SI, like si('{measures.example}'))"
    return f" (give it in SI: si({value!r}), with edgesim's si)"


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
