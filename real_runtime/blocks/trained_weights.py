"""Which weights does a rank train where blocks are divided, and of which must ranks add up the gradients?"""

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn

from edgesim.workload import Workload
from real_runtime.blocks.shards.parts import HeadShard
from real_runtime.stages.module import flatten_gradients, make_optimiser


class BlockWeights:
    """The trained weights of a rank's parts, by "layer/block".

    ``units`` say what of each block the rank has: (0, 0) is all of it. Gradients of weights that all ranks have lie in
    one buffer, ``shared_gradients``, so that an all-reduce is one message.
    """

    def __init__(
        self, parts: Mapping[str, nn.Module], units: Mapping[str, tuple[int, int]], workload: Workload
    ) -> None:
        self.parts, self.workload = parts, workload
        self.optimisers: dict[tuple[str, str], torch.optim.Optimizer] = {}
        shared: list[nn.Parameter] = []
        own: list[nn.Parameter] = []
        for block in parts:
            for part, parameters in self.of(block).items():
                (shared if units[block] == (0, 0) or part == "in" else own).extend(parameters)
        self.shared_gradients = flatten_gradients(shared)
        flatten_gradients(own)

    def of(self, block: str) -> dict[str, list[nn.Parameter]]:
        """Parameters of a block, by its part where its parts are updated one by one."""
        part = self.parts[block]
        if isinstance(part, HeadShard) and part.dense is not None:
            decoder = list(part.decoder.parameters())
            return {"in": [p for p in part.parameters() if all(p is not own for own in decoder)], "out": decoder}
        return {"": list(part.parameters())}

    def update(self, block: str, part: str) -> None:
        """One optimiser step; gradients are zeroed for the next iteration."""
        parameters = self.of(block)[part]
        if (block, part) not in self.optimisers:
            self.optimisers[block, part] = make_optimiser(parameters, self.workload)
        self.optimisers[block, part].step()
        for p in parameters:
            assert p.grad is not None
            p.grad.zero_()

    def named(self) -> Iterable[tuple[str, Tensor]]:
        """All weights, by block and name."""
        for block, part in self.parts.items():
            for name, parameter in part.named_parameters():
                yield f"{block}.{name}", parameter.detach()
