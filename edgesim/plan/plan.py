"""Where does everything live? All stages of a model, how its batch is cut, and what its planner says of it."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from edgesim.cluster import Cluster, Device
from edgesim.errors import PlanError, reading
from edgesim.memory import Memory, RankLoad, held_bytes
from edgesim.model import Model
from edgesim.plan.fit import check_memory, check_shares, tied_apart
from edgesim.plan.stage import Stage
from edgesim.proof import Proof
from edgesim.workload import Workload


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Where a model lives and how its batch is cut: the answer of a planner, and the input of a strategy."""

    model: str
    stages: tuple[Stage, ...]
    micro_batches: int
    micro_batch_samples: int
    planner: str
    proof: Proof | None = None
    predicted_s: float | None = None
    profile_hash: str | None = None

    def __post_init__(self) -> None:
        if not self.stages:
            raise PlanError(f"plan for {self.model}: has no stages")
        if self.micro_batches < 1:
            raise PlanError(f"plan for {self.model}: needs at least one micro-batch, got {self.micro_batches}")
        for before, after in zip(self.stages, self.stages[1:], strict=False):
            if before.layers[1] != after.layers[0]:
                raise PlanError(f"plan for {self.model}: layers {before.layers} and {after.layers} do not join")
        if self.stages[0].layers[0] != 0:
            raise PlanError(f"plan for {self.model}: starts at layer {self.stages[0].layers[0]} instead of 0")
        if len(set(self.ranks)) != len(self.ranks):
            raise PlanError(f"plan for {self.model}: a rank holds two stages: {self.ranks}")
        for stage in self.stages:
            if stage.divides_blocks:
                if set(stage.samples) != {self.micro_batch_samples}:
                    raise PlanError(
                        f"plan for {self.model}: where blocks are divided every rank computes all "
                        f"{self.micro_batch_samples} samples of a micro-batch, stage {stage.layers} has {stage.samples}"
                    )
            elif sum(stage.samples) != self.micro_batch_samples:
                raise PlanError(
                    f"plan for {self.model}: stage {stage.layers} shares {sum(stage.samples)} samples, "
                    f"a micro-batch has {self.micro_batch_samples}"
                )

    def __str__(self) -> str:
        return " | ".join(map(str, self.stages))

    @property
    def ranks(self) -> tuple[int, ...]:
        """All ranks that work, stage by stage."""
        return tuple(rank for stage in self.stages for rank in stage.ranks)

    @property
    def modes(self) -> dict[int, str]:
        """The name of the power mode of every rank that leaves its own."""
        return {r: mode for stage in self.stages for r, mode in zip(stage.ranks, stage.modes, strict=False) if mode}

    def in_modes(self, cluster: Cluster, modes: Mapping[str, Sequence[Device]]) -> Cluster:
        """Return the cluster with every rank in the plan's mode; ``modes`` are the other modes of devices by name.

        This is the cluster that plays and measures the plan. Raises PlanError for a mode that the device lacks.
        """
        devices = list(cluster.devices)
        for rank, mode in self.modes.items():
            own = devices[rank].name
            known = {device.name: device for device in modes.get(own, ())}
            if mode not in known and mode != own:
                raise PlanError(
                    f"plan runs rank {rank} ({own}) in mode {mode!r}, known are {sorted(known) or 'none'} "
                    f"(add it: +device@modes.{own}.low=...)"
                )
            devices[rank] = known.get(mode, devices[rank])
        return replace(cluster, devices=tuple(devices)) if self.modes else cluster

    @property
    def batch_samples(self) -> int:
        """How many samples an iteration has."""
        return self.micro_batches * self.micro_batch_samples

    def check(self, model: Model, cluster: Cluster, workload: Workload, *, head_room: float = 0.0) -> None:
        """Raise PlanError unless the plan fits model, cluster and memory; the share ``head_room`` stays free."""
        if self.model != model.name:
            raise PlanError(f"plan is for model {self.model}, not {model.name}")
        if self.stages[-1].layers[1] != len(model.layers):
            raise PlanError(f"plan covers {self.stages[-1].layers[1]} layers, {model.name} has {len(model.layers)}")
        if unknown := [rank for rank in self.ranks if not 0 <= rank < len(cluster.devices)]:
            raise PlanError(f"plan uses ranks {unknown}, cluster {cluster.name} has 0..{len(cluster.devices) - 1}")
        if self.batch_samples != workload.batch_samples:
            raise PlanError(
                f"plan computes {self.batch_samples} samples per iteration, "
                f"the workload asks for {workload.batch_samples}"
            )
        if apart := tied_apart(self.stages, model, workload):
            raise PlanError(apart)
        for stage in self.stages:
            check_shares(stage, model, workload)
        for rank, mode in self.modes.items():
            if cluster.devices[rank].name != mode:
                raise PlanError(
                    f"plan runs rank {rank} in mode {mode!r}, the cluster has {cluster.devices[rank].name!r} there "
                    "(take the cluster in the plan's modes: Plan.in_modes)"
                )
        held = self.memory(model, cluster, workload)
        for stage in self.stages:
            for rank in stage.ranks:
                check_memory(stage.with_at_most(self.micro_batches), rank, held[rank], cluster.devices[rank], head_room)

    def memory(self, model: Model, cluster: Cluster, workload: Workload) -> dict[int, Memory]:
        """Return the memory that every rank that works needs at most."""
        return {
            rank: held_bytes(
                model,
                workload,
                RankLoad(
                    layers=stage.layers,
                    samples=samples,
                    in_flight=min(stage.in_flight, self.micro_batches),
                    micro_batches=self.micro_batches,
                    replicas=len(stage.ranks),
                    context_bytes=cluster.devices[rank].context_bytes,
                    share=stage.share(rank),
                    recompute=stage.recompute,
                ),
            )
            for stage in self.stages
            for rank, samples in zip(stage.ranks, stage.samples, strict=True)
        }

    def to_json(self) -> str:
        """Write the plan as JSON text."""
        data = asdict(self) | {"proof": self.proof and self.proof.to_dict()}
        for stage in data["stages"]:
            if not stage["modes"]:
                del stage["modes"]  # most plans know none
            if not stage["recompute"]:
                del stage["recompute"]  # and most keep what they have computed
        return json.dumps(data, indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str, *, source: str = "the text") -> "Plan":
        """Read what :meth:`to_json` wrote. Raises PlanError, naming the source, for anything else."""
        with reading(source, "plan", written_by="a run (plan.json)", error=PlanError):
            data: dict[str, Any] = json.loads(text)
            stages = tuple(Stage.from_dict(stage) for stage in data["stages"])
            return cls(**{**data, "stages": stages, "proof": Proof.from_dict(data["proof"])})
