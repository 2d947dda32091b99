"""Are the weights of a module drawn when it is made? Not where they are about to be given, which is the faster way."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch

# What draws weights while modules are made, and takes longer than to copy those that are here.
_DRAWING: Mapping[str, Any] = {
    name: getattr(torch.nn.init, name)
    for name in ("uniform_", "normal_", "trunc_normal_", "kaiming_uniform_", "kaiming_normal_", "xavier_uniform_")
}


@contextmanager
def undrawn() -> Iterator[None]:
    """Within, modules are made without drawing weights: they are about to be given some."""
    with _by(dict.fromkeys(_DRAWING, lambda tensor, *args, **kwargs: tensor)):
        yield


@contextmanager
def drawn() -> Iterator[None]:
    """Within, weights are drawn after all: nobody gives a layer what it has on loan."""
    with _by(_DRAWING):
        yield


@contextmanager
def _by(functions: Mapping[str, Any]) -> Iterator[None]:
    before = {name: getattr(torch.nn.init, name) for name in functions}
    for name, function in functions.items():
        setattr(torch.nn.init, name, function)
    try:
        yield
    finally:
        for name, function in before.items():
            setattr(torch.nn.init, name, function)
