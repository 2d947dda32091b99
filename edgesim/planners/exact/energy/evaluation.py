"""What does a choice of stages in power modes take exactly? Its plan, seconds and joules by the closed forms."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from edgesim.cluster import Topology
from edgesim.plan import Plan, Stage
from edgesim.planners.cost_models.pipeline_energy import above_idle_j, air_s
from edgesim.planners.cost_models.pipeline_time import iteration_s
from edgesim.planners.cost_models.stage_costs import StageCosts
from edgesim.planners.exact.energy.candidates import PowerCandidates
from edgesim.planners.exact.energy.power_modes import ModeExpansion
from edgesim.planners.exact.pipelines.label_setting import Choice
from edgesim.proof import Proof


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """What a choice takes exactly: ``by_board_j`` of every board that counts, ``channel_s`` of a shared channel.

    ``above_j`` of its joules are above idle; the others are ``idle_w`` all the time, with what boards always draw.
    """

    seconds: float
    joules: float
    above_j: float
    idle_w: float
    by_board_j: Mapping[int, float]
    channel_s: float


def evaluation_of(modes: ModeExpansion, costs: StageCosts, plan: Plan, *, idle_devices: bool) -> Evaluation:
    """Return what a plan of the larger problem's ranks takes, exactly."""
    seconds, above = iteration_s(modes.expanded, plan, costs), above_idle_j(costs, plan)
    boards = {modes.board_of[rank]: (modes.expanded.cluster.devices[rank], above.get(rank, 0.0)) for rank in plan.ranks}
    if idle_devices:
        boards = {rank: (board, 0.0) for rank, board in enumerate(modes.original.cluster.devices)} | boards
    by_board_j = {rank: board.power.always_w * seconds + joules for rank, (board, joules) in boards.items()}
    radio = modes.expanded.cluster.network.topology is Topology.RADIO
    return Evaluation(
        seconds=seconds,
        joules=sum(by_board_j.values()),
        by_board_j=by_board_j,
        above_j=sum(above.values()),
        idle_w=sum(board.power.always_w for board, _ in boards.values()),
        channel_s=air_s(modes.expanded, plan) if radio else 0.0,
    )


class Evaluator:
    """Evaluates choices of a problem's candidates by the closed forms, each once: all are kept in ``evaluated``."""

    def __init__(self, modes: ModeExpansion, candidates: PowerCandidates, *, planner: str, idle_devices: bool) -> None:
        self.modes, self.candidates = modes, candidates
        self.planner, self.idle_devices = planner, idle_devices
        self.evaluated: dict[Choice, Evaluation] = {}

    def evaluate(self, choice: Choice) -> Evaluation:
        """Return what the choice's plan takes, exactly."""
        if choice not in self.evaluated:
            plan, costs = self.in_all_modes(choice), self.candidates.costs
            self.evaluated[choice] = evaluation_of(self.modes, costs, plan, idle_devices=self.idle_devices)
        return self.evaluated[choice]

    def in_all_modes(self, choice: Choice) -> Plan:
        """Return the choice as a plan of the larger problem's ranks; boards of a type in their order."""
        columns, c = self.candidates.columns, self.candidates
        free = [list(range(len(boards))) for boards in self.modes.types]
        stages = []
        for number in choice:
            shares = c.shares(int(columns.group[number]), int(columns.split[number]))
            ranks = tuple(c.kinds[kind][free[self.modes.type_of[kind]].pop(0)] for kind, _ in shares)
            stages.append(
                Stage(
                    layers=(int(columns.start[number]), int(columns.stop[number])),
                    ranks=ranks,
                    samples=tuple(n for _, n in shares),
                    in_flight=int(columns.depth[number]),
                )
            )
        return self.modes.original.plan(planner=self.planner, stages=stages)

    def plan(self, choice: Choice, proof: Proof) -> Plan:
        """Return the plan of boards in modes."""
        draft = self.in_all_modes(choice)
        return replace(
            draft,
            stages=tuple(map(self.modes.stage, draft.stages)),
            proof=proof,
            predicted_s=self.evaluate(choice).seconds,
        )
