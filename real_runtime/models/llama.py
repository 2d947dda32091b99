"""Llama's layers from Hugging Face transformers: words, decoder layers with rotary positions, final norm and head."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from transformers import LlamaConfig, LlamaForCausalLM
from transformers.models.llama.modeling_llama import LlamaDecoderLayer, LlamaRMSNorm, LlamaRotaryEmbedding

from real_runtime.models.language import NormedHead, WordsAlone, causal_loss, every_token, library_config, token_ids

WHOLE = LlamaForCausalLM
DROPOUTS = ("attention_dropout",)
CAUSAL = True
labelled, loss, sample = every_token, causal_loss, token_ids
# Frequencies that do not depend on the sequence's length, so that a part of it can be turned alone.
_ROTARY = ("default", "linear", "llama3")
# What the zoo's Llama can have beside, and this one has not: by its argument, what to say instead.
_LACKING = {"biases": "false", "qk_norms": "false", "windows": "[]"}


class LlamaDecoder(nn.Module):
    """A decoder layer that computes its rotary positions itself, from the length."""

    def __init__(self, layer: LlamaDecoderLayer, rotary: LlamaRotaryEmbedding) -> None:
        super().__init__()
        self.layer, self.rotary = layer, rotary

    def forward(self, hidden: Tensor) -> Tensor:
        places = torch.arange(hidden.shape[1], device=hidden.device)[None]
        output: Tensor = self.layer(hidden, position_embeddings=self.rotary(hidden, places))
        return output


def layer(hyper: Mapping[str, Any], index: int) -> nn.Module:
    """Layer ``index``: 0 the embedding, then the decoder, last norm and head."""
    config, hidden = config_of(hyper), hyper["hidden"]
    if index == 0:
        return WordsAlone(nn.Embedding(hyper["vocabulary"], hidden))
    if index <= hyper["layers"]:
        return LlamaDecoder(LlamaDecoderLayer(config, layer_idx=index - 1), LlamaRotaryEmbedding(config))
    norm = LlamaRMSNorm(hidden, eps=config.rms_norm_eps)
    return NormedHead(norm, nn.Linear(hidden, hyper["vocabulary"], bias=False))


def layer_of(whole: LlamaForCausalLM, hyper: Mapping[str, Any], index: int) -> nn.Module:
    """The same layer of a whole model."""
    body = whole.model
    if index == 0:
        return WordsAlone(body.embed_tokens)
    if index <= len(body.layers):
        return LlamaDecoder(body.layers[index - 1], body.rotary_emb)
    return NormedHead(body.norm, whole.lm_head)


def config_of(hyper: Mapping[str, Any]) -> LlamaConfig:
    """The library\'s configuration of a model with these hyper-parameters."""
    for name, instead in _LACKING.items():
        if hyper.get(name):
            raise ValueError(f"the runtime builds Llama without {name} (set model.{name}={instead}, or only simulate)")
    return library_config(
        LlamaConfig,
        DROPOUTS,
        vocab_size=hyper["vocabulary"],
        hidden_size=hyper["hidden"],
        num_hidden_layers=hyper["layers"],
        num_attention_heads=hyper["heads"],
        num_key_value_heads=hyper["groups"],
        head_dim=hyper["head_size"],
        intermediate_size=hyper["columns"],
        max_position_embeddings=hyper["positions"],
    )


def hyper_of(config: LlamaConfig) -> dict[str, Any]:
    """Translate a checkpoint's configuration to the zoo's. Raises ValueError unless it is a plain Llama."""
    rotary = (config.rope_parameters or {})["rope_type"]
    if rotary not in _ROTARY:
        raise ValueError(f"rotary positions of type {rotary} change with the length (known: {', '.join(_ROTARY)})")
    if config.attention_bias or config.mlp_bias:
        raise ValueError("the zoo's Llama has no biases")
    return {
        "layers": config.num_hidden_layers,
        "hidden": config.hidden_size,
        "heads": config.num_attention_heads,
        "groups": config.num_key_value_heads,
        "head_size": config.head_dim,
        "columns": config.intermediate_size,
        "vocabulary": config.vocab_size,
        "positions": config.max_position_embeddings,
        "tied": config.tie_word_embeddings,
    }
