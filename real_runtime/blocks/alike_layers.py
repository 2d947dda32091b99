"""Which computations of blocks are alike? The same operation, on as much, in layers that cost the same.

Layers of equal blocks are known by the first of them: what was timed in one of them holds for all.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

from edgesim.model import Block
from edgesim.schedule import Task
from edgesim.work import Work, work_of
from real_runtime.assignment import Assignment


class AlikeLayers:
    """The layers of an assignment's model, those that cost the same under one name."""

    def __init__(self, assignment: Assignment) -> None:
        self.assignment = assignment
        first: dict[tuple[Block, ...], str] = {}
        self.first_like = {layer.name: first.setdefault(layer.blocks, layer.name) for layer in assignment.model.layers}

    def work(self, task: Task) -> Work:
        """The work of a task of a block, as if it were in the first of the layers that cost the same."""
        work = work_of(task, self.assignment.model, self.assignment.workload.tokens)
        layer, _, block = work.block.partition("/")
        return replace(work, block=f"{self.first_like[layer]}/{block}")

    def rows(self, work: Work, seconds: float, repeats: Sequence[float] = ()) -> list[dict[str, Any]]:
        """Rows of a profile that say how long the work takes, one for each layer that costs the same.

        The first of them keeps what single repeats took.
        """
        first, _, block = work.block.partition("/")
        row = asdict(work) | {"keys": work.keys or 0, "seconds": seconds}
        alike = [row | {"block": f"{layer}/{block}"} for layer, like in self.first_like.items() if like == first]
        return [each | {"repeats": list(repeats)} if place == 0 else each for place, each in enumerate(alike)]


def work_of_row(row: Mapping[str, Any]) -> Work:
    """The work whose seconds a row of a profile says."""
    fields = {name: value for name, value in row.items() if name not in ("seconds", "repeats")}
    return Work(**fields | {"keys": fields["keys"] or None})
