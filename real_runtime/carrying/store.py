"""Which layers does a rank keep, and of which version? Snapshots of its own, and copies of others'."""

from collections.abc import Iterable

import torch
from torch import Tensor

from edgesim.model import Model
from edgesim.workload import Workload
from real_runtime.carrying.layer_state import carried_numbers

Layers = tuple[int, int]


class Store:
    """[layer, version] the numbers of a layer (layer_state.py)."""

    def __init__(self, model: Model, workload: Workload) -> None:
        self.model, self.workload = model, workload
        self.kept: dict[tuple[int, int], Tensor] = {}

    def numbers(self, layers: Layers) -> int:
        """How many numbers a range of layers carries."""
        return sum(carried_numbers(self.model, self.workload, layer) for layer in range(*layers))

    def keep(self, states: Iterable[tuple[int, Tensor]], version: int) -> None:
        """Keep layers in a version."""
        for layer, numbers in states:
            self.kept[layer, version] = numbers

    def keep_flat(self, layers: Layers, numbers: Tensor, version: int) -> None:
        """Keep a range of layers that came as one."""
        sizes = [carried_numbers(self.model, self.workload, layer) for layer in range(*layers)]
        self.keep(zip(range(*layers), numbers.split(sizes), strict=True), version)

    def flat(self, layers: Layers, version: int) -> Tensor:
        """A range of layers as one. Raises KeyError naming one that is not there."""
        for layer in range(*layers):
            if (layer, version) not in self.kept:
                raise KeyError(f"layer {layer} is not kept in version {version}")
        return torch.cat([self.kept[layer, version] for layer in range(*layers)])

    def forget_all_but(self, version: int) -> None:
        """Let all other versions go."""
        self.kept = {key: numbers for key, numbers in self.kept.items() if key[1] == version}
