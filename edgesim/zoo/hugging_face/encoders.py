"""Which arguments of the zoo's encoders, alone or before a decoder, do the fields of BERT, ViT, T5 and BART give?"""

from typing import Any

from edgesim.zoo.hugging_face.fields import Fields


def bert(fields: Fields) -> dict[str, Any]:
    """Read BERT with its head of masked-language modelling."""
    return _bert(fields, token_types=2)


def roberta(fields: Fields) -> dict[str, Any]:
    """Read RoBERTa with its head of masked-language modelling; its positions count two rows of padding."""
    return _bert(fields, token_types=2)


def distilbert(fields: Fields) -> dict[str, Any]:
    """Read DistilBERT with its head of masked-language modelling."""
    fields.only("activation", "gelu", default="gelu")
    fields.absent("pruned_heads", "heads that are left out of some layers are not in closed form")
    return {
        "layers": fields.layers("n_layers"),
        "hidden": fields.count("dim"),
        "heads": fields.count("n_heads"),
        "columns": fields.count("hidden_dim"),
        "vocabulary": fields.count("vocab_size"),
        "positions": fields.count("max_position_embeddings"),
        "tied": fields.flag("tie_word_embeddings", True),
    }


def vit(fields: Fields) -> dict[str, Any]:
    """Read ViT with its head of classes, as many as the file names; the library has two where it names none."""
    fields.only("hidden_act", "gelu", default="gelu")
    fields.only("qkv_bias", True, default=True)
    labels = fields.value("id2label")
    if labels is not None and not isinstance(labels, dict):
        raise fields.mistake(f"id2label must name classes by their numbers, got {labels!r}")
    return {
        "layers": fields.layers("num_hidden_layers"),
        "hidden": fields.count("hidden_size"),
        "heads": fields.count("num_attention_heads"),
        "columns": fields.count("intermediate_size"),
        "resolution": fields.count("image_size"),
        "patch": fields.count("patch_size"),
        "channels": fields.count("num_channels", 3),
        "classes": len(labels) if labels else fields.count("num_labels", 2),
    }


def t5(fields: Fields) -> dict[str, Any]:
    """Read T5, T5 1.1 and FLAN-T5; the last two say that the head is not the embedding's, as in their checkpoints."""
    fields.only("feed_forward_proj", "relu", "gated-gelu", default="relu")
    layers = fields.layers("num_layers")
    return {
        "encoder_layers": layers,
        "decoder_layers": fields.layers("num_decoder_layers", layers),
        "hidden": fields.count("d_model"),
        "heads": fields.count("num_heads"),
        "head_size": fields.count("d_kv"),
        "columns": fields.count("d_ff"),
        "vocabulary": fields.count("vocab_size"),
        "buckets": fields.count("relative_attention_num_buckets", 32),
        "decoder_tokens": 1,
        "gated": fields.value("feed_forward_proj") == "gated-gelu",
        "tied": fields.flag("tie_word_embeddings", True),
    }


def bart(fields: Fields) -> dict[str, Any]:
    """Read BART with its language model's head, which is tied."""
    fields.only("activation_function", "gelu", default="gelu")
    fields.only("tie_word_embeddings", True, default=True)
    for name in ("add_final_layer_norm", "normalize_before"):
        fields.absent(name, "the zoo's BART has norms behind attention and MLP only")
    return {
        "encoder_layers": fields.layers("encoder_layers"),
        "decoder_layers": fields.layers("decoder_layers"),
        "hidden": fields.count("d_model"),
        "heads": fields.alike("encoder_attention_heads", "decoder_attention_heads"),
        "columns": fields.alike("encoder_ffn_dim", "decoder_ffn_dim"),
        "vocabulary": fields.count("vocab_size"),
        "positions": fields.count("max_position_embeddings"),
        "decoder_tokens": 1,
    }


def _bert(fields: Fields, *, token_types: int) -> dict[str, Any]:
    """What BERT and RoBERTa share; the library has two types of tokens where the file does not say."""
    fields.only("hidden_act", "gelu", default="gelu")
    fields.only("position_embedding_type", "absolute", default="absolute")
    fields.absent("pruned_heads", "heads that are left out of some layers are not in closed form")
    for name in ("is_decoder", "add_cross_attention"):
        fields.absent(name, "an encoder alone is what the zoo has")
    return {
        "layers": fields.layers("num_hidden_layers"),
        "hidden": fields.count("hidden_size"),
        "heads": fields.count("num_attention_heads"),
        "columns": fields.count("intermediate_size"),
        "vocabulary": fields.count("vocab_size"),
        "positions": fields.count("max_position_embeddings"),
        "token_types": fields.count("type_vocab_size", token_types),
        "tied": fields.flag("tie_word_embeddings", True),
    }
