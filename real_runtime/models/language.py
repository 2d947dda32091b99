"""What do all language models share? Which tokens have labels, their loss, and the layers that only wrap the library's.

The wrappers name two weights alike in every architecture: ``word_embeddings`` of the first layer, ``decoder`` of the
last one.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from transformers import PreTrainedConfig

Config = TypeVar("Config", bound=PreTrainedConfig)
IGNORED = -100  # the label that torch's cross-entropy leaves out
MASKED_SHARE = 0.15  # Devlin et al., 2019


def masked_tokens(tokens: int) -> int:
    """How many tokens of a sample have a label where they are hidden: a masked-language model."""
    return max(1, round(MASKED_SHARE * tokens))


def every_token(tokens: int) -> int:
    """How many tokens of a sample have a label where each predicts the next: a causal model."""
    return tokens


def masked_loss(hyper: Mapping[str, Any], tokens: int, output: Tensor, target: Tensor) -> Tensor:
    """Cross-entropy of the hidden tokens: the sum over samples of each one's mean; slices of tokens add up to it."""
    return _cross_entropy(output, target) / masked_tokens(tokens)


def causal_loss(hyper: Mapping[str, Any], tokens: int, output: Tensor, target: Tensor) -> Tensor:
    """Cross-entropy of all next tokens: the sum over samples of each one's mean; slices of tokens add up to it."""
    return _cross_entropy(output, target) / every_token(tokens)


def _cross_entropy(output: Tensor, target: Tensor) -> Tensor:
    return nn.functional.cross_entropy(output.flatten(0, 1), target.flatten(), ignore_index=IGNORED, reduction="sum")


def library_config(
    kind: Callable[..., Config], dropouts: Sequence[str], *, attention: str = "sdpa", **settings: Any
) -> Config:
    """The library's configuration of a model with these settings: no dropout, attention as one operation by default."""
    return kind(attn_implementation=attention, **settings, **dict.fromkeys(dropouts, 0.0))


def token_ids(hyper: Mapping[str, Any], tokens: int) -> Tensor:
    """One input: token ids [1, tokens]."""
    return torch.zeros(1, tokens, dtype=torch.long)


def refuse_dropout(hyper: Mapping[str, Any], name: str) -> None:
    """Raise ValueError for a model with dropout: runs must agree."""
    if hyper["dropout"]:
        raise ValueError(f"the runtime builds {name} without dropout (set model.dropout=false)")


class OneTensor(nn.Module):
    """A layer that takes and gives one tensor, whatever else the library's layer returns."""

    layer: Any  # of the library's own class, whose parts a family's file names

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, hidden: Tensor) -> Tensor:
        output = self.layer(hidden)
        return output if isinstance(output, Tensor) else output[0]


class NormedHead(nn.Module):
    """The last layer of a pre-norm model: the final norm, and the matrix onto the vocabulary."""

    def __init__(self, norm: nn.Module, decoder: nn.Linear) -> None:
        super().__init__()
        self.norm, self.decoder = norm, decoder

    def forward(self, hidden: Tensor) -> Tensor:
        logits: Tensor = self.decoder(self.norm(hidden))
        return logits


class WordsAlone(nn.Module):
    """An embedding of words without positions: what comes behind it knows them."""

    def __init__(self, words: nn.Embedding) -> None:
        super().__init__()
        self.word_embeddings = words

    def forward(self, ids: Tensor) -> Tensor:
        """[samples, tokens] ids to [samples, tokens, hidden]."""
        hidden: Tensor = self.word_embeddings(ids)
        return hidden
