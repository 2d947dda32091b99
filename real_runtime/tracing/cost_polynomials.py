"""Which polynomial in samples and tokens gives the costs that were counted at a few sizes? Exactly, or none."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from fractions import Fraction

from edgesim.model import Cost

# Sizes at which costs are counted, and one more at which the fit is checked; batch norm needs more than one sample.
SAMPLES, CHECKED_SAMPLES = (2, 3), 4
_EXACTLY = ("forward_flop", "backward_flop", "weight_flop", "output_bytes")


@dataclass(frozen=True, slots=True, kw_only=True)
class Costs:
    """What one layer costs at one size (FLOP or bytes)."""

    forward_flop: int
    backward_flop: int
    forward_bytes: int
    backward_bytes: int
    output_bytes: int
    stash_bytes: int
    weight_flop: int
    weight_stash_bytes: int


_Size = tuple[int, int]  # samples, tokens
_Polynomial = tuple[Fraction, Fraction, Fraction]  # in tokens


def fit(where: str, counted: Mapping[_Size, Costs], check: Costs, checked: _Size) -> dict[str, Cost]:
    """Fit a polynomial to every cost, through all sizes counted. Raises ValueError if it misses the check."""
    fits = {}
    for name, expected in asdict(check).items():
        alone, each = _exact({size: getattr(costs, name) for size, costs in counted.items()})
        samples, tokens = checked
        predicted = sum((alone[power] + samples * each[power]) * tokens**power for power in range(3))
        if predicted != expected:
            raise ValueError(
                f"{where}: {name} is not a polynomial in samples and tokens: {samples} samples of {tokens} tokens "
                f"cost {expected}, fitted were {float(predicted):g}"
            )
        if any(alone[1:]) and name in _EXACTLY:
            raise ValueError(
                f"{where}: {name} grows with the tokens even without samples, which a table cannot express"
            )
        # Of bytes, what all samples share (position ids, a mask) counts for each: a little too much.
        fits[name] = Cost(
            fixed=float(alone[0]),
            per_sample=float(each[0]),
            per_token=float(each[1] + alone[1]),
            per_token_squared=float(each[2] + alone[2]),
        )
    return fits


def _exact(values: Mapping[_Size, int]) -> tuple[_Polynomial, _Polynomial]:
    """(what does not depend on samples, what each sample adds), as polynomials in tokens."""
    few, many = SAMPLES
    rows = [_through([(t, value) for (s, t), value in values.items() if s == samples]) for samples in SAMPLES]
    each = [(b - a) / (many - few) for a, b in zip(*rows, strict=True)]
    alone = [a - few * e for a, e in zip(rows[0], each, strict=True)]
    return tuple(alone), tuple(each)


def _through(points: Sequence[tuple[int, int]]) -> list[Fraction]:
    """Coefficients of the parabola through three points (Newton), or the constant through one."""
    if len(points) == 1:
        return [Fraction(points[0][1]), Fraction(0), Fraction(0)]
    (x0, y0), (x1, y1), (x2, y2) = points
    first = Fraction(y1 - y0, x1 - x0)
    second = (Fraction(y2 - y1, x2 - x1) - first) / (x2 - x0)
    return [y0 - first * x0 + second * x0 * x1, first - second * (x0 + x1), second]
