"""What is a planner asked, and what may it answer? A problem in; a plan out, which is checked once, by ``ask``.

Planners know no seconds but the profile's, and no simulator: one that judges whole plans is handed the function.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, Protocol

from edgesim.cluster import Cluster, Device
from edgesim.errors import PlanError
from edgesim.model import Model
from edgesim.plan import Depth, Plan, Stage, make_stages
from edgesim.profile import BACKWARD, FORWARD, Profile
from edgesim.proof import Objective, Proof
from edgesim.workload import Workload

# Which ranks form each stage: one stage of all ranks, a stage per rank in rank order, two stages of half the ranks each
# (the first takes the odd one), or the ranks of every stage.
Groups = Literal["data", "pipeline", "halves"] | Sequence[Sequence[int]]
_TRY = "'data', 'pipeline', 'halves', or a list like [[0], [1, 2]]"

Modes = Mapping[str, Sequence[Device]]  # by a device's name, its other power modes
NO_MODES: Modes = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """What every planner is asked; ``head_room`` is the share of each device's memory that a plan must leave free."""

    model: Model
    cluster: Cluster
    profile: Profile
    workload: Workload
    head_room: float = 0.0
    # What is known to fit: a plan that was chosen among checked ones is checked no second time.
    _fitting: set[Plan] = field(default_factory=set, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.profile.model != self.model.name:
            raise ValueError(f"problem: the profile is of {self.profile.model}, the model is {self.model.name}")
        if not 0 <= self.head_room < 1:
            raise ValueError(f"problem: head_room must lie in [0, 1), got {self.head_room}")

    @property
    def ranks(self) -> range:
        """The ranks of the cluster."""
        return range(len(self.cluster.devices))

    def budget_bytes(self, rank: int) -> float:
        """Return the bytes of a device's memory that a plan may use: all but the head room."""
        return self.cluster.devices[rank].budget_bytes(self.head_room)

    def seconds(self, *, rank: int, layers: tuple[int, int], samples: int) -> float:
        """Return the seconds in which a rank computes one micro-batch of so many samples, in training backward too."""
        ops = (FORWARD, BACKWARD) if self.workload.trains else (FORWARD,)
        return sum(
            self.profile.layers_s(
                device=self.cluster.devices[rank].name,
                layers=self.model.layers[slice(*layers)],
                op=op,
                samples=samples,
                tokens=self.workload.tokens,
            )
            for op in ops
        )

    def _form(self, groups: str) -> tuple[tuple[int, ...], ...]:
        ranks = tuple(self.ranks)
        if groups == "data":
            return (ranks,)
        if groups == "pipeline":
            return tuple((rank,) for rank in ranks)
        if groups == "halves":
            if len(ranks) < 2:
                raise PlanError(
                    f"groups 'halves' need two ranks, cluster {self.cluster.name} has {len(ranks)} (try 'data')"
                )
            middle = (len(ranks) + 1) // 2
            return ranks[:middle], ranks[middle:]
        raise PlanError(f"unknown groups {groups!r} (try {_TRY})")

    def group(self, groups: Groups | None) -> tuple[tuple[int, ...], ...]:
        """Return the ranks of every stage. Raises PlanError for more stages than layers, or more ranks than samples."""
        if groups is None:
            raise PlanError("the strategy forms no groups of ranks (take planner even_blocks or proportional_blocks)")
        formed = self._form(groups) if isinstance(groups, str) else tuple(tuple(group) for group in groups)
        if not formed:
            raise PlanError(f"a plan without groups has no stages (try {_TRY})")
        if unknown := [rank for group in formed for rank in group if rank not in self.ranks]:
            raise PlanError(f"groups {formed} name ranks {unknown}; cluster {self.cluster.name} has {self.ranks}")
        if len(formed) > len(self.model.layers):
            raise PlanError(
                f"{len(formed)} stages need as many layers, {self.model.name} has {len(self.model.layers)} (form fewer)"
            )
        for group in formed:
            if surplus := group[self.workload.micro_batch_samples :]:
                raise PlanError(
                    f"rank {surplus[0]} would get no sample: group {group} shares micro-batches of "
                    f"{self.workload.micro_batch_samples} (leave a rank out, or enlarge the micro-batch)"
                )
        return formed

    def require_training(self, planner: str, *, instead: str) -> None:
        """Raise PlanError, naming the planners to take ``instead``, where the workload trains nothing."""
        if not self.workload.trains:
            raise PlanError(
                f"{planner} plans training; the workload's purpose is {self.workload.purpose} (take {instead})"
            )

    def let_all_work(self, planner: str) -> None:
        """Raise PlanError if not even a stage per layer, with a device per sample, could use all devices."""
        layers, samples = len(self.model.layers), self.workload.micro_batch_samples
        if len(self.ranks) > layers * samples:
            raise PlanError(
                f"{planner} uses every device, but {layers} stages of at most {samples} devices, one per sample, "
                f"cannot use {len(self.ranks)} (enlarge the micro-batch, or take fewer devices)"
            )

    def stages(
        self,
        *,
        cuts: Sequence[int],
        groups: Sequence[Sequence[int]],
        samples: Sequence[Sequence[int]],
        depth: Depth,
    ) -> tuple[Stage, ...]:
        """Return stages between cuts, each of a group of ranks with their samples, in the depth of a schedule."""
        micro_batches = self.workload.micro_batches
        return make_stages(cuts=cuts, groups=groups, samples=samples, depth=depth, micro_batches=micro_batches)

    def alone(self, *, planner: str, rank: int) -> Plan:
        """Return the plan of one rank that computes all layers of all samples, not yet checked."""
        samples = self.workload.micro_batch_samples
        stage = Stage(layers=(0, len(self.model.layers)), ranks=(rank,), samples=(samples,), in_flight=1)
        return self.plan(planner=planner, stages=(stage,))

    def plan(
        self,
        *,
        planner: str,
        stages: Iterable[Stage],
        proof: Proof | None = None,
        predicted_s: float | None = None,
    ) -> Plan:
        """Return the plan of these stages, not yet checked."""
        return Plan(
            model=self.model.name,
            stages=tuple(stages),
            micro_batches=self.workload.micro_batches,
            micro_batch_samples=self.workload.micro_batch_samples,
            planner=planner,
            proof=proof,
            predicted_s=predicted_s,
            profile_hash=self.profile.hash,
        )

    def check(self, plan: Plan) -> Plan:
        """Return the plan itself, if it fits; the same stages are checked only once. Raises PlanError."""
        unsigned = replace(plan, planner="", proof=None, predicted_s=None, profile_hash=None)
        if unsigned not in self._fitting:
            plan.check(self.model, self.cluster, self.workload, head_room=self.head_room)
            self._fitting.add(unsigned)
        return plan

    def in_modes_of(self, plan: Plan, modes: Modes) -> "Problem":
        """Return the problem whose devices are in the plan's power modes. Raises PlanError for one that they lack."""
        return replace(self, cluster=plan.in_modes(self.cluster, modes)) if plan.modes else self


def in_the_name_of(planner: str, plan: Plan, *, objective: Objective, value: float) -> Plan:
    """Return the plan as this planner's own, which is another planner with its options chosen."""
    return replace(plan, planner=planner, proof=Proof(method=planner, objective=objective, value=value))


class Planner(Protocol):
    """A way to decide, its options bound (``functools.partial(even, groups="data", depth=Depth.GPIPE)``)."""

    def __call__(self, problem: Problem, /) -> Plan:
        """Return a plan, which :func:`ask` checks. Raises PlanError or InfeasibleError, with the reason, to decline."""


def ask(planner: Planner, problem: Problem, *, modes: Modes = NO_MODES) -> Plan:
    """Return the planner's plan, checked: the one place where plans are, on their way from planners to players.

    A plan in power modes is checked for the devices in these modes, which ``modes`` lists by device. Raises PlanError
    for a plan that does not fit, and what the planner raises.
    """
    plan: object = planner(problem)
    if not isinstance(plan, Plan):
        raise PlanError(f"a planner must give a Plan, got a {type(plan).__name__} (return problem.plan(...))")
    return problem.in_modes_of(plan, modes).check(plan)
