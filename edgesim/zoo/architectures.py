"""Which function makes the Model of an architecture, and how is one made again with other hyper-parameters?"""

from collections.abc import Callable, Mapping
from typing import Any

from edgesim.model import Model
from edgesim.zoo.bart import bart
from edgesim.zoo.bert import bert, distilbert, roberta
from edgesim.zoo.gemma import gemma
from edgesim.zoo.gpt2 import gpt2
from edgesim.zoo.llama import llama
from edgesim.zoo.opt import opt
from edgesim.zoo.t5 import t5
from edgesim.zoo.vit import vit

# By architecture, which is the function's name; a model's ``hyper`` are its arguments.
BUILDERS: Mapping[str, Callable[..., Model]] = {
    build.__name__: build for build in (bart, bert, distilbert, gemma, gpt2, llama, opt, roberta, t5, vit)
}

# Of those that look positions up in a table: rows of ``positions`` that no token has.
_LEARNT_POSITIONS: Mapping[str, int] = {"bart": 0, "bert": 0, "distilbert": 0, "gpt2": 0, "opt": 0, "roberta": 2}


def longest_tokens(architecture: str, hyper: Mapping[str, Any]) -> int | None:
    """Return how many tokens a table of learnt positions has rows for; None for positions that are computed."""
    if architecture not in _LEARNT_POSITIONS or "positions" not in hyper:
        return None
    return int(hyper["positions"]) - _LEARNT_POSITIONS[architecture]


def rebuilt(model: Model, **changes: Any) -> Model:
    """Build the same architecture with other hyper-parameters. Raises ValueError for one that is not in closed form."""
    if model.architecture not in BUILDERS:
        known = ", ".join(BUILDERS)
        raise ValueError(f"{model.name} ({model.architecture}) is not in closed form (known: {known})")
    return BUILDERS[model.architecture](name=model.name, **{**model.hyper, **changes})
