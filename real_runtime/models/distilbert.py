"""DistilBERT's layers from Hugging Face transformers: embedding, encoder, masked-language head."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn
from transformers import DistilBertConfig, DistilBertForMaskedLM
from transformers.activations import get_activation
from transformers.models.distilbert.modeling_distilbert import Embeddings, TransformerBlock

from real_runtime.models.language import (
    OneTensor,
    library_config,
    masked_loss,
    masked_tokens,
    refuse_dropout,
    token_ids,
)

WHOLE = DistilBertForMaskedLM
DROPOUTS = ("dropout", "attention_dropout")
CAUSAL = False
labelled, loss, sample = masked_tokens, masked_loss, token_ids
_NORM_EPS = 1e-12  # as in the library's Embeddings and DistilBertForMaskedLM, which have no setting for it


class DistilBertHead(nn.Module):
    """The library keeps these four parts in the whole model."""

    def __init__(self, dense: nn.Linear, activation: nn.Module, norm: nn.LayerNorm, decoder: nn.Linear) -> None:
        super().__init__()
        self.dense, self.activation, self.norm, self.decoder = dense, activation, norm, decoder

    def forward(self, hidden: Tensor) -> Tensor:
        logits: Tensor = self.decoder(self.norm(self.activation(self.dense(hidden))))
        return logits


def layer(hyper: Mapping[str, Any], index: int) -> nn.Module:
    """Layer ``index``: 0 the embedding, then the encoder, last the head. Dropout is off: runs must agree."""
    refuse_dropout(hyper, "DistilBERT")
    config, hidden = config_of(hyper), hyper["hidden"]
    if index == 0:
        return Embeddings(config)
    if index <= hyper["layers"]:
        return OneTensor(TransformerBlock(config))
    return DistilBertHead(
        nn.Linear(hidden, hidden),
        get_activation(config.activation),
        nn.LayerNorm(hidden, eps=_NORM_EPS),
        nn.Linear(hidden, hyper["vocabulary"]),
    )


def layer_of(whole: DistilBertForMaskedLM, hyper: Mapping[str, Any], index: int) -> nn.Module:
    """The same layer of a whole model."""
    body = whole.distilbert
    if index == 0:
        return body.embeddings
    if index <= len(body.transformer.layer):
        return OneTensor(body.transformer.layer[index - 1])
    return DistilBertHead(whole.vocab_transform, whole.activation, whole.vocab_layer_norm, whole.vocab_projector)


def config_of(hyper: Mapping[str, Any]) -> DistilBertConfig:
    """The library\'s configuration of a model with these hyper-parameters."""
    return library_config(
        DistilBertConfig,
        DROPOUTS,
        vocab_size=hyper["vocabulary"],
        dim=hyper["hidden"],
        n_layers=hyper["layers"],
        n_heads=hyper["heads"],
        hidden_dim=hyper["columns"],
        max_position_embeddings=hyper["positions"],
    )


def hyper_of(config: DistilBertConfig) -> dict[str, Any]:
    """Translate a checkpoint's configuration to the zoo's hyper-parameters."""
    return {
        "layers": config.n_layers,
        "hidden": config.dim,
        "heads": config.n_heads,
        "columns": config.hidden_dim,
        "vocabulary": config.vocab_size,
        "positions": config.max_position_embeddings,
        "tied": config.tie_word_embeddings,
    }
