"""How much is a computation of a part of a layer? The size by which a profile knows its seconds."""

from dataclasses import dataclass

from edgesim.model import BlockKind, Model
from edgesim.profile import UPDATE, Portion
from edgesim.schedule import Task
from edgesim.schedule.kind import Kind


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What a profile is asked for: a block or part of one, an operation, and how much of it.

    ``share`` is the part of the block's heads or columns; ``keys`` are the tokens that attention looks at, None where
    they are as many as the tokens that look.
    """

    block: str
    op: str
    samples: int
    tokens: int
    share: float
    keys: int | None

    @property
    def portion(self) -> Portion:
        """How much of the block is computed."""
        return Portion(samples=self.samples, tokens=self.tokens, share=self.share, keys=self.keys)


def work_of(task: Task | Kind, model: Model, tokens: int) -> Work:
    """Return the work of a task of one block, or of all such tasks, for a sequence of ``tokens`` tokens."""
    layer = model.layers[task.layers[0]]
    name, _, part = task.block.removeprefix(f"{layer.name}/").partition(".")
    block = next(block for block in layer.blocks if block.name == name)
    first, stop = task.tokens
    units = task.units[1] - task.units[0]
    update = task.op == UPDATE
    looks_around = block.kind is BlockKind.ATTENTION and stop > 0 and part in ("", "core")
    return Work(
        block=task.block,
        op=task.op,
        samples=0 if update else task.samples[1] - task.samples[0],
        tokens=stop - first if stop and not update else tokens,
        share=units / block.splits if units else 1.0,
        keys=max(tokens, stop) if looks_around and not update else None,
    )
