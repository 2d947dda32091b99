"""Where do a layer's parts find their weights? What a family's file says of the library's layers, as views of them."""

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

Activation = Callable[[Tensor], Tensor]
Positions = Callable[[Tensor, Tensor, int], tuple[Tensor, Tensor]]
"""Turns Q and K [samples, heads, tokens, head size] by their positions; the first token's is the last argument."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Matrix:
    """y = x weightᵀ + bias; weight [out, in], bias [out] or none."""

    weight: Tensor
    bias: Tensor | None

    def rows(self, first: int, last: int) -> "Matrix":
        """Some of its outputs."""
        return Matrix(weight=self.weight[first:last], bias=None if self.bias is None else self.bias[first:last])


def linear(layer: nn.Linear) -> Matrix:
    """The weights of torch's layer."""
    return Matrix(weight=layer.weight, bias=layer.bias)


def conv1d(layer: Conv1D) -> Matrix:
    """The weights of GPT-2's layer, which keeps them as [in, out]."""
    return Matrix(weight=layer.weight.T, bias=layer.bias)


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbeddingWeights:
    """``words`` [vocabulary, hidden], whose row ``padding`` learns nothing; ``positions`` [offset + positions, hidden].

    ``types`` [types, hidden]: all tokens are of type 0. ``norm`` is applied to the sum.
    """

    words: Tensor
    padding: int | None = None
    positions: Tensor | None = None
    offset: int = 0
    types: Tensor | None = None
    norm: nn.Module | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AttentionWeights:
    """Query, key and value with heads one after the other; ``groups`` heads of keys and values serve all queries."""

    query: Matrix
    key: Matrix
    value: Matrix
    out: Matrix
    head_size: int
    causal: bool
    positions: Positions | None = None

    @property
    def groups(self) -> int:
        """Heads of keys and values."""
        return self.key.weight.shape[0] // self.head_size

    @property
    def queries_per_group(self) -> int:
        """Heads of queries that look at one head of keys."""
        return self.query.weight.shape[0] // self.key.weight.shape[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class MlpWeights:
    """``into`` a layer's columns: one matrix, or the gate's and the other factor's."""

    into: tuple[Matrix, ...]
    activation: Activation
    out: Matrix


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadWeights:
    """The matrix onto the vocabulary; before it, where there is one, a dense matrix, an activation and a norm."""

    decoder: Matrix
    dense: Matrix | None = None
    activation: Activation | None = None
    norm: nn.Module | None = None
