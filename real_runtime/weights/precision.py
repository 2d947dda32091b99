"""How long are the numbers that are kept and sent? Two bytes are BF16; all arithmetic is FP32, whatever is kept.

BF16 and not FP16: it has FP32's range, so that nothing which is a number becomes infinite when it is shortened.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

Module = TypeVar("Module", bound=nn.Module)
_TYPES = {4: torch.float32, 2: torch.bfloat16}
# What takes numbers out of a table as they are; then they are widened, few as they are.
_LOOK_UPS = (functional.embedding, Tensor.__getitem__)
# What changes its first argument, which a widened copy would not be.
_IN_PLACE = re.compile(r".*[^_]_|__(setitem|iadd|isub|imul|itruediv)__")
_WIDENED_AT_A_TIME = 1 << 20  # weights of a large matrix: of the whole one there would be as much as is saved


def number_type(nbytes: int) -> torch.dtype:
    """The type of numbers of so many bytes. Raises ValueError for a length that the runtime has not."""
    if nbytes not in _TYPES:
        raise ValueError(f"the runtime keeps numbers of {' or '.join(map(str, sorted(_TYPES)))} bytes, got {nbytes}")
    return _TYPES[nbytes]


def keep_at(module: Module, nbytes: int) -> Module:
    """The same module, whose weights take so many bytes each; statistics stay as they are."""
    if nbytes != 4:
        for parameter in module.parameters():
            parameter.data = parameter.data.to(number_type(nbytes))
    return module


@contextmanager
def widening(nbytes: int) -> Iterator[None]:
    """Within, what is computed with weights of so many bytes is computed in FP32."""
    if nbytes == 4:
        yield
        return
    with _Widening():
        yield


class _Widening(TorchFunctionMode):
    """Wherever short weights meet FP32 numbers, they are widened for as long as that takes."""

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if func is functional.linear:
            return _product(*args, **kwargs)
        if func in _LOOK_UPS and _is_short(args[0] if func is Tensor.__getitem__ else args[1]):
            return func(*args, **kwargs).float()
        if _IN_PLACE.fullmatch(getattr(func, "__name__", "")):
            return func(*args, **kwargs)
        given = [each for each in (*args, *kwargs.values()) if isinstance(each, Tensor)]
        if any(map(_is_short, given)) and any(each.dtype is torch.float32 for each in given):
            args = tuple(map(_wide, args))
            kwargs = {name: _wide(value) for name, value in kwargs.items()}
        return func(*args, **kwargs)


def _product(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """x weightᵀ + bias, some rows of a large weight at a time."""
    if not _is_short(weight) or weight.numel() <= _WIDENED_AT_A_TIME:
        return functional.linear(x, _wide(weight), _wide(bias))
    rows = max(1, _WIDENED_AT_A_TIME // weight.shape[1])
    biases = [None] * -(-len(weight) // rows) if bias is None else bias.split(rows)
    pieces = [
        functional.linear(x, _wide(piece), _wide(own)) for piece, own in zip(weight.split(rows), biases, strict=True)
    ]
    return torch.cat(pieces, dim=-1)


def _is_short(value: Any) -> bool:
    return isinstance(value, Tensor) and value.dtype is torch.bfloat16


def _wide(value: Any) -> Any:
    return value.float() if _is_short(value) else value
