"""Can ranks divide this model's blocks as the plan and the strategy say? Raises PlanError where they cannot."""

from edgesim.block_passes.division import DIVIDED, BlockDivision, Place, divided_text
from edgesim.errors import PlanError
from edgesim.model import BlockKind
from edgesim.plan import Plan

_KNOWN = (*DIVIDED, BlockKind.EMBEDDING, BlockKind.CONNECTIVE, BlockKind.HEAD)


def check_division(strategy: str, plan: Plan, division: BlockDivision) -> None:
    """Raise PlanError, naming the strategy, unless the plan's only stage divides this model's blocks so."""
    stage, model = plan.stages[0], division.model
    if len(plan.stages) != 1:
        raise PlanError(f"{strategy}: the plan has {len(plan.stages)} stages, but blocks are divided in one stage only")
    if stage.layers[1] != len(model.layers):
        raise PlanError(f"plan covers {stage.layers[1]} layers, {model.name} has {len(model.layers)}")
    if (bool(stage.heads), bool(stage.tokens)) != (division.units, division.tokens):
        parts = divided_text(units=division.units, tokens=division.tokens)
        raise PlanError(f"{strategy} divides {parts}; the plan says {plan} (take a planner that divides these)")
    for place in division.places():
        _check_block(strategy, division, place)
    if division.workload.new_tokens:
        _check_generation(strategy, plan, division)


def _check_block(strategy: str, division: BlockDivision, place: Place) -> None:
    block, name = place.block, division.model.name
    if block.kind not in _KNOWN or (block.kind in DIVIDED and not block.parts):
        raise PlanError(f"{strategy} divides transformers; {name} has {place.name}")
    trains_units = division.units and division.workload.trains
    if block.tied_bytes and block.trainable and trains_units:
        raise PlanError(
            f"{strategy}: {place.layer.name} of {name} trains weights tied to {block.tied_to}, of which each "
            "rank would change its columns only (untie them: model.tied=false)"
        )


def _check_generation(strategy: str, plan: Plan, division: BlockDivision) -> None:
    for layer in division.model.layers:
        if layer.name.startswith("encoder."):
            raise PlanError(
                f"{strategy}: {division.model.name} has {layer.name}, and only models of decoders alone generate token "
                "by token (set workload.new_tokens=0)"
            )
    if plan.micro_batches > 1:
        raise PlanError(
            f"{strategy}: tokens are generated for one micro-batch, the plan has {plan.micro_batches} "
            f"(set workload.micro_batch_samples={plan.batch_samples})"
        )
