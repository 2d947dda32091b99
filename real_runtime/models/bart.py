"""BART's layers from Hugging Face transformers: words and positions, encoder and decoder layers, and the head."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from transformers import BartConfig, BartForConditionalGeneration
from transformers.models.bart.modeling_bart import (
    BartDecoderLayer,
    BartEncoderLayer,
    BartLearnedPositionalEmbedding,
    BartScaledWordEmbedding,
)

from real_runtime.models.encoder_decoder import (
    DecoderLayer,
    FirstDecoderLayer,
    layers_of,
    text_to_text_loss,
    words_lent,
)
from real_runtime.models.language import library_config, refuse_dropout, token_ids
from real_runtime.weights.loans import Loan

WHOLE = BartForConditionalGeneration
DROPOUTS = ("dropout", "activation_dropout", "attention_dropout", "encoder_layerdrop", "decoder_layerdrop")
CAUSAL = False
loss, sample = text_to_text_loss, token_ids


class BartEmbedding(nn.Module):
    """Words, learnt positions, and a norm; in the encoder each sample has position ids of its own."""

    def __init__(self, words: nn.Embedding, positions: nn.Embedding, norm: nn.LayerNorm, *, decodes: bool) -> None:
        super().__init__()
        self.word_embeddings, self.positions, self.norm, self.decodes = words, positions, norm, decodes

    def forward(self, ids: Tensor) -> Tensor:
        places = torch.arange(ids.shape[1], device=ids.device) if self.decodes else None
        normed: Tensor = self.norm(self.word_embeddings(ids) + self.positions(ids, position_ids=places))
        return normed


class BartEncoder(nn.Module):
    """An encoder layer."""

    def __init__(self, layer: BartEncoderLayer) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, hidden: Tensor) -> Tensor:
        made: Tensor = self.layer(hidden, None)
        return made


class BartDecoder(DecoderLayer):
    """A decoder layer."""

    def decode(self, encoded: Tensor, state: Tensor) -> Tensor:
        made: Tensor = self.layer(state, encoder_hidden_states=encoded)
        return made


class BartHead(nn.Module):
    """The matrix onto the vocabulary, which is that of the words."""

    def __init__(self, decoder: nn.Linear) -> None:
        super().__init__()
        self.decoder = decoder

    def forward(self, hidden: Tensor) -> Tensor:
        logits: Tensor = self.decoder(hidden)
        return logits


def layer(hyper: Mapping[str, Any], index: int) -> nn.Module:
    """Layer ``index``: 0 the embedding, then encoder, decoder, last the head. Dropout is off: runs must agree."""
    refuse_dropout(hyper, "BART")
    config, (first, head) = config_of(hyper), layers_of(hyper)
    if index == 0:
        return _embedding(config, decodes=False)
    if index < first:
        return BartEncoder(BartEncoderLayer(config, layer_idx=index - 1))
    if index < head:
        inner: DecoderLayer = body_layer(hyper, index)
        if index > first:
            return inner
        return FirstDecoderLayer(_embedding(config, decodes=True), inner, _start(config))
    return BartHead(nn.Linear(hyper["hidden"], hyper["vocabulary"], bias=False))


def body_layer(hyper: Mapping[str, Any], index: int) -> Any:
    """An encoder layer, or a decoder layer without the ids that the first one embeds."""
    first, _ = layers_of(hyper)
    if index < first:
        return layer(hyper, index)
    return BartDecoder(BartDecoderLayer(config_of(hyper), layer_idx=index - first), hyper, index)


def _embedding(config: Any, *, decodes: bool) -> BartEmbedding:
    """Words are drawn as the library draws them: a tied head would put out enormous logits by torch's own."""
    hidden, padding = config.d_model, config.pad_token_id
    words = BartScaledWordEmbedding(config.vocab_size, hidden, padding, embed_scale=1.0)
    nn.init.normal_(words.weight, std=config.init_std)
    positions = BartLearnedPositionalEmbedding(config.max_position_embeddings, hidden)
    return BartEmbedding(words, positions, nn.LayerNorm(hidden), decodes=decodes)


def _start(config: Any) -> int:
    return int(config.decoder_start_token_id)


def loans(hyper: Mapping[str, Any], index: int) -> list[Loan]:
    """Words of the embedding: decoder and head are tied to it, as published."""
    return words_lent(hyper, index, tied_head=True)


def layer_of(whole: BartForConditionalGeneration, hyper: Mapping[str, Any], index: int) -> nn.Module:
    """The same layer of a whole model."""
    (first, head), encoder, decoder = layers_of(hyper), whole.model.encoder, whole.model.decoder
    if index == 0:
        return BartEmbedding(whole.model.shared, encoder.embed_positions, encoder.layernorm_embedding, decodes=False)
    if index < first:
        return BartEncoder(encoder.layers[index - 1])
    if index < head:
        inner = BartDecoder(decoder.layers[index - first], hyper, index)
        if index > first:
            return inner
        norm = decoder.layernorm_embedding
        embedding = BartEmbedding(whole.model.shared, decoder.embed_positions, norm, decodes=True)
        return FirstDecoderLayer(embedding, inner, _start(whole.config))
    return BartHead(whole.lm_head)


def config_of(hyper: Mapping[str, Any]) -> BartConfig:
    """The library's configuration of a model with these hyper-parameters."""
    return library_config(
        BartConfig,
        DROPOUTS,
        vocab_size=hyper["vocabulary"],
        d_model=hyper["hidden"],
        encoder_layers=hyper["encoder_layers"],
        decoder_layers=hyper["decoder_layers"],
        encoder_attention_heads=hyper["heads"],
        decoder_attention_heads=hyper["heads"],
        encoder_ffn_dim=hyper["columns"],
        decoder_ffn_dim=hyper["columns"],
        max_position_embeddings=hyper["positions"],
        use_cache=False,
    )


def hyper_of(config: BartConfig) -> dict[str, Any]:
    """Translate a checkpoint's configuration to the zoo's. Raises ValueError unless it is a plain BART."""
    if config.scale_embedding or config.activation_function != "gelu":
        raise ValueError("its embedding is scaled or its activation is not gelu, unlike the zoo's BART")
    one = (
        ("attention_heads", config.encoder_attention_heads, config.decoder_attention_heads),
        ("ffn_dim", config.encoder_ffn_dim, config.decoder_ffn_dim),
    )
    for name, encoder, decoder in one:
        if encoder != decoder:
            raise ValueError(f"encoder and decoder differ in {name}, {encoder} and {decoder}: the zoo's BART has one")
    return {
        "encoder_layers": config.encoder_layers,
        "decoder_layers": config.decoder_layers,
        "hidden": config.d_model,
        "heads": config.encoder_attention_heads,
        "columns": config.encoder_ffn_dim,
        "vocabulary": config.vocab_size,
        "positions": config.max_position_embeddings,
    }
