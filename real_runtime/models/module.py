"""A user's own module, from a Python file that the library knows nothing of, cut into a chain of layers.

``hyper`` names the ``file`` (with its ``sha256``), the ``factory`` in it and its ``arguments``, and what the module
reads: images of ``resolution`` pixels, or text with ids below ``vocabulary``; with neither, the file's own ``sample()``
or ``sample(tokens)`` gives one input, and there is no data to train on.

The factory gives an ``nn.Sequential``, or a list or tuple of modules: a chain of these. Any other module needs a method
``layers()`` that gives such a list. A child without parameters belongs to the one before it (at the front: after it),
since a stage of no parameters could not be trained.
"""

import inspect
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from hashlib import sha256
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any, cast

import torch
from torch import Tensor, nn

from real_runtime.models.language import IGNORED

Chain = list[tuple[str, nn.Module]]


def layer(hyper: Mapping[str, Any], index: int) -> nn.Module:
    """Layer ``index`` of the chain; the factory builds it whole, with this layer's random seed."""
    return chain(hyper)[index][1]


def layer_names(hyper: Mapping[str, Any]) -> list[str]:
    """Names of the chain's layers."""
    return [name for name, _ in chain(hyper)]


def chain(hyper: Mapping[str, Any]) -> Chain:
    """All layers with their names. Raises ValueError, which says what to change, for anything that is not a chain."""
    where = f"{hyper['file']}:{hyper['factory']}"
    factory = _named(hyper, "factory")
    try:
        inspect.signature(factory).bind(**hyper["arguments"])
    except TypeError as error:
        raise ValueError(f"{where}: {error} (its arguments: {hyper['arguments'] or 'none'})") from None
    made = factory(**hyper["arguments"])
    layers = _join(_children(made, where), where)
    _refuse_ties(layers, where)
    return layers


def _children(made: object, where: str) -> Sequence[tuple[str, nn.Module]]:
    if isinstance(made, nn.Module) and not isinstance(made, nn.Sequential | nn.ModuleList):
        method = getattr(made, "layers", None)
        if method is None or isinstance(method, nn.Module) or not callable(method):
            raise ValueError(
                f"{where} gives a {type(made).__name__}, which is not a chain (give an nn.Sequential or a list of "
                f"modules, or give it a method layers() -> list[nn.Module])"
            )
        made = method()
    if isinstance(made, nn.Module):
        pairs = list(made.named_children())
    elif isinstance(made, list | tuple) and all(isinstance(child, nn.Module) for child in made):
        pairs = [(str(i), child) for i, child in enumerate(made)]
    else:
        raise ValueError(
            f"{where} gives a {type(made).__name__}, not modules (give an nn.Sequential or a list of them)"
        )
    return [(f"{type(child).__name__.lower()}.{name}" if name.isdigit() else name, child) for name, child in pairs]


def _join(children: Sequence[tuple[str, nn.Module]], where: str) -> Chain:
    """Children without parameters go with a neighbour."""
    joined: list[tuple[str, list[nn.Module]]] = []
    waiting: list[nn.Module] = []
    for name, child in children:
        if any(True for _ in child.parameters()):
            joined.append((name, [*waiting, child]))
            waiting = []
        elif joined:
            joined[-1][1].append(child)
        else:
            waiting.append(child)
    if not joined:
        raise ValueError(f"{where} has no parameters: there is nothing to train or to cut")
    return [(name, parts[0] if len(parts) == 1 else nn.Sequential(*parts)) for name, parts in joined]


def _refuse_ties(layers: Chain, where: str) -> None:
    held: dict[int, str] = {}
    for name, module in layers:
        for key, parameter in module.named_parameters():
            if (other := held.setdefault(id(parameter), name)) != name:
                raise ValueError(
                    f"{where}: layers {other} and {name} share a parameter, which two devices could not keep equal "
                    f"(give each its own, or make them one layer)"
                )
            if not parameter.requires_grad:
                raise ValueError(f"{where}: {key} of layer {name} is frozen (leave requires_grad as it is)")


def sample(hyper: Mapping[str, Any], tokens: int) -> Tensor:
    """One input: an image [1, 3, resolution, resolution], token ids [1, tokens], or what the file's sample() gives."""
    if "resolution" in hyper:
        return torch.zeros(1, 3, hyper["resolution"], hyper["resolution"])
    if "vocabulary" in hyper:
        return torch.zeros(1, tokens, dtype=torch.long)
    own_sample = _named(hyper, "sample")
    return cast(Tensor, own_sample(tokens) if takes_tokens(hyper) else own_sample())


def takes_tokens(hyper: Mapping[str, Any]) -> bool:
    """Whether inputs are sequences, so that costs depend on their length."""
    if "resolution" in hyper or "vocabulary" in hyper:
        return "vocabulary" in hyper
    return bool(inspect.signature(_named(hyper, "sample")).parameters)


def loss(hyper: Mapping[str, Any], tokens: int, output: Tensor, target: Tensor) -> Tensor:
    """The file's ``loss(output, target)``, a mean over samples, times samples; without one, cross-entropy."""
    own = getattr(load(hyper), "loss", None)
    if own is not None:
        return cast(Tensor, own(output, target) * output.shape[0])
    if output.dim() > 2:  # [samples, tokens, ids]; every sample hides as many tokens, so a mean of means is the mean
        output, samples = output.flatten(0, -2), output.shape[0]
        return nn.functional.cross_entropy(output, target.flatten(), ignore_index=IGNORED) * samples
    return nn.functional.cross_entropy(output, target, reduction="sum")


def _named(hyper: Mapping[str, Any], name: str) -> Callable[..., Any]:
    """The factory, or another function of the file."""
    file = load(hyper)
    name = hyper["factory"] if name == "factory" else name
    function = getattr(file, name, None)
    if not callable(function):
        own = [key for key, value in vars(file).items() if getattr(value, "__module__", None) == file.__name__]
        raise ValueError(f"{hyper['file']} defines no {name} (it defines: {', '.join(own) or 'nothing'})")
    return cast(Callable[..., Any], function)


def load(hyper: Mapping[str, Any]) -> ModuleType:
    """The user's file, imported once. Raises ValueError if it is not the one that was traced."""
    path = Path(hyper["file"])
    if not path.is_file():
        raise ValueError(
            f"no such file: {path}, of which the model's table was traced (put it there, or trace it anew)"
        )
    digest = file_hash(path)
    if hyper["sha256"] != digest:
        raise ValueError(f"{path} was changed since its table was traced (trace it again)")
    return _import(path, digest)


def file_hash(path: Path) -> str:
    """SHA-256 of the file: a table is of one version of it."""
    return sha256(path.read_bytes()).hexdigest()


@lru_cache
def _import(path: Path, digest: str) -> ModuleType:
    spec = spec_from_file_location(f"{path.stem}_{digest[:12]}", path)
    if spec is None or spec.loader is None:
        raise ValueError(f"{path} is not a Python file (its name must end in .py)")
    file = module_from_spec(spec)
    sys.modules[spec.name] = file  # dataclasses look their module up
    sys.path.insert(0, str(path.parent.resolve()))  # as Python does for a script: its neighbours can be imported
    try:
        with torch.device("cpu"):  # whatever device is asked for now, the file's constants are kept
            spec.loader.exec_module(file)
    finally:
        sys.path.remove(str(path.parent.resolve()))
    return file
