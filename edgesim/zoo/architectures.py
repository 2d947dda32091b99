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


def rebuilt(model: Model, **changes: Any) -> Model:
    """Build the same architecture with other hyper-parameters. Raises ValueError for one that is not in closed form."""
    if model.architecture not in BUILDERS:
        known = ", ".join(BUILDERS)
        raise ValueError(f"{model.name} ({model.architecture}) is not in closed form (known: {known})")
    return BUILDERS[model.architecture](name=model.name, **{**model.hyper, **changes})
