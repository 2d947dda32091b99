"""T5's layers from Hugging Face transformers: words, encoder and decoder layers with relative positions, and the head.

The first layer of each stack holds the table of relative positions, which the others have on loan; the last encoder
layer ends with the encoder's final norm. Attention is eager, as the zoo counts it.
"""

from collections.abc import Mapping
from copy import deepcopy
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import T5Config, T5ForConditionalGeneration
from transformers.models.t5.modeling_t5 import T5Block, T5LayerNorm

from real_runtime.models.encoder_decoder import (
    DecoderLayer,
    FirstDecoderLayer,
    layers_of,
    seen_before,
    text_to_text_loss,
    words_lent,
)
from real_runtime.models.language import WordsAlone, library_config, refuse_dropout, token_ids
from real_runtime.weights.loans import Loan

WHOLE = T5ForConditionalGeneration
DROPOUTS = ("dropout_rate",)
CAUSAL = False
ATTENTION = "eager"
loss, sample = text_to_text_loss, token_ids
_TABLE = "layer.layer.0.SelfAttention.relative_attention_bias.weight"
_START = 0  # the library's padding, with which T5 begins an answer


class T5EncoderLayer(nn.Module):
    """An encoder layer; the last one ends with the final norm."""

    table: Tensor | None

    def __init__(self, layer: T5Block, norm: T5LayerNorm | None) -> None:
        super().__init__()
        self.layer, self.norm = layer, norm
        self.register_buffer("table", None)  # on loan, but in the stack's first layer

    def forward(self, hidden: Tensor) -> Tensor:
        bias = _positions(self.layer, self.table, hidden.shape[1])
        made: Tensor = self.layer(hidden, position_bias=bias)[0]
        return made if self.norm is None else self.norm(made)


class T5DecoderLayer(DecoderLayer):
    """A decoder layer."""

    table: Tensor | None

    def __init__(self, layer: T5Block, hyper: Mapping[str, Any], index: int) -> None:
        super().__init__(layer, hyper, index)
        self.register_buffer("table", None)

    def decode(self, encoded: Tensor, state: Tensor) -> Tensor:
        tokens = state.shape[1]
        made: Tensor = self.layer(
            state,
            attention_mask=seen_before(tokens, state),
            position_bias=_positions(self.layer, self.table, tokens),
            encoder_hidden_states=encoded,
        )[0]
        return made


class T5Head(nn.Module):
    """The decoder's final norm and the matrix onto the vocabulary; what meets the words' own is scaled."""

    def __init__(self, norm: T5LayerNorm, decoder: nn.Linear, *, scaled: bool) -> None:
        super().__init__()
        self.norm, self.decoder, self.scale = norm, decoder, decoder.in_features**-0.5 if scaled else None

    def forward(self, hidden: Tensor) -> Tensor:
        normed = self.norm(hidden)
        logits: Tensor = self.decoder(normed if self.scale is None else normed * self.scale)
        return logits


def _positions(layer: Any, table: Tensor | None, tokens: int) -> Tensor | None:
    """The bias by relative positions [1, heads, tokens, tokens]; None where the layer holds the table itself."""
    attention = layer.layer[0].SelfAttention
    if attention.has_relative_attention_bias:
        return None
    assert table is not None, "the table of relative positions is lent before anything is computed"
    places = torch.arange(tokens, device=table.device)
    buckets = attention._relative_position_bucket(
        places[None, :] - places[:, None],
        bidirectional=not attention.is_decoder,
        num_buckets=attention.relative_attention_num_buckets,
        max_distance=attention.relative_attention_max_distance,
    )
    return functional.embedding(buckets, table).permute(2, 0, 1)[None]


def layer(hyper: Mapping[str, Any], index: int) -> nn.Module:
    """Layer ``index``: 0 the embedding, then encoder, decoder, last norm and head. Dropout is off: runs must agree."""
    refuse_dropout(hyper, "T5")
    config, (first, head) = config_of(hyper), layers_of(hyper)
    if index == 0:
        return WordsAlone(nn.Embedding(hyper["vocabulary"], hyper["hidden"]))
    if index < first:
        return T5EncoderLayer(_block(config, hyper, index - 1), _norm(config) if index + 1 == first else None)
    if index < head:
        inner: DecoderLayer = body_layer(hyper, index)
        if index > first:
            return inner
        words = WordsAlone(nn.Embedding(hyper["vocabulary"], hyper["hidden"]))
        return FirstDecoderLayer(words, inner, _START)
    decoder = nn.Linear(hyper["hidden"], hyper["vocabulary"], bias=False)
    return T5Head(_norm(config), decoder, scaled=hyper["tied"])


def body_layer(hyper: Mapping[str, Any], index: int) -> Any:
    """An encoder layer, or a decoder layer without the ids that the first one embeds."""
    first, _ = layers_of(hyper)
    if index < first:
        return layer(hyper, index)
    config = deepcopy(config_of(hyper))
    config.is_decoder = True
    return T5DecoderLayer(_block(config, hyper, index - first), hyper, index)


def _block(config: T5Config, hyper: Mapping[str, Any], place: int) -> T5Block:
    has_table = place == 0 or bool(hyper.get("own_tables"))
    return T5Block(config, has_relative_attention_bias=has_table, layer_idx=place)


def _norm(config: T5Config) -> T5LayerNorm:
    return T5LayerNorm(config.d_model, eps=config.layer_norm_epsilon)


def loans(hyper: Mapping[str, Any], index: int) -> list[Loan]:
    """Words of the embedding, and the table of relative positions of each stack's first layer."""
    first, head = layers_of(hyper)
    words = words_lent(hyper, index, tied_head=hyper["tied"])
    if hyper.get("own_tables") or index in (0, 1, first, head):
        return words
    if index < first:
        return [Loan(owner=1, of=_TABLE, name="table")]
    return [Loan(owner=first, of=f"layer.{_TABLE}", name="table")]


def layer_of(whole: Any, hyper: Mapping[str, Any], index: int) -> nn.Module:
    """The same layer of a whole model."""
    first, head = layers_of(hyper)
    if index == 0:
        return WordsAlone(whole.shared)
    if index < first:
        norm = whole.encoder.final_layer_norm if index + 1 == first else None
        return T5EncoderLayer(whole.encoder.block[index - 1], norm)
    if index < head:
        inner = T5DecoderLayer(whole.decoder.block[index - first], hyper, index)
        return inner if index > first else FirstDecoderLayer(WordsAlone(whole.shared), inner, _START)
    return T5Head(whole.decoder.final_layer_norm, whole.lm_head, scaled=whole.config.scale_decoder_outputs)


def config_of(hyper: Mapping[str, Any]) -> T5Config:
    """The library's configuration of a model with these hyper-parameters."""
    return library_config(
        T5Config,
        DROPOUTS,
        attention=ATTENTION,
        vocab_size=hyper["vocabulary"],
        d_model=hyper["hidden"],
        d_kv=hyper["head_size"],
        d_ff=hyper["columns"],
        num_layers=hyper["encoder_layers"],
        num_decoder_layers=hyper["decoder_layers"],
        num_heads=hyper["heads"],
        relative_attention_num_buckets=hyper["buckets"],
        feed_forward_proj="gated-gelu" if hyper["gated"] else "relu",
        tie_word_embeddings=bool(hyper["tied"]),  # says whether what meets the head is scaled, and no more
        use_cache=False,
    )


def hyper_of(config: T5Config) -> dict[str, Any]:
    """Translate a checkpoint's configuration to the zoo's. Raises ValueError for another activation."""
    if config.feed_forward_proj not in ("relu", "gated-gelu"):
        raise ValueError(f"feed_forward_proj={config.feed_forward_proj}: the zoo's T5 has relu or gated-gelu")
    return {
        "encoder_layers": config.num_layers,
        "decoder_layers": config.num_decoder_layers,
        "hidden": config.d_model,
        "heads": config.num_heads,
        "head_size": config.d_kv,
        "columns": config.d_ff,
        "vocabulary": config.vocab_size,
        "buckets": config.relative_attention_num_buckets,
        "gated": config.is_gated_act,
        "tied": config.scale_decoder_outputs,
    }
