"""OPT's layers from Hugging Face transformers: words and positions, decoder layers, final norm and head."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from transformers import OPTConfig, OPTForCausalLM
from transformers.models.opt.modeling_opt import OPTDecoderLayer, OPTLearnedPositionalEmbedding

from real_runtime.models.language import (
    NormedHead,
    OneTensor,
    causal_loss,
    every_token,
    library_config,
    refuse_dropout,
    token_ids,
)

WHOLE = OPTForCausalLM
DROPOUTS = ("dropout", "attention_dropout", "layerdrop")
CAUSAL = True
labelled, loss, sample = every_token, causal_loss, token_ids


class OptEmbedding(nn.Module):
    """Words and learnt positions, which the library counts for each sample from its mask."""

    def __init__(self, words: nn.Embedding, positions: OPTLearnedPositionalEmbedding) -> None:
        super().__init__()
        self.word_embeddings, self.positions = words, positions

    def forward(self, ids: Tensor) -> Tensor:
        hidden: Tensor = self.word_embeddings(ids) + self.positions(torch.ones_like(ids))
        return hidden


def layer(hyper: Mapping[str, Any], index: int) -> nn.Module:
    """Layer ``index``: 0 the embedding, then the decoder, last norm and head. Dropout is off: runs must agree."""
    refuse_dropout(hyper, "OPT")
    config, hidden, vocabulary = config_of(hyper), hyper["hidden"], hyper["vocabulary"]
    if index == 0:
        words = nn.Embedding(vocabulary, hidden, config.pad_token_id)
        return OptEmbedding(words, OPTLearnedPositionalEmbedding(hyper["positions"], hidden))
    if index <= hyper["layers"]:
        return OneTensor(OPTDecoderLayer(config, layer_idx=index - 1))
    return NormedHead(nn.LayerNorm(hidden), nn.Linear(hidden, vocabulary, bias=False))


def layer_of(whole: OPTForCausalLM, hyper: Mapping[str, Any], index: int) -> nn.Module:
    """The same layer of a whole model."""
    body = whole.model.decoder
    if index == 0:
        return OptEmbedding(body.embed_tokens, body.embed_positions)
    if index <= len(body.layers):
        return OneTensor(body.layers[index - 1])
    return NormedHead(body.final_layer_norm, whole.lm_head)


def config_of(hyper: Mapping[str, Any]) -> OPTConfig:
    """The library\'s configuration of a model with these hyper-parameters."""
    return library_config(
        OPTConfig,
        DROPOUTS,
        vocab_size=hyper["vocabulary"],
        hidden_size=hyper["hidden"],
        word_embed_proj_dim=hyper["hidden"],
        num_hidden_layers=hyper["layers"],
        num_attention_heads=hyper["heads"],
        ffn_dim=hyper["columns"],
        max_position_embeddings=hyper["positions"],
    )


def hyper_of(config: OPTConfig) -> dict[str, Any]:
    """Translate a checkpoint's configuration to the zoo's. Raises ValueError for other shapes, as OPT-350M's."""
    if not config.do_layer_norm_before or config.word_embed_proj_dim != config.hidden_size:
        raise ValueError("the zoo's OPT has norms before attention and words as wide as the model, unlike OPT-350M")
    if config._remove_final_layer_norm or not (config.enable_bias and config.layer_norm_elementwise_affine):
        raise ValueError("the zoo's OPT has a final norm, and biases and norms with weights")
    return {
        "layers": config.num_hidden_layers,
        "hidden": config.hidden_size,
        "heads": config.num_attention_heads,
        "columns": config.ffn_dim,
        "vocabulary": config.vocab_size,
        "positions": config.max_position_embeddings,
        "tied": config.tie_word_embeddings,
    }
