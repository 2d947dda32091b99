"""How does a plan read? In words, with the names of devices."""

from collections.abc import Sequence

from edgesim.plan import Plan, Stage


def in_words(plan: Plan, ranks: Sequence[str]) -> str:
    """``layers 0-2 on fast | layers 3-5 on medium (5), slow (3)``: samples of a micro-batch where ranks share it.

    Where they divide blocks, ``layers 0-5 on fast (8 heads, 300 columns), slow (4 heads, 100 columns)``.
    A rank in another power mode has that mode's name.
    """
    names = [plan.modes.get(rank, name) for rank, name in enumerate(ranks)]
    return "  |  ".join(_stage_in_words(stage, names) for stage in plan.stages)


def _stage_in_words(stage: Stage, ranks: Sequence[str]) -> str:
    first, last = stage.layers[0], stage.layers[1] - 1
    layers = f"layer {first}" if first == last else f"layers {first}–{last}"
    shared = len(stage.ranks) > 1
    held = [f"{ranks[rank]} ({_share(stage, i)})" if shared else ranks[rank] for i, rank in enumerate(stage.ranks)]
    return f"{layers} on {', '.join(held)}{', recomputed' if stage.recompute else ''}"


def _share(stage: Stage, i: int) -> str:
    if not stage.divides_blocks:
        return str(stage.samples[i])
    divided = (("heads", stage.heads), ("columns", stage.columns), ("tokens", stage.tokens))
    return ", ".join(f"{shares[i]} {name}" for name, shares in divided if shares)
