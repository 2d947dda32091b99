"""GPT-2's layers from Hugging Face transformers: words and positions, decoder layers, final norm and head."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from transformers import GPT2Config, GPT2LMHeadModel
from transformers.models.gpt2.modeling_gpt2 import GPT2Block

from real_runtime.models.language import (
    NormedHead,
    OneTensor,
    causal_loss,
    every_token,
    library_config,
    refuse_dropout,
    token_ids,
)

WHOLE = GPT2LMHeadModel
DROPOUTS = ("resid_pdrop", "embd_pdrop", "attn_pdrop")
CAUSAL = True
labelled, loss, sample = every_token, causal_loss, token_ids


class Gpt2Embedding(nn.Module):
    """Words and learnt positions."""

    def __init__(self, words: nn.Embedding, positions: nn.Embedding) -> None:
        super().__init__()
        self.word_embeddings, self.positions = words, positions

    def forward(self, ids: Tensor) -> Tensor:
        places = torch.arange(ids.shape[1], device=ids.device)
        hidden: Tensor = self.word_embeddings(ids) + self.positions(places)
        return hidden


def layer(hyper: Mapping[str, Any], index: int) -> nn.Module:
    """Layer ``index``: 0 the embedding, then the decoder, last norm and head. Dropout is off: runs must agree."""
    refuse_dropout(hyper, "GPT-2")
    config, hidden = config_of(hyper), hyper["hidden"]
    if index == 0:
        return Gpt2Embedding(nn.Embedding(hyper["vocabulary"], hidden), nn.Embedding(hyper["positions"], hidden))
    if index <= hyper["layers"]:
        return OneTensor(GPT2Block(config, layer_idx=index - 1))
    norm = nn.LayerNorm(hidden, eps=config.layer_norm_epsilon)
    return NormedHead(norm, nn.Linear(hidden, hyper["vocabulary"], bias=False))


def layer_of(whole: GPT2LMHeadModel, hyper: Mapping[str, Any], index: int) -> nn.Module:
    """The same layer of a whole model."""
    body = whole.transformer
    if index == 0:
        return Gpt2Embedding(body.wte, body.wpe)
    if index <= len(body.h):
        return OneTensor(body.h[index - 1])
    return NormedHead(body.ln_f, whole.lm_head)


def config_of(hyper: Mapping[str, Any]) -> GPT2Config:
    """The library\'s configuration of a model with these hyper-parameters."""
    return library_config(
        GPT2Config,
        DROPOUTS,
        vocab_size=hyper["vocabulary"],
        n_embd=hyper["hidden"],
        n_layer=hyper["layers"],
        n_head=hyper["heads"],
        n_inner=hyper["columns"],
        n_positions=hyper["positions"],
        bos_token_id=None,  # the library's are of GPT-2's own vocabulary, and it warns where that is smaller
        eos_token_id=None,
    )


def hyper_of(config: GPT2Config) -> dict[str, Any]:
    """Translate a checkpoint's configuration to the zoo's. Raises ValueError unless it is a plain GPT-2."""
    if config.scale_attn_by_inverse_layer_idx or not config.scale_attn_weights:
        raise ValueError("its attention is not scaled by the head's size alone, as the zoo's GPT-2 is")
    return {
        "layers": config.n_layer,
        "hidden": config.n_embd,
        "heads": config.n_head,
        "columns": config.n_inner or 4 * config.n_embd,  # as GPT2Block reads it
        "vocabulary": config.vocab_size,
        "positions": config.n_positions,
        "tied": config.tie_word_embeddings,
    }
