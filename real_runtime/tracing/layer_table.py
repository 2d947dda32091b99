"""What does each layer of a PyTorch model cost? Runs its chain at a few sizes, and fits the polynomials of a table."""

from collections.abc import Mapping, Sequence
from functools import partial
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode

from edgesim.model import Block, BlockKind, Cost, Layer, Model, SplitBy
from real_runtime.data import known_reads
from real_runtime.models import Architecture, architecture
from real_runtime.models.batch_norms import statistics_of_batches
from real_runtime.tracing.cost_polynomials import CHECKED_SAMPLES, SAMPLES, Costs, fit
from real_runtime.tracing.op_counter import INPUT, OUTPUT, Counts, count


def trace(name: str, arch_name: str, hyper: Mapping[str, Any], tokens: Sequence[int] = ()) -> Model:
    """The model's layer table. ``tokens`` holds three sequence lengths; none for a model without sequences.

    Raises ValueError, naming the layer, if a cost is not a polynomial in samples and tokens.
    """
    shell = Model(name=name, architecture=arch_name, hyper=hyper, layers=())
    arch = architecture(shell)
    with torch.device("meta"):  # whoever imports a user's file does it here, outside of fake tensors
        names = arch.layer_names(hyper)
    lengths = sorted(tokens) or [1]
    if tokens and len(set(tokens)) != 3:
        raise ValueError(f"{name}: costs are fitted through three lengths, got {list(tokens)} (give --tokens 16 32 64)")
    checked = (lengths[-1] + lengths[-2]) // 2 if tokens else 1
    with FakeTensorMode(allow_non_fake_inputs=True):
        modules = [arch.layer(hyper, index) for index in range(len(names))]
        at = partial(_chain_costs, shell, arch, dict(zip(names, modules, strict=True)))
        points = {(samples, length): at(samples, length) for samples in SAMPLES for length in lengths}
        check = at(CHECKED_SAMPLES, checked)
    layers = []
    for i, (layer, module) in enumerate(zip(names, modules, strict=True)):
        where = f"{name}, layer {layer}"
        fits = fit(
            where, {size: costs[i][0] for size, costs in points.items()}, check[i][0], (CHECKED_SAMPLES, checked)
        )
        kind = BlockKind.HEAD if i + 1 == len(names) else check[i][1]
        layers.append(Layer(name=layer, blocks=(_block(kind, module, fits),)))
    return Model(name=name, architecture=arch_name, hyper=hyper, layers=tuple(layers))


def _block(kind: BlockKind, module: nn.Module, fits: Mapping[str, Cost]) -> Block:
    costs: dict[str, Any] = dict(fits)  # its fields of these names
    return Block(
        name=kind.value,
        kind=kind,
        parameter_bytes=sum(p.nbytes for p in module.parameters()),
        statistics_bytes=sum(each.nbytes for each in statistics_of_batches(module)),
        split_by=SplitBy.NOTHING,
        splits=0,
        **costs,
    )


def _chain_costs(
    model: Model, arch: Architecture, modules: Mapping[str, nn.Module], samples: int, tokens: int
) -> list[tuple[Costs, BlockKind]]:
    """[layer] costs and kind, at one size."""
    first = arch.sample(model.hyper, tokens)
    entered = first.repeat(samples, *[1] * (first.dim() - 1))  # needs no gradient: it is data
    counted: list[tuple[Counts, Counts]] = []
    for i, (name, module) in enumerate(modules.items()):
        ends = i + 1 == len(modules) and known_reads(model) is not None
        loss = partial(_loss, model, arch, tokens) if ends else None
        try:
            whole, output = count(module, entered, frozen=False, loss=loss)
            frozen, _ = count(module, entered, frozen=True, loss=loss)
        except Exception as error:
            raise ValueError(
                f"{model.name}, layer {name}, {samples} samples of {tuple(entered.shape[1:])}: {error}"
            ) from error
        if i + 1 < len(modules) and (output.dtype != torch.float32 or output.shape[0] != samples):
            raise ValueError(
                f"{model.name}, layer {name}: gives {output.dtype} of shape {tuple(output.shape)}; what crosses to the "
                f"next layer must be float32 with samples ({samples} here) as its first dimension"
            )
        counted.append((whole, frozen))
        entered = output.detach().requires_grad_(output.is_floating_point())
    count_boundaries_once(counted)
    return [(_costs(whole, frozen), whole.kind) for whole, frozen in counted]


def _loss(model: Model, arch: Architecture, tokens: int, output: Tensor) -> Tensor:
    return arch.loss(model.hyper, tokens, output, torch.zeros(output.shape[:-1], dtype=torch.long))


def count_boundaries_once(counted: Sequence[tuple[Counts, Counts]]) -> None:
    """Count a tensor that two neighbouring layers keep in the layer that reads it, also when that one is frozen."""
    for (whole, frozen), (next_whole, next_frozen) in pairwise(counted):
        if OUTPUT in whole.kept and INPUT in next_whole.kept:
            del whole.kept[OUTPUT]
            if OUTPUT in frozen.kept:
                next_frozen.kept[INPUT] = frozen.kept.pop(OUTPUT)


def _costs(whole: Counts, frozen: Counts) -> Costs:
    stash_bytes = sum(whole.kept.values())
    return Costs(
        forward_flop=whole.forward_flop,
        backward_flop=whole.backward_flop,
        forward_bytes=whole.forward_bytes,
        backward_bytes=whole.backward_bytes,
        output_bytes=whole.output_bytes,
        stash_bytes=stash_bytes,
        weight_flop=whole.backward_flop - frozen.backward_flop,
        weight_stash_bytes=stash_bytes - sum(frozen.kept.values()),
    )
