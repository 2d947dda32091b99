"""Where does everything live? Stages of layers on ranks, samples per rank, and how many micro-batches are in flight."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from typing import Any

from edgesim.apportion import at_least_one, ranges
from edgesim.cluster import Cluster, Device
from edgesim.errors import PlanError
from edgesim.memory import WHOLE, Memory, Share, held_bytes
from edgesim.model import Block, BlockKind, Model, SplitBy
from edgesim.proof import Proof
from edgesim.units import show
from edgesim.workload import Workload

OUT_OF_MEMORY = (
    "out of memory"  # how the refusal of a plan that does not fit begins; tables and figures know it by that
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """Consecutive layers held together by one or more ranks.

    What ranks divide are the samples of a micro-batch; or, where ``heads``, ``columns`` or ``tokens`` are given, the
    blocks: then all compute the same samples. Tensor parallelism gives heads and columns, sequence parallelism tokens,
    their hybrid all three.

    Attributes:
        layers: half-open range of layer indices.
        ranks: who holds them, in order of their samples.
        samples: [rank] samples of every micro-batch that each rank computes.
        in_flight: micro-batches forwarded before the first backward (the depth K_p).
        heads: [rank] of attention; where heads share K and V, the groups that do.
        columns: [rank] of the MLP's inner matrix; the head's vocabulary is divided in proportion.
        tokens: [rank] of the sequence.
        modes: [rank] the name of the power mode it runs in, which is a device; "" for its own. None: all in their own.
    """

    layers: tuple[int, int]
    ranks: tuple[int, ...]
    samples: tuple[int, ...]
    in_flight: int
    heads: tuple[int, ...] = ()
    columns: tuple[int, ...] = ()
    tokens: tuple[int, ...] = ()
    modes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not 0 <= self.layers[0] < self.layers[1]:
            raise PlanError(f"stage of ranks {self.ranks}: layers must be a non-empty range, got {self.layers}")
        if not self.ranks or len(set(self.ranks)) != len(self.ranks):
            raise PlanError(f"stage {self.layers}: needs distinct ranks, got {self.ranks}")
        if len(self.samples) != len(self.ranks) or min(self.samples) < 1:
            raise PlanError(
                f"stage {self.layers}: needs at least one sample for each of the ranks {self.ranks}, "
                f"got {self.samples} (leave a rank out instead of giving it nothing)"
            )
        for name in ("heads", "columns", "tokens"):
            if (given := getattr(self, name)) and (len(given) != len(self.ranks) or min(given) < 1):
                raise PlanError(
                    f"stage {self.layers}: needs at least one of the {name} for each of the ranks {self.ranks}, "
                    f"got {given} (leave a rank out instead of giving it nothing)"
                )
        if self.modes and len(self.modes) != len(self.ranks):
            raise PlanError(f"stage {self.layers}: needs a mode for each of the ranks {self.ranks}, got {self.modes}")
        if bool(self.heads) != bool(self.columns):
            raise PlanError(f"stage {self.layers}: heads and columns are divided together, or neither")
        if self.in_flight < 1:
            raise PlanError(f"stage {self.layers}: in_flight must be at least 1, got {self.in_flight}")

    @property
    def divides_blocks(self) -> bool:
        """Whether ranks divide blocks; else they divide samples."""
        return bool(self.heads or self.tokens)

    def sample_range(self, rank: int) -> tuple[int, int]:
        """The half-open range of a micro-batch's samples that the rank computes."""
        i = self.ranks.index(rank)
        return (0, self.samples[i]) if self.divides_blocks else ranges(self.samples)[i]

    def overlaps(self, rank: int, other: "Stage") -> Iterator[tuple[int, tuple[int, int]]]:
        """Ranks of the other stage that hold some of this rank's samples, and which."""
        start, stop = self.sample_range(rank)
        for peer in other.ranks:
            first, last = other.sample_range(peer)
            if max(start, first) < min(stop, last):
                yield peer, (max(start, first), min(stop, last))

    def token_range(self, rank: int) -> tuple[int, int]:
        """The half-open range of the sequence that is the rank's own; (0, 0) where tokens are not divided."""
        return ranges(self.tokens)[self.ranks.index(rank)] if self.tokens else (0, 0)

    def share(self, rank: int) -> Share:
        """The rank's shares of heads and columns, and how many tokens are its own."""
        if not self.divides_blocks:
            return WHOLE
        i = self.ranks.index(rank)
        heads, columns = ((of[i] / sum(of) if of else 1.0) for of in (self.heads, self.columns))
        return Share(heads=heads, columns=columns, tokens=self.tokens[i] if self.tokens else None)

    def unit_range(self, block: Block, rank: int) -> tuple[int, int]:
        """The half-open range of the block's heads or columns that is the rank's; (0, 0) where it has all of them.

        A vocabulary is divided as ``columns`` are, in whole columns by largest remainders, and nobody goes without.
        """
        if not self.heads or not block.divisible:
            return (0, 0)
        shares = self.heads if block.split_by is SplitBy.HEADS else self.columns
        return ranges(at_least_one(block.splits, shares))[self.ranks.index(rank)]


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
        return " | ".join(
            f"layers {s.layers[0]}-{s.layers[1] - 1} on "
            + " ".join(f"r{r}:{_share_text(s, i)}{_mode_text(s, i)}" for i, r in enumerate(s.ranks))
            + f" K={s.in_flight}"
            for s in self.stages
        )

    @property
    def ranks(self) -> tuple[int, ...]:
        """All ranks that work, stage by stage."""
        return tuple(rank for stage in self.stages for rank in stage.ranks)

    @property
    def modes(self) -> dict[int, str]:
        """By rank, the name of the power mode it runs in; only ranks that leave their own."""
        return {r: mode for stage in self.stages for r, mode in zip(stage.ranks, stage.modes, strict=False) if mode}

    def in_modes(self, cluster: Cluster, modes: Mapping[str, Sequence[Device]]) -> Cluster:
        """The cluster with every rank in the plan's mode; ``modes`` are the other modes of devices by their names.

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
        """Samples per iteration."""
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
        if apart := self.tied_apart(model, workload):
            raise PlanError(apart)
        for stage in self.stages:
            _check_shares(stage, model, workload)
        for rank, mode in self.modes.items():
            if cluster.devices[rank].name != mode:
                raise PlanError(
                    f"plan runs rank {rank} in mode {mode!r}, the cluster has {cluster.devices[rank].name!r} there "
                    "(take the cluster in the plan's modes: Plan.in_modes)"
                )
        for rank, held in self.memory(model, cluster, workload).items():
            self._check_memory(rank, held, cluster.devices[rank], head_room)

    def memory(self, model: Model, cluster: Cluster, workload: Workload) -> dict[int, Memory]:
        """What every rank that works needs, at its most."""
        return {
            rank: held_bytes(
                model,
                stage.layers,
                samples=samples,
                in_flight=min(stage.in_flight, self.micro_batches),
                micro_batches=self.micro_batches,
                replicas=len(stage.ranks),
                context_bytes=cluster.devices[rank].context_bytes,
                workload=workload,
                share=stage.share(rank),
            )
            for stage in self.stages
            for rank, samples in zip(stage.ranks, stage.samples, strict=True)
        }

    def tied_apart(self, model: Model, workload: Workload) -> str:
        """Which trained weights two stages would share, and the ways out; no words if there are none.

        Their gradients would have to be exchanged in every iteration, which no strategy does. Frozen weights and
        inference are fine: each stage holds a copy.
        """
        for one, other in trained_ties(model, workload):
            if self._stage_of(one) != self._stage_of(other):
                owner, layer = model.layers[one], model.layers[other]
                shared = next(block.tied_bytes for block in layer.blocks if block.tied_to == owner.name)
                return (
                    f"layers {owner.name} and {layer.name} share {show(shared, 'B')} of trained weights "
                    "and lie in different stages, which would have to exchange gradients "
                    "(put both into one stage, freeze them, or untie them: model.tied=false)"
                )
        return ""

    def _stage_of(self, layer: int) -> int:
        return next(p for p, stage in enumerate(self.stages) if layer < stage.layers[1])

    def _check_memory(self, rank: int, held: Memory, device: Device, head_room: float) -> None:
        budget = device.budget_bytes(head_room)
        if held.total_bytes <= budget:
            return
        stage, (term, most) = next(stage for stage in self.stages if rank in stage.ranks), held.largest
        share, ways_out = _share_text(stage, stage.ranks.index(rank)), "other shares, or more ranks"
        if not stage.divides_blocks:
            in_flight = min(stage.in_flight, self.micro_batches)
            share, ways_out = f"{share} samples and {in_flight} in flight", "fewer layers, samples or in flight"
        kept_free = f" ({head_room:.4g} of it kept free)" if head_room else ""
        raise PlanError(
            f"{OUT_OF_MEMORY}: rank {rank} ({device.name}) needs {show(held.total_bytes, 'B')} for layers "
            f"{stage.layers}, {share} (largest: {term}, {show(most, 'B')}), "
            f"and has {show(budget, 'B')}{kept_free} ({ways_out})"
        )

    def to_json(self) -> str:
        """The plan as JSON text."""
        data = asdict(self) | {"proof": self.proof and self.proof.to_dict()}
        for stage in data["stages"]:
            if not stage["modes"]:
                del stage["modes"]  # most plans know none
        return json.dumps(data, indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str) -> "Plan":
        """Read what :meth:`to_json` wrote."""
        data: dict[str, Any] = json.loads(text)
        stages = tuple(_read_stage(stage) for stage in data["stages"])
        return cls(**{**data, "stages": stages, "proof": Proof.from_dict(data["proof"])})


def trained_ties(model: Model, workload: Workload) -> list[tuple[int, int]]:
    """Pairs of layers, by index, that share weights which the workload trains: the owner's first."""
    if not workload.trains:
        return []
    place, found = {layer.name: i for i, layer in enumerate(model.layers)}, []
    for layer in model.layers:
        for block in layer.blocks:
            if not block.tied_bytes:
                continue
            if block.tied_to not in place:
                raise PlanError(f"{model.name}: layer {layer.name} is tied to {block.tied_to!r}, which it lacks")
            owner = model.layers[place[block.tied_to]]
            # What a fine-tuning technique adds to the owner's layer is not what is shared.
            if any(part.trainable for part in (block, *owner.blocks) if part.kind is not BlockKind.SIDE):
                found.append((place[owner.name], place[layer.name]))
    return found


def _share_text(stage: Stage, i: int) -> str:
    """``5`` samples; or ``4h 512c 95t``: heads, columns and tokens."""
    if not stage.divides_blocks:
        return str(stage.samples[i])
    parts = ((stage.heads, "h"), (stage.columns, "c"), (stage.tokens, "t"))
    return " ".join(f"{shares[i]}{letter}" for shares, letter in parts if shares)


def _mode_text(stage: Stage, i: int) -> str:
    return f"@{stage.modes[i]}" if stage.modes and stage.modes[i] else ""


def _check_shares(stage: Stage, model: Model, workload: Workload) -> None:
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


def _read_stage(data: dict[str, Any]) -> Stage:
    fields: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in data.items()}
    return Stage(**fields)


class Depth(StrEnum):
    """How many micro-batches a stage forwards before its first backward."""

    GPIPE = "gpipe"
    ONE_F_ONE_B = "one_f_one_b"
    ASTEROID = "asteroid"


def in_flight(depth: Depth, *, stage: int, stages: int, micro_batches: int) -> int:
    """The warm-up depth K_p of stage p of P, never more than the M micro-batches.

    GPipe: M (Huang et al., 2019). 1F1B: P - p (PipeDream-Flush, Narayanan et al., 2021). Asteroid: 2(P - p) - 1
    (arXiv 2408.08015: communication steps count as pipeline slots).
    """
    depths = {Depth.GPIPE: micro_batches, Depth.ONE_F_ONE_B: stages - stage, Depth.ASTEROID: 2 * (stages - stage) - 1}
    return min(depths[Depth(depth)], micro_batches)


def make_stages(
    *,
    cuts: Sequence[int],
    groups: Sequence[Sequence[int]],
    samples: Sequence[Sequence[int]],
    depth: Depth,
    micro_batches: int,
) -> tuple[Stage, ...]:
    """Stages from layer boundaries (``cuts`` has one entry more than ``groups``), ranks and samples."""
    return tuple(
        Stage(
            layers=(cuts[p], cuts[p + 1]),
            ranks=tuple(groups[p]),
            samples=tuple(samples[p]),
            in_flight=in_flight(depth, stage=p, stages=len(groups), micro_batches=micro_batches),
        )
        for p in range(len(groups))
    )
