"""BERT's layers from Hugging Face transformers: embedding, encoder, masked-language head."""

from collections.abc import Mapping
from typing import Any

from torch import nn
from transformers import BertConfig, BertForMaskedLM
from transformers.models.bert.modeling_bert import BertEmbeddings, BertLayer, BertLMPredictionHead

from real_runtime.models.language import (
    OneTensor,
    library_config,
    masked_loss,
    masked_tokens,
    refuse_dropout,
    token_ids,
)

WHOLE = BertForMaskedLM
DROPOUTS = ("hidden_dropout_prob", "attention_probs_dropout_prob")
CAUSAL = False
labelled, loss, sample = masked_tokens, masked_loss, token_ids


def layer(hyper: Mapping[str, Any], index: int) -> nn.Module:
    """Layer ``index``: 0 the embedding, then the encoder, last the head. Dropout is off: runs must agree."""
    refuse_dropout(hyper, "BERT")
    config = config_of(hyper)
    if index == 0:
        return BertEmbeddings(config)
    if index <= hyper["layers"]:
        return OneTensor(BertLayer(config))
    return _one_bias(BertLMPredictionHead(config))


def layer_of(whole: BertForMaskedLM, hyper: Mapping[str, Any], index: int) -> nn.Module:
    """The same layer of a whole model."""
    if index == 0:
        return whole.bert.embeddings
    if index <= len(whole.bert.encoder.layer):
        return OneTensor(whole.bert.encoder.layer[index - 1])
    return _one_bias(whole.cls.predictions)


def _one_bias(head: BertLMPredictionHead) -> BertLMPredictionHead:
    """The library ties the head's two biases where it ties the embedding; only the decoder's is used."""
    head.bias = head.decoder.bias
    return head


def config_of(hyper: Mapping[str, Any]) -> BertConfig:
    """The library\'s configuration of a model with these hyper-parameters."""
    return library_config(
        BertConfig,
        DROPOUTS,
        vocab_size=hyper["vocabulary"],
        hidden_size=hyper["hidden"],
        num_hidden_layers=hyper["layers"],
        num_attention_heads=hyper["heads"],
        intermediate_size=hyper["columns"],
        max_position_embeddings=hyper["positions"],
        type_vocab_size=hyper["token_types"],
    )


def hyper_of(config: BertConfig) -> dict[str, Any]:
    """Translate a checkpoint's configuration to the zoo's. Raises ValueError unless it is a plain BERT."""
    if config.is_decoder:
        raise ValueError("is_decoder=true: the zoo's BERT is an encoder")
    return {
        "layers": config.num_hidden_layers,
        "hidden": config.hidden_size,
        "heads": config.num_attention_heads,
        "columns": config.intermediate_size,
        "vocabulary": config.vocab_size,
        "positions": config.max_position_embeddings,
        "token_types": config.type_vocab_size,
        "tied": config.tie_word_embeddings,
    }
