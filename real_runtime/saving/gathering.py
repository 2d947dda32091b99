"""What have ranks trained together? Every rank's part, put in its place in the model's layers."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from edgesim.schedule import Task
from real_runtime.assignment import Assignment, results_file
from real_runtime.blocks.own_parts import own_parts
from real_runtime.blocks.shards.parts import VIEWS
from real_runtime.weights.tensor_files import load_tensors


def gather(assignment: Assignment, folder: Path, layers: Sequence[nn.Module]) -> None:
    """Give all layers of the model the weights that the ranks of an assignment have left in a folder.

    Of what several ranks have alike the first one's counts; only statistics of batches may differ.
    """
    for rank, program in reversed(list(enumerate(assignment.schedule.programs))):
        if program:
            _copy(load_tensors(results_file(folder, rank)), _places(assignment, program, layers))


def _places(assignment: Assignment, program: Sequence[Task], layers: Sequence[nn.Module]) -> dict[str, Tensor]:
    """Where in the layers each weight of a rank belongs, as its executor names it."""
    if any(task.block for task in program):
        parts = own_parts(assignment.model, layers, program, VIEWS)
        return {f"{block}.{name}": place for block, part in parts.items() for name, place in part.named_parameters()}
    return {
        f"{index}.{name}": place for index, layer in enumerate(layers) for name, place in layer.state_dict().items()
    }


@torch.no_grad()
def _copy(named: Mapping[str, Tensor], places: Mapping[str, Tensor]) -> None:
    for name, tensor in named.items():
        places[name].copy_(tensor)
