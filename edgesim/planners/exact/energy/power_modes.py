"""What are a problem's devices in all their power modes? One larger problem, with every rank once in each mode.

Planners choose among its ranks as if modes were devices, and take no more of a type than there are boards. The network
is the boards': a mode sends and receives as its board does.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from edgesim.cluster import Cluster, Device, Network, Topology
from edgesim.errors import PlanError
from edgesim.plan import Stage
from edgesim.planners.cost_models.pipeline_energy import refuse_tails
from edgesim.planners.device_types import interchangeable
from edgesim.planners.problem import Modes, Problem


@dataclass(frozen=True, slots=True, kw_only=True)
class ModeExpansion:
    """A problem, and the larger one in which each of its ranks, the boards, is there once in every mode.

    Attributes:
        original: the problem, whose ranks are the boards.
        expanded: the same problem with a rank for every mode of every board.
        board_of: [rank] the board's rank.
        types: [type] boards that can be swapped.
        kinds: [kind] ranks of one type in one mode.
        type_of: [kind] its type.
    """

    original: Problem
    expanded: Problem
    board_of: tuple[int, ...]
    types: tuple[tuple[int, ...], ...]
    kinds: tuple[tuple[int, ...], ...]
    type_of: tuple[int, ...]

    def stage(self, stage: Stage) -> Stage:
        """Return a stage of the larger problem's ranks as one of boards in modes."""
        boards = tuple(self.board_of[rank] for rank in stage.ranks)
        own, names = self.original.cluster.devices, [self.expanded.cluster.devices[rank].name for rank in stage.ranks]
        modes = tuple("" if name == own[board].name else name for board, name in zip(boards, names, strict=True))
        return replace(stage, ranks=boards, modes=modes if any(modes) else ())


def in_all_modes(problem: Problem, modes: Modes) -> ModeExpansion:
    """Return the larger problem. Raises PlanError for modes of a device that is not there, or two of one name."""
    known = {device.name for device in problem.cluster.devices}
    if unknown := [name for name in modes if name not in known]:
        raise PlanError(f"modes name {unknown[0]!r}, cluster {problem.cluster.name} has {', '.join(sorted(known))}")
    refuse_tails((*problem.cluster.devices, *(mode for of_device in modes.values() for mode in of_device)))
    types = interchangeable(problem.cluster)
    kinds, type_of, board_of, devices = list[tuple[int, ...]](), list[int](), list[int](), list[Device]()
    for number, boards in enumerate(types):
        own = problem.cluster.devices[boards[0]]
        for mode in (own, *_others(own, modes)):
            kinds.append(tuple(range(len(board_of), len(board_of) + len(boards))))
            type_of.append(number)
            board_of += boards
            devices += [mode] * len(boards)
    cluster = Cluster(
        name=problem.cluster.name, devices=tuple(devices), network=_between(problem.cluster.network, board_of)
    )
    return ModeExpansion(
        original=problem,
        expanded=replace(problem, cluster=cluster),
        board_of=tuple(board_of),
        types=types,
        kinds=tuple(kinds),
        type_of=tuple(type_of),
    )


def of_types(modes: ModeExpansion, types: Sequence[int]) -> ModeExpansion:
    """Return the same problem where only boards of these types work; all are there."""
    kept = [kind for kind, number in enumerate(modes.type_of) if number in types]
    place = {number: i for i, number in enumerate(types)}
    return replace(
        modes,
        types=tuple(modes.types[number] for number in types),
        kinds=tuple(modes.kinds[kind] for kind in kept),
        type_of=tuple(place[modes.type_of[kind]] for kind in kept),
    )


def _others(own: Device, modes: Modes) -> list[Device]:
    others = [mode for mode in modes.get(own.name, ()) if mode != own]
    names = [own.name, *(mode.name for mode in others)]
    if twice := [name for name in names if names.count(name) > 1]:
        raise PlanError(f"two modes of {own.name} are called {twice[0]!r} (the profile knows devices by their names)")
    return others


def _between(network: Network, board_of: Sequence[int]) -> Network:
    """Return the network with its ranks repeated; two modes of one board, which never meet, have its best link."""
    latency_s = tuple(tuple(_entry(network.latency_s, a, b, best=min) for b in board_of) for a in board_of)
    if network.topology is Topology.SWITCHED:
        rates = tuple(tuple(row[board] for board in board_of) for row in network.bytes_per_s)
    else:
        rates = tuple(tuple(_entry(network.bytes_per_s, a, b, best=max) for b in board_of) for a in board_of)
    return replace(network, bytes_per_s=rates, latency_s=latency_s)


def _entry(matrix: Sequence[Sequence[float]], a: int, b: int, *, best: Callable[[list[float]], float]) -> float:
    others = [value for board, value in enumerate(matrix[a]) if board != a]
    return matrix[a][b] if a != b or not others else best(others)
