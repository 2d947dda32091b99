"""Has a computation put out numbers that are none? A sum tells, in one pass that is short beside what it checks."""

from collections.abc import Iterable
from math import isfinite

import torch
from torch import Tensor


class NotFiniteError(ArithmeticError):
    """A computation put out infinite numbers, or such as are none."""


def refuse_not_finite(made: Iterable[Tensor], iteration: int) -> None:
    """Raise NotFiniteError, which says in which iteration, unless all that a computation has made is finite."""
    for tensor in made:
        if isfinite(float(tensor.detach().sum())):
            continue
        wrong = int((~torch.isfinite(tensor)).sum())
        if wrong:  # the sum of very many finite numbers may be infinite as well
            raise NotFiniteError(
                f"in iteration {iteration}, {wrong} of {tensor.numel()} numbers are infinite or none "
                "(try a smaller workload.learning_rate, or other weights)"
            )
