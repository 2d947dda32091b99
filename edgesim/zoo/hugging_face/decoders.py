"""Which arguments of the zoo's decoders do the fields of Llama, Mistral, Qwen, Phi-3, Gemma, GPT-2 and OPT give?"""

from typing import Any

from edgesim.zoo.hugging_face.fields import Fields

_FULL, _SLIDING = "full_attention", "sliding_attention"


def llama(fields: Fields) -> dict[str, Any]:
    """Read Llama 1 to 3."""
    for name in ("attention_bias", "mlp_bias"):
        fields.absent(name, "the zoo's Llama has biases of Q, K and V at most, as model_type qwen2")
    return _grouped(fields, activation="silu")


def mistral(fields: Fields) -> dict[str, Any]:
    """Read Mistral, whose layers all have one window or none; the library's is 4096 unless the file says another."""
    window = fields.count("sliding_window", 4096) if _says(fields, "sliding_window") else 0
    return _grouped(fields, activation="silu") | {"windows": [window] if window else []}


def phi3(fields: Fields) -> dict[str, Any]:
    """Read Phi-3 and Phi-4: Q, K and V are one matrix, and the gate and the other factor, which counts the same."""
    window = fields.count("sliding_window", 1) if fields.value("sliding_window") is not None else 0
    for name in ("resid_pdrop", "embd_pdrop"):
        fields.absent(name, "set it to 0: the zoo's Llama has no dropout")
    return _grouped(fields, activation="silu") | {"windows": [window] if window else []}


def qwen2(fields: Fields) -> dict[str, Any]:
    """Read Qwen 2 and 2.5: Llama with biases of Q, K and V."""
    return _grouped(fields, activation="silu") | {"biases": True, "windows": _qwen_windows(fields)}


def qwen3(fields: Fields) -> dict[str, Any]:
    """Read Qwen 3: Llama with norms of Q and K, and heads of 128 unless the file says another size."""
    fields.absent("attention_bias", "the zoo has no norms of Q and K beside biases")
    sizes = _grouped(fields, activation="silu", head_size=128)
    return sizes | {"qk_norms": True, "windows": _qwen_windows(fields)}


def gemma(fields: Fields) -> dict[str, Any]:
    """Read Gemma 1, whose older files name exact GELU where the library computes that by tanh."""
    fields.absent("use_bidirectional_attention", "a causal model is what the zoo has")
    activation = "hidden_activation" if fields.value("hidden_activation") else "hidden_act"
    fields.only(activation, "gelu_pytorch_tanh", "gelu", default="gelu_pytorch_tanh")
    return _gemma(fields)


def gemma2(fields: Fields) -> dict[str, Any]:
    """Read Gemma 2, every other layer of which has a window."""
    fields.only("hidden_activation", "gelu_pytorch_tanh", default="gelu_pytorch_tanh")
    sizes = _gemma(fields) | {"norms_behind": True}
    usual = [_FULL if i % 2 else _SLIDING for i in range(sizes["layers"])]
    capped = not _says_none(fields, "final_logit_softcapping")
    return sizes | {"capped": capped, "windows": _windows(fields, sizes["layers"], usual)}


def gemma3(fields: Fields) -> dict[str, Any]:
    """Read Gemma 3 for text, five layers of six of which have a window unless the file says another pattern."""
    fields.only("hidden_activation", "gelu_pytorch_tanh", default="gelu_pytorch_tanh")
    fields.absent("use_bidirectional_attention", "a causal model is what the zoo has")
    capped = bool(fields.value("final_logit_softcapping"))
    sizes = _gemma(fields) | {"norms_behind": True, "qk_norms": True, "capped": capped}
    every = fields.count("sliding_window_pattern", 6)
    usual = [_SLIDING if (i + 1) % every else _FULL for i in range(sizes["layers"])]
    return sizes | {"windows": _windows(fields, sizes["layers"], usual)}


def gpt2(fields: Fields) -> dict[str, Any]:
    """Read GPT-2, whose MLPs are four times as wide as the model unless the file says another width."""
    fields.only("activation_function", "gelu_new", default="gelu_new")
    fields.absent("add_cross_attention", "a decoder alone is what the zoo has")
    hidden = fields.count("n_embd")
    return {
        "layers": fields.count("n_layer"),
        "hidden": hidden,
        "heads": fields.count("n_head"),
        "columns": fields.count("n_inner", 4 * hidden),
        "vocabulary": fields.count("vocab_size"),
        "positions": fields.count("n_positions"),
        "tied": fields.flag("tie_word_embeddings", True),
    }


def opt(fields: Fields) -> dict[str, Any]:
    """Read OPT, but for the size whose norms stand behind and whose words are narrower than the model: 350M."""
    hidden = fields.count("hidden_size")
    fields.only("activation_function", "relu", default="relu")
    fields.only("do_layer_norm_before", True, default=True)
    fields.only("word_embed_proj_dim", hidden, default=hidden)
    fields.only("enable_bias", True, default=True)
    fields.only("layer_norm_elementwise_affine", True, default=True)
    fields.absent("_remove_final_layer_norm", "the zoo's OPT has a final norm")
    return {
        "layers": fields.layers("num_hidden_layers"),
        "hidden": hidden,
        "heads": fields.count("num_attention_heads"),
        "columns": fields.count("ffn_dim"),
        "vocabulary": fields.count("vocab_size"),
        "positions": fields.count("max_position_embeddings"),
        "tied": fields.flag("tie_word_embeddings", True),
    }


def _grouped(fields: Fields, *, activation: str, head_size: int | None = None) -> dict[str, Any]:
    """The sizes of a decoder with shared K and V; a head is ``head_size`` wide unless the file says another size."""
    fields.only("hidden_act", activation, default=activation)
    return _sizes(fields, head_size) | {"tied": fields.flag("tie_word_embeddings", False)}


def _gemma(fields: Fields) -> dict[str, Any]:
    """What all Gemmas share."""
    fields.absent("attention_bias", "the zoo's Gemma has no biases")
    return _sizes(fields, 256) | {"tied": fields.flag("tie_word_embeddings", True)}


def _sizes(fields: Fields, head_size: int | None) -> dict[str, Any]:
    heads = fields.count("num_attention_heads")
    size = fields.count("head_dim", head_size) if head_size or fields.value("head_dim") is not None else None
    return {
        "layers": fields.layers("num_hidden_layers"),
        "hidden": fields.count("hidden_size"),
        "heads": heads,
        "groups": fields.count("num_key_value_heads", heads),
        "head_size": size,
        "columns": fields.count("intermediate_size"),
        "vocabulary": fields.count("vocab_size"),
        "positions": fields.count("max_position_embeddings", 2048),  # rotary: no parameters
    }


def _qwen_windows(fields: Fields) -> list[int]:
    """Qwen's windows are of the layers from ``max_window_layers`` on, and only where they are switched on."""
    layers, window = fields.layers("num_hidden_layers"), fields.value("sliding_window")
    first = fields.value("max_window_layers")
    if not fields.flag("use_sliding_window", False) or (window is None and "sliding_window" in fields.values):
        return []
    usual = [_SLIDING if i >= (28 if first is None else first) else _FULL for i in range(layers)]
    return _windows(fields, layers, usual)


def _windows(fields: Fields, layers: int, usual: list[str]) -> list[int]:
    """Each layer's window, by the file's ``layer_types`` or else as usual; the library's is 4096 unless it says."""
    kinds = fields.names("layer_types", layers, (_FULL, _SLIDING)) or usual
    if _says_none(fields, "sliding_window"):
        return []
    window = fields.count("sliding_window", 4096)
    return [window if kind == _SLIDING else 0 for kind in kinds] if _SLIDING in kinds else []


def _says(fields: Fields, name: str) -> bool:
    """Whether the field is missing, so that the library's default holds, or has a value."""
    return not _says_none(fields, name)


def _says_none(fields: Fields, name: str) -> bool:
    """Whether the file says that there is none."""
    return fields.value(name) is None and name in fields.values
