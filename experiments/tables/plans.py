"""How does a plan read? In words, with the names of devices."""

from collections.abc import Sequence

from edgesim.plan import Plan, Stage


def in_words(plan: Plan, ranks: Sequence[str]) -> str:
    """``layers 0-2 on fast | layers 3-5 on medium (5), slow (3)``: samples of a micro-batch where ranks share it."""
    return "  |  ".join(_stage_in_words(stage, ranks) for stage in plan.stages)


def _stage_in_words(stage: Stage, ranks: Sequence[str]) -> str:
    first, last = stage.layers[0], stage.layers[1] - 1
    layers = f"layer {first}" if first == last else f"layers {first}–{last}"
    shared = len(stage.ranks) > 1
    held = [
        f"{ranks[rank]} ({samples})" if shared else ranks[rank]
        for rank, samples in zip(stage.ranks, stage.samples, strict=True)
    ]
    return f"{layers} on {', '.join(held)}"
