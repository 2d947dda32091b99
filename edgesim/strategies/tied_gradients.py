"""Whose gradients of tied weights are added up, where stages hold copies of them?

A weight that layers of several stages share gets a gradient on each of their ranks. All these ranks add theirs up once
all micro-batches have gone back, so that every copy takes the same step. Within a stage replicas add up the rest.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from edgesim.errors import PlanError
from edgesim.model import Model
from edgesim.plan import Plan, Stage
from edgesim.schedule import Kind, Op, Payload, Peers
from edgesim.workload import Workload


@dataclass(frozen=True, slots=True, kw_only=True)
class TiedGradients:
    """The gradients of a weight that layers share.

    Attributes:
        owner: the layer that it is counted in, by index; ``stage`` is the one that holds it.
        ranks: all ranks that have a copy, in ring order.
    """

    owner: int
    stage: int
    nbytes: int
    ranks: Peers

    def kind(self, rank: int) -> Kind:
        """How a rank adds them up."""
        return Kind(
            op=Op.ALL_REDUCE,
            rank=rank,
            stage=self.stage,
            layers=(self.owner, self.owner),
            payload=Payload.TIED,
            peers=self.ranks,
            nbytes=self.nbytes,
            bucket=self.owner,
        )


def tied_gradients(plan: Plan, model: Model, workload: Workload) -> list[TiedGradients]:
    """What is to be added up between stages, by owner; nothing where all that share a weight are in one stage."""
    if not workload.trains:
        return []
    place = {layer.name: i for i, layer in enumerate(model.layers)}
    holders: dict[int, set[int]] = {}
    nbytes: dict[int, int] = {}
    for i, layer in enumerate(model.layers):
        for block in layer.blocks:
            if block.tied_bytes and block.tied_exchanged and block.trainable:
                owner = place[block.tied_to]
                holders.setdefault(owner, {_stage_of(plan.stages, owner)}).add(_stage_of(plan.stages, i))
                nbytes[owner] = block.tied_bytes
    return [
        TiedGradients(
            owner=owner,
            stage=_stage_of(plan.stages, owner),
            nbytes=nbytes[owner],
            ranks=Peers(rank for s in sorted(stages) for rank in plan.stages[s].ranks),
        )
        for owner, stages in sorted(holders.items())
        if len(stages) > 1
    ]


def refuse_tied(plan: Plan, model: Model, workload: Workload, strategy: str) -> None:
    """Raise PlanError where stages share trained weights, for a way of adding up that does not know them."""
    for tied in tied_gradients(plan, model, workload):
        raise PlanError(
            f"{strategy} does not add up gradients of {model.layers[tied.owner].name} between stages, which share "
            "them (take finetuning=full, which keeps them in one stage, or one all-reduce at the end)"
        )


def _stage_of(stages: Sequence[Stage], layer: int) -> int:
    return next(s for s, stage in enumerate(stages) if layer < stage.layers[1])
