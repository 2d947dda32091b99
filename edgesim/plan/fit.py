"""Does a stage fit? Its shares add up to what the model has, its weights are its own, and its ranks can hold them."""

from collections.abc import Sequence

from edgesim.cluster import Device
from edgesim.errors import OutOfMemoryError, PlanError
from edgesim.memory import Memory
from edgesim.model import BlockKind, Model
from edgesim.plan.stage import Stage
from edgesim.units import show
from edgesim.workload import Workload


def check_shares(stage: Stage, model: Model, workload: Workload) -> None:
    """Raise PlanError unless heads, columns and tokens add up to what there is."""
    if stage.tokens and sum(stage.tokens) != workload.tokens:
        raise PlanError(f"stage {stage.layers} divides {sum(stage.tokens)} tokens, the workload has {workload.tokens}")
    for layer in model.layers[slice(*stage.layers)] if stage.heads else ():
        for block in layer.blocks:
            for kind, name, shares in (
                (BlockKind.ATTENTION, "heads", stage.heads),
                (BlockKind.MLP, "columns", stage.columns),
            ):
                if block.kind is kind and block.splits != sum(shares):
                    raise PlanError(
                        f"stage {stage.layers} divides {sum(shares)} {name}, {layer.name}/{block.name} of {model.name} "
                        f"has {block.splits}"
                    )


def trained_ties(model: Model, workload: Workload) -> list[tuple[int, int]]:
    """Return the pairs of layers, by index, that share weights which the workload trains: the owner comes first.

    Not those whose gradients are exchanged: nothing keeps them together.
    """
    if not workload.trains:
        return []
    place, ties = {layer.name: i for i, layer in enumerate(model.layers)}, []
    for layer in model.layers:
        for block in layer.blocks:
            if not block.tied_bytes or block.tied_exchanged:
                continue
            if block.tied_to not in place:
                raise PlanError(f"{model.name}: layer {layer.name} is tied to {block.tied_to!r}, which it lacks")
            owner = model.layers[place[block.tied_to]]
            # What a fine-tuning technique adds to the owner's layer is not what is shared.
            if any(part.trainable for part in (block, *owner.blocks) if part.kind is not BlockKind.SIDE):
                ties.append((place[owner.name], place[layer.name]))
    return ties


def tied_apart(stages: Sequence[Stage], model: Model, workload: Workload) -> str:
    """Say which trained weights two stages would share, and the ways out; an empty text if there are none.

    Their gradients have to be exchanged in every iteration, which finetuning=full_exchanged asks for. Frozen weights
    and inference are fine: each stage holds a copy.
    """
    for one, other in trained_ties(model, workload):
        if _stage_of(stages, one) != _stage_of(stages, other):
            owner, layer = model.layers[one], model.layers[other]
            shared = next(block.tied_bytes for block in layer.blocks if block.tied_to == owner.name)
            return (
                f"layers {owner.name} and {layer.name} share {show(shared, 'B')} of trained weights "
                "and lie in different stages, which would have to exchange gradients "
                "(put both into one stage, freeze them, untie them: model.tied=false, or finetuning=full_exchanged)"
            )
    return ""


def _stage_of(stages: Sequence[Stage], layer: int) -> int:
    return next(p for p, stage in enumerate(stages) if layer < stage.layers[1])


def check_memory(stage: Stage, rank: int, held: Memory, device: Device, head_room: float) -> None:
    """Raise OutOfMemoryError if a rank of the stage holds more than its device has, less the head room."""
    budget = device.budget_bytes(head_room)
    if held.total_bytes <= budget:
        return
    (term, most), share, ways_out = held.largest, stage.share_text(rank), "other shares, or more ranks"
    if not stage.divides_blocks:
        share, ways_out = f"{share} samples and {stage.in_flight} in flight", "fewer layers, samples or in flight"
    kept_free = f" ({head_room:.4g} of it kept free)" if head_room else ""
    raise OutOfMemoryError(
        f"rank {rank} ({device.name}) needs {show(held.total_bytes, 'B')} for layers "
        f"{stage.layers}, {share} (largest: {term}, {show(most, 'B')}), "
        f"and has {show(budget, 'B')}{kept_free} ({ways_out})"
    )
