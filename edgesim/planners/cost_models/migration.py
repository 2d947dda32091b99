"""What must be sent when devices are lost and others take their layers, and how long does it take?

A survivor holds the layers of its old stage, and what it holds costs nothing. A layer that it lacks is sent by all
survivors that hold it, in equal parts: its weights, and the optimiser's state of those that are trained. What no
survivor holds comes from its backup, as topology-driven replication puts it (Asteroid, arXiv 2408.08015): a stage of a
single device is backed up on the first device of the next stage, the last stage on the first device of the first. What
has no backup left comes from the ``coordinator``, a rank that keeps a copy of the whole model, where there is one.

All transfers run at once, and take as long as ``transfers.py`` says: a device that lacks bytes needs at least bytes /
download rate, and one that sends to many its bytes / upload rate.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from edgesim.errors import InfeasibleError, PlanError
from edgesim.memory import carried_bytes
from edgesim.plan import Plan
from edgesim.planners.cost_models.transfers import Transfers
from edgesim.planners.problem import Problem
from edgesim.units import BYTES_PER_FLOAT32, show


@dataclass(frozen=True, slots=True, kw_only=True)
class Holdings:
    """[survivor] which layers it has, and [layer] which survivors send it."""

    problem: Problem
    held: Mapping[int, frozenset[int]]
    senders: tuple[tuple[int, ...], ...]

    @property
    def transfers(self) -> Transfers:
        """The rates of transfers among survivors."""
        return Transfers(self.problem.cluster.network, self.held)

    def lacked(self, rank: int, layers: tuple[int, int]) -> Iterator[tuple[int, float]]:
        """Yield the layers, and the bytes of each, that the rank must receive to hold this range."""
        for layer in range(*layers):
            if layer not in self.held[rank]:
                yield layer, carried_bytes(self.problem.model.layers[layer], self.problem.workload)
        for layer, owner, nbytes in tied(self.problem):
            if layer in range(*layers) and owner not in range(*layers) and not {layer, owner} & self.held[rank]:
                yield owner, nbytes


def tied(problem: Problem) -> Iterator[tuple[int, int, float]]:
    """Yield (layer, owner, bytes) of weights of which a layer needs a copy where it lies apart from the owner."""
    place = {layer.name: i for i, layer in enumerate(problem.model.layers)}
    scale = problem.workload.weight_bytes / BYTES_PER_FLOAT32
    for i, layer in enumerate(problem.model.layers):
        for block in layer.blocks:
            if block.tied_bytes:
                yield i, place[block.tied_to], block.tied_bytes * scale


def holdings(problem: Problem, old: Plan, lost: Sequence[int], coordinator: int | None = None) -> Holdings:
    """Say who holds what. Raises InfeasibleError naming a layer that is gone, and PlanError for unknown ranks."""
    _check(problem, old, lost, coordinator)
    survivors = [rank for rank in problem.ranks if rank not in lost]
    held: dict[int, set[int]] = {rank: set() for rank in survivors}
    senders: list[tuple[int, ...]] = []
    for s, stage in enumerate(old.stages):
        left = [rank for rank in stage.ranks if rank in held]
        holders = left or [rank for rank in backed_up_on(old, s) if rank in held]
        if not holders and coordinator is None:
            raise InfeasibleError(_gone(problem, old, s))
        senders += [tuple(holders) if holders else (coordinator or 0,)] * (stage.layers[1] - stage.layers[0])
        for rank in holders:
            held[rank] |= set(range(*stage.layers))
    if coordinator is not None:
        held[coordinator] = set(range(len(problem.model.layers)))
    return Holdings(problem=problem, held={r: frozenset(layers) for r, layers in held.items()}, senders=tuple(senders))


def backed_up_on(plan: Plan, s: int) -> list[int]:
    """Return the rank that a stage is backed up on, if any: it has a single rank, and there is another stage."""
    alone = len(plan.stages[s].ranks) == 1 and len(plan.stages) > 1
    return [plan.stages[(s + 1) % len(plan.stages)].ranks[0]] if alone else []


def _check(problem: Problem, old: Plan, lost: Sequence[int], coordinator: int | None) -> None:
    if old.model != problem.model.name or old.stages[-1].layers[1] != len(problem.model.layers):
        raise PlanError(
            f"the old plan is for {old.stages[-1].layers[1]} layers of {old.model}, the problem's model is "
            f"{problem.model.name} with {len(problem.model.layers)} (give the plan that was running)"
        )
    if any(stage.divides_blocks for stage in old.stages):
        raise PlanError("the old plan's ranks divide blocks; migration is of whole layers (give a plan of samples)")
    there = problem.ranks
    named = [*old.ranks, *lost, *([] if coordinator is None else [coordinator])]
    if unknown := [rank for rank in named if rank not in there]:
        raise PlanError(f"rank {unknown[0]} is not among 0..{len(there) - 1} of {problem.cluster.name}")
    if coordinator in lost:
        raise PlanError(f"the coordinator, rank {coordinator}, is lost (name another, or none)")
    if not set(there) - set(lost):
        device = problem.cluster.devices[0].name
        raise InfeasibleError(
            f"all {len(there)} devices of {problem.cluster.name} are lost, rank 0 ({device}) too (lose fewer)"
        )


def _gone(problem: Problem, old: Plan, s: int) -> str:
    stage, backup = old.stages[s], backed_up_on(old, s)
    layer = problem.model.layers[stage.layers[0]]
    lost = ", ".join(f"rank {rank} ({problem.cluster.devices[rank].name})" for rank in stage.ranks)
    without = "it has no backup: only single devices of a pipeline do"
    kept = f"so is its backup on rank {backup[0]}" if backup else without
    return (
        f"layer {layer.name} of {problem.model.name} ({show(layer.parameter_bytes, 'B')}) is gone: {lost} of its stage "
        f"{stage.layers} are lost, and {kept} (name a coordinator that keeps a copy of the model)"
    )


def migrated_bytes(
    problem: Problem, old: Plan, plan: Plan, lost: Sequence[int], coordinator: int | None = None
) -> dict[int, float]:
    """Return by rank of the new plan the bytes that it must receive."""
    return received_bytes(holdings(problem, old, lost, coordinator), plan)


def received_bytes(where: Holdings, plan: Plan) -> dict[int, float]:
    """Return the bytes that each rank must receive, when it is known who holds what."""
    received, _ = _moved(where, plan)
    return received


def migration_s(problem: Problem, old: Plan, plan: Plan, lost: Sequence[int], coordinator: int | None = None) -> float:
    """Return the seconds until all ranks of the new plan have their layers. Raises PlanError if it uses a lost rank."""
    where = holdings(problem, old, lost, coordinator)
    return moving_s(where, plan)


def moving_s(where: Holdings, plan: Plan) -> float:
    """Return the seconds of the migration, when it is known who holds what."""
    return where.transfers.seconds(*_moved(where, plan))


def _moved(where: Holdings, plan: Plan) -> tuple[dict[int, float], dict[int, float]]:
    """Bytes that each rank receives and sends."""
    if gone := [rank for rank in plan.ranks if rank not in where.held]:
        raise PlanError(f"the new plan uses rank {gone[0]}, which is lost (plan on the others)")
    received, sent = dict.fromkeys(plan.ranks, 0.0), defaultdict[int, float](float)
    for stage in plan.stages:
        for rank in stage.ranks:
            for layer, nbytes in where.lacked(rank, stage.layers):
                received[rank] += nbytes
                for sender in where.senders[layer]:
                    sent[sender] += nbytes / len(where.senders[layer])
    return received, dict(sent)
