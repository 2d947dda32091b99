"""BERT's layers from Hugging Face transformers: embedding, encoder, masked-language head (decoder untied)."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from transformers import BertConfig
from transformers.models.bert.modeling_bert import BertEmbeddings, BertLayer, BertLMPredictionHead

from real_runtime.data import IGNORED, masked_tokens


def layer(hyper: Mapping[str, Any], index: int) -> nn.Module:
    """Layer ``index``: 0 the embedding, then the encoder, last the head. Dropout is off: runs must agree."""
    for what in ("tied", "dropout"):
        if hyper[what]:
            raise ValueError(f"the runtime builds BERT without {what} (set model.{what}=false)")
    config = BertConfig(
        vocab_size=hyper["vocabulary"],
        hidden_size=hyper["hidden"],
        num_hidden_layers=hyper["layers"],
        num_attention_heads=hyper["heads"],
        intermediate_size=hyper["columns"],
        max_position_embeddings=hyper["positions"],
        type_vocab_size=hyper["token_types"],
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        attn_implementation="sdpa",
    )
    if index == 0:
        return BertEmbeddings(config)
    if index <= hyper["layers"]:
        return _Encoder(config)
    head = BertLMPredictionHead(config)
    head.bias = head.decoder.bias  # the library ties the two when it builds the whole model
    return head


class _Encoder(nn.Module):
    """One encoder layer that takes and gives one tensor, whatever else the library's layer returns."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.layer = BertLayer(config)

    def forward(self, hidden: Tensor) -> Tensor:
        output = self.layer(hidden)
        return output if isinstance(output, Tensor) else output[0]


def sample(hyper: Mapping[str, Any], tokens: int) -> Tensor:
    """Token ids [1, tokens]."""
    return torch.zeros(1, tokens, dtype=torch.long)


def loss(hyper: Mapping[str, Any], tokens: int, output: Tensor, target: Tensor) -> Tensor:
    """Cross-entropy of the hidden tokens: sum over samples of each sample's mean."""
    total = nn.functional.cross_entropy(output.flatten(0, 1), target.flatten(), ignore_index=IGNORED, reduction="sum")
    return total / masked_tokens(tokens)
