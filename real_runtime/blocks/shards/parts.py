"""What does a rank compute of each block? Five modules that hold its own heads, columns or vocabulary of the weights.

Tokens are a range of the sequence, and ``first`` is the position of its first one. ``leave`` gives a partial sum
without the bias: the ranks' sums are added up, and the connective behind adds the bias once.
"""

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from real_runtime.blocks.shards.weights import AttentionWeights, EmbeddingWeights, HeadWeights, Matrix, MlpWeights

Range = tuple[int, int]
GROUPS_HEADS = tuple(map(int, torch.__version__.split(".")[:2])) >= (2, 5)
"""Whether PyTorch attends by itself with more heads of queries than of keys and values."""


def own(tensor: Tensor) -> nn.Parameter:
    """A contiguous parameter: of the tensor's own storage where it is whole, a copy where it is a slice."""
    whole = tensor.is_contiguous() and tensor.numel() * tensor.element_size() == tensor.untyped_storage().nbytes()
    return nn.Parameter(tensor.detach() if whole else tensor.detach().clone(memory_format=torch.contiguous_format))


@dataclass(frozen=True, slots=True, kw_only=True)
class Holding:
    """How a part holds its weights of a layer: what it makes of a tensor's slice, and of a whole module."""

    tensor: Callable[[Tensor], nn.Parameter]
    module: Callable[[nn.Module], nn.Module]

    def maybe(self, tensor: Tensor | None) -> nn.Parameter | None:
        """The tensor, if there is one."""
        return None if tensor is None else self.tensor(tensor)


APART = Holding(tensor=own, module=deepcopy)
VIEWS = Holding(tensor=lambda tensor: nn.Parameter(tensor.detach()), module=lambda module: module)
"""What is written to such a part is written to the layer."""


class Product(nn.Module):
    """x weightᵀ + bias."""

    def __init__(self, matrix: Matrix, holding: Holding) -> None:
        super().__init__()
        self.weight, self.bias = holding.tensor(matrix.weight), holding.maybe(matrix.bias)

    def forward(self, x: Tensor) -> Tensor:
        return functional.linear(x, self.weight, self.bias)


class EmbeddingShard(nn.Module):
    """Words, positions and types, added up and normed; never split."""

    def __init__(self, weights: EmbeddingWeights, holding: Holding) -> None:
        super().__init__()
        self.words, self.padding, self.offset = holding.tensor(weights.words), weights.padding, weights.offset
        self.positions, self.types = holding.maybe(weights.positions), holding.maybe(weights.types)
        self.norm = None if weights.norm is None else holding.module(weights.norm)

    def forward(self, ids: Tensor, first: int) -> Tensor:
        """Ids [samples, tokens] to hidden [samples, tokens, hidden]; ValueError beyond the last learnt position."""
        hidden = functional.embedding(ids, self.words, padding_idx=self.padding)
        if self.types is not None:
            hidden = hidden + self.types[0]
        if self.positions is not None:
            start, end = self.offset + first, self.offset + first + ids.shape[1]
            if end > len(self.positions):
                raise ValueError(
                    f"position {end - self.offset - 1} is beyond the model's {len(self.positions) - self.offset} "
                    f"positions (set model.positions, or shorten the sequence)"
                )
            hidden = hidden + self.positions[start:end]
        return hidden if self.norm is None else self.norm(hidden)


class AttentionShard(nn.Module):
    """Some groups of heads: one head of keys and values each, and the heads of queries that look at it."""

    def __init__(self, weights: AttentionWeights, groups: Range | None, holding: Holding) -> None:
        super().__init__()
        first, last = groups or (0, weights.groups)
        size, each = weights.head_size, weights.queries_per_group
        queries = (first * each * size, last * each * size)
        self.query = Product(weights.query.rows(*queries), holding)
        self.key = Product(weights.key.rows(first * size, last * size), holding)
        self.value = Product(weights.value.rows(first * size, last * size), holding)
        self.out = holding.tensor(weights.out.weight[:, slice(*queries)])
        self.head_size, self.grouped, self.causal = size, each > 1, weights.causal
        self.positions = weights.positions

    def enter(self, x: Tensor, first: int) -> tuple[Tensor, Tensor, Tensor]:
        """Hidden [samples, tokens, hidden] to Q, K and V, each [samples, own heads, tokens, head size]."""
        q, k, v = (
            product(x).unflatten(-1, (-1, self.head_size)).transpose(1, 2)
            for product in (self.query, self.key, self.value)
        )
        if self.positions is not None:
            q, k = self.positions(q, k, first)
        return q, k, v

    def core(self, q: Tensor, k: Tensor, v: Tensor, first: int) -> Tensor:
        """Context [samples, tokens, own heads x head size] of the queries ``first`` .. on the keys 0 .. .

        If causal, query i sees the keys 0 .. first + i. Keys that no query sees are computed like the others, so that
        the work depends on the two lengths alone, as a profile has it.
        """
        queries, keys = q.shape[2], k.shape[2]
        square = first == 0 and queries == keys
        mask = None
        if self.causal and not square and first + 1 < keys:
            seen = torch.arange(first, first + queries, device=q.device)
            mask = torch.arange(keys, device=q.device) <= seen[:, None]
        grouping = {}
        if self.grouped and GROUPS_HEADS:
            grouping["enable_gqa"] = True
        elif self.grouped:
            k, v = (each.repeat_interleave(q.shape[1] // each.shape[1], dim=1) for each in (k, v))
        context = functional.scaled_dot_product_attention(
            q, k, v, attn_mask=mask, is_causal=self.causal and square, **grouping
        )
        return context.transpose(1, 2).flatten(2)

    def leave(self, context: Tensor) -> Tensor:
        """Partial sum [samples, tokens, hidden], without the bias."""
        return functional.linear(context, self.out)


class MlpShard(nn.Module):
    """Some columns."""

    def __init__(self, weights: MlpWeights, columns: Range | None, holding: Holding) -> None:
        super().__init__()
        first, last = columns or (0, weights.out.weight.shape[1])
        self.into = nn.ModuleList(Product(matrix.rows(first, last), holding) for matrix in weights.into)
        self.out = holding.tensor(weights.out.weight[:, first:last])
        self.activation = weights.activation

    def enter(self, x: Tensor) -> Tensor:
        """Hidden [samples, tokens, hidden] to inner [samples, tokens, own columns]."""
        inner = self.activation(self.into[0](x))
        for factor in self.into[1:]:
            inner = inner * factor(x)
        return inner

    def leave(self, inner: Tensor) -> Tensor:
        """Partial sum [samples, tokens, hidden], without the bias."""
        return functional.linear(inner, self.out)


class ConnectiveShard(nn.Module):
    """Adds the branch and the bias of its last matrix to the residual, and norms; never split but by tokens."""

    def __init__(self, norm: nn.Module, bias: Tensor | None, holding: Holding, *, pre_norm: bool) -> None:
        super().__init__()
        self.norm, self.pre_norm, self.bias = holding.module(norm), pre_norm, holding.maybe(bias)

    def forward(self, residual: Tensor, branch: Tensor | None) -> tuple[Tensor, Tensor]:
        """The next residual and what the next block reads, [samples, tokens, hidden]; one and the same if post-norm.

        There is no branch before the first attention of a pre-norm model.
        """
        if branch is not None:
            residual = residual + (branch if self.bias is None else branch + self.bias)
        normed = self.norm(residual)
        return (residual if self.pre_norm else normed), normed


class HeadShard(nn.Module):
    """Some of the vocabulary; what stands before that matrix is whole."""

    def __init__(self, weights: HeadWeights, vocabulary: Range | None, holding: Holding) -> None:
        super().__init__()
        self.dense = None if weights.dense is None else Product(weights.dense, holding)
        self.activation = weights.activation
        self.norm = None if weights.norm is None else holding.module(weights.norm)
        self.decoder = Product(weights.decoder.rows(*(vocabulary or (0, len(weights.decoder.weight)))), holding)

    def enter(self, x: Tensor) -> Tensor:
        """BERT's dense matrix, activation and norm, token by token; nothing elsewhere."""
        if self.dense is None or self.activation is None or self.norm is None:
            return x
        normed: Tensor = self.norm(self.activation(self.dense(x)))
        return normed

    def leave(self, x: Tensor) -> Tensor:
        """Logits [samples, tokens, own vocabulary], bias included."""
        logits: Tensor = self.decoder(x)
        return logits
