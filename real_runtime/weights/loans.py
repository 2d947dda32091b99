"""Which weights does a layer compute with that another layer holds? Tied ones, and a table that a stack has once.

A layer lends one weight at most. Where both layers are here, they share it. Elsewhere the borrower computes with a
copy, which is none of its parameters and goes into no file: that is right as long as nobody trains it. Or the copy is
trained, and its gradient added up with those of all others.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor, nn


@dataclass(frozen=True, slots=True, kw_only=True)
class Loan:
    """A layer's weight ``name`` is the weight ``of`` of the layer ``owner``, by index."""

    owner: int
    of: str
    name: str


def lend(
    layers: Mapping[int, nn.Module],
    loans: Mapping[int, Sequence[Loan]],
    elsewhere: Callable[[int], nn.Module],
    *,
    trained: bool = False,
) -> dict[int, nn.Parameter]:
    """Give each layer what it has on loan; ``elsewhere`` makes a layer that is not among these, by its index.

    Copies that are ``trained`` are parameters, one for all borrowers; return these, and the weights here that others
    have a copy of, by owner.
    """
    copies: dict[int, Tensor] = {}
    shared: dict[int, nn.Parameter] = {}
    for index, lent in loans.items() if trained else ():
        for loan in lent:
            if loan.owner in layers and index not in layers:
                shared[loan.owner] = weight_of(layers[loan.owner], loan.of)
    for index, layer in layers.items():
        for loan in loans[index]:
            if loan.owner in layers:
                _set(layer, loan.name, weight_of(layers[loan.owner], loan.of))
                continue
            if loan.owner not in copies:
                copies[loan.owner] = weight_of(elsewhere(loan.owner), loan.of).detach().clone()
                if trained:
                    shared[loan.owner] = nn.Parameter(copies[loan.owner])
            _set(layer, loan.name, shared[loan.owner] if trained else copies[loan.owner])
    return shared


def weight_of(layer: nn.Module, name: str) -> nn.Parameter:
    """A weight by its name in the layer."""
    return layer.get_parameter(name)


def _set(layer: nn.Module, name: str, weight: Tensor) -> None:
    """Let a weight, or a copy of one, stand where the layer looks for it."""
    where, _, own = name.rpartition(".")
    holder = layer.get_submodule(where)
    holder._parameters.pop(own, None)
    holder._buffers.pop(own, None)
    if isinstance(weight, nn.Parameter):
        holder.register_parameter(own, weight)
    else:
        holder.register_buffer(own, weight, persistent=False)


def refuse_apart(name: str, layers: Sequence[int], loans: Mapping[int, Sequence[Loan]], names: Sequence[str]) -> None:
    """Raise ValueError where one of two layers that share weights is among these, and the other is not."""
    for index, each in loans.items():
        for loan in each:
            if (loan.owner in layers) != (index in layers):
                raise ValueError(
                    f"the runtime trains {name} without tied weights where a stage holds only some of its layers: "
                    f"{names[index]} shares {loan.name} with {names[loan.owner]} (set model.tied=false, put both into "
                    "one stage, or choose a finetuning that freezes them)"
                )


def held_before(layers: Iterable[nn.Module]) -> list[set[str]]:
    """[layer] names of its weights that a layer before it holds as well."""
    seen: set[int] = set()
    found: list[set[str]] = []
    for layer in layers:
        own = dict(layer.named_parameters(remove_duplicate=False))
        found.append({name for name, weight in own.items() if id(weight) in seen})
        seen |= {id(weight) for weight in own.values()}
    return found
