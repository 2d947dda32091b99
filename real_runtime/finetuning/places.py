"""Where in the library's layers do techniques put what they add? Names of modules, by architecture."""

import re
from collections.abc import Iterable, Mapping

from edgesim.model import Model

# The matrices with which attention and MLP end: adapters stand behind them.
_EXITS: Mapping[str, str] = {
    "bart": r"(self_attn|encoder_attn)\.out_proj|fc2",
    "bert": r"attention\.output\.dense|layer\.output\.dense",
    "distilbert": r"attention\.out_lin|ffn\.lin2",
    "gpt2": r"attn\.c_proj|mlp\.c_proj",
    "llama": r"self_attn\.o_proj|mlp\.down_proj",
    "opt": r"self_attn\.out_proj|fc2",
    "t5": r"(SelfAttention|EncDecAttention)\.o|DenseReluDense\.wo",
}
# The matrices that make Q and V: matrices of low rank stand beside them. GPT-2 makes Q, K and V in one.
_QUERIES_AND_VALUES: Mapping[str, str] = {
    "bart": r"(self_attn|encoder_attn)\.(q|v)_proj",
    "bert": r"attention\.self\.(query|value)",
    "distilbert": r"attention\.(q|v)_lin",
    "llama": r"self_attn\.(q|v)_proj",
    "opt": r"self_attn\.(q|v)_proj",
    "t5": r"(SelfAttention|EncDecAttention)\.(q|v)",
}


PLACES: Mapping[str, Mapping[str, str]] = {"adapters": _EXITS, "lora": _QUERIES_AND_VALUES}


def places_in(model: Model, names: Iterable[str]) -> list[str]:
    """Of these names of a layer's modules, those where the model's technique adds something."""
    pattern = re.compile(rf"(.*\.)?({PLACES[model.hyper['technique']][model.architecture]})")
    return [name for name in names if pattern.fullmatch(name)]
