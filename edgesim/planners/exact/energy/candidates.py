"""Which stages could a pipeline in power modes have, and what does each draw? Candidates with joules beside seconds.

A kind of devices is a type of boards in one mode; rows count the boards. All ways to share a micro-batch among kinds
are candidates, because the least energy may be that of a slower way. Left out are those that another one of the same
boards, layers and position dominates in everything that rows, objective and limits see.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from itertools import combinations_with_replacement

import numpy as np
from numpy.typing import NDArray

from edgesim.planners.exact.all_shares import AllSharesCandidates
from edgesim.planners.exact.energy.candidate_energy import StageEnergy
from edgesim.planners.exact.energy.power_modes import ModeExpansion
from edgesim.planners.exact.pipelines.candidate_links import Floats, Ints, Loads
from edgesim.planners.exact.pipelines.candidates import Group, PipelineFamily
from edgesim.planners.exact.pipelines.columns import Columns
from edgesim.planners.planning_time import require_time
from edgesim.profile import BACKWARD, FORWARD

Boards = tuple[int, ...]  # [type] how many
STRONG = 16  # candidates of every range that others are compared with
SEEN = ("sent_s", "received_s", "returned_s", "taken_back_s", "link_forward_s", "link_backward_s", "link_s")


@dataclass(frozen=True, slots=True, kw_only=True)
class BoardOptions:
    """[option, range] modes and shares of the same boards: ``values`` by name, less is better, and where each fits."""

    group: Ints  # [option]
    split: Ints  # [option]
    furthest: Ints
    values: dict[str, Floats]


class PowerCandidates(AllSharesCandidates):
    """The candidates of a problem in modes.

    ``budget_j`` is [kind] what a device may draw per iteration, ``idle_w`` [kind] what a working device adds to the
    watts that all plans draw.
    """

    def __init__(
        self, modes: ModeExpansion, family: PipelineFamily, *, budget_j: Sequence[float], idle_w: Sequence[float]
    ) -> None:
        self.modes = modes
        super().__init__(modes.expanded, family, kinds=modes.kinds)
        self.energy, self.idle_w = StageEnergy(self, budget_j), idle_w

    def _devices(self) -> tuple[int, ...]:
        return tuple(map(len, self.modes.types))

    def boards(self, group: Group) -> Boards:
        """Return how many of each type the group takes."""
        count = [0] * len(self.devices)
        for kind, n in group:
            count[self.modes.type_of[kind]] += n
        return tuple(count)

    def _groups(self, replicas: int) -> Iterator[Group]:
        for size in range(1, replicas + 1):
            for chosen in combinations_with_replacement(range(len(self.kinds)), size):
                group = tuple((kind, chosen.count(kind)) for kind in dict.fromkeys(chosen))
                if all(n <= most for n, most in zip(self.boards(group), self.devices, strict=True)):
                    yield group

    @cached_property
    def columns(self) -> Columns:
        """All candidates that fit, have a place in a pipeline, and are not dominated; ``beside_s`` holds joules."""
        alike: dict[Boards, list[int]] = defaultdict(list)
        for g, group in enumerate(self.groups):
            alike[self.boards(group)].append(g)
        parts = list[Columns]()
        for boards, members in alike.items():
            require_time("listing stages in power modes")
            parts += self._of_boards(boards, members)
        return Columns.joined(parts, kinds=len(self.devices))

    def _of_boards(self, boards: Boards, members: Sequence[int]) -> Iterator[Columns]:
        """Yield the candidates of some boards in any modes, position by position."""
        options = self._options(members)
        fits = options.furthest > 0
        left = fits & ~_dominated(options, fits)
        for position in range(1, self.most + 1):
            which, where = np.nonzero(left & self._placed(sum(boards), position) & (options.furthest >= position))
            if len(which):
                yield self._read(options, boards, position, which, where)

    def _options(self, members: Sequence[int]) -> BoardOptions:
        group = np.concatenate([np.full(len(self.splits[g]), g) for g in members])
        split = np.concatenate([np.arange(len(self.splits[g])) for g in members])
        parts = [self._values(g) for g in members]
        return BoardOptions(
            group=group,
            split=split,
            furthest=np.concatenate([self._furthest_of(g) for g in members]),
            values={name: np.concatenate([part[name] for part in parts]) for name in parts[0]},
        )

    def _furthest_of(self, g: int) -> Ints:
        """Return, [way, range], the furthest position at which every replica can hold it."""
        group, size = self.groups[g], sum(n for _, n in self.groups[g])
        furthest: Ints = np.stack(
            [
                np.min([self.furthest(kind, int(s), size) for (kind, _), s in zip(group, way, strict=True)], axis=0)
                for way in self.splits[g]
            ]
        )
        return furthest

    def _values(self, g: int) -> dict[str, Floats]:
        """Return, [way, range], all that rows and the objective see of a group, by name; ``latest`` is negated."""
        group, splits = self.groups[g], self.splits[g]
        shape = len(splits), len(self.ranges)
        energy = self.energy.of_group(group, self.totals(group))
        loads: Loads = self.links.loads(group, splits, self.ranges)
        return {
            "forward_s": self._slowest(group, splits, FORWARD),
            "backward_s": self._slowest(group, splits, BACKWARD),
            "ending_s": np.broadcast_to(self._ending(group), shape),
            "joules": energy.joules,
            "latest": -energy.latest_s,
            "idle_w": np.full(shape, self.idle_w_of(group)),
            **{field.name: np.broadcast_to(getattr(loads, field.name), shape) for field in fields(loads)},
        }

    def idle_w_of(self, group: Group) -> float:
        """Return what the group's devices add to the watts that all plans draw."""
        return sum(self.idle_w[kind] * n for kind, n in group)

    def _read(self, options: BoardOptions, boards: Boards, position: int, which: Ints, where: Ints) -> Columns:
        cell, count, values = (which, where), len(where), options.values
        group = options.group[which]
        air_s = self.problem.workload.micro_batches * (values["air_forward_s"][cell] + values["air_backward_s"][cell])
        rings_s = np.array([self.ring_s(self.groups[g]) for g in range(len(self.groups))]) if air_s.any() else None
        return Columns(
            start=self.ranges[where, 0],
            stop=self.ranges[where, 1],
            position=np.full(count, position),
            group=group,
            split=options.split[which],
            depth=np.full(count, self.depths[position - 1]),
            **{name: values[name][cell] for name in ("forward_s", "backward_s", "ending_s")},
            **{field.name: values[field.name][cell] for field in fields(Loads)},
            replicas=np.tile(boards, (count, 1)),
            one_time_s=np.zeros(count),
            one_time_shared_s=np.zeros((count, 0)),
            beside_s=values["joules"][cell],
            latest_s=-values["latest"][cell],
            channel_s=air_s if rings_s is None else air_s + rings_s[group, where],
        )


def _dominated(options: BoardOptions, fits: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return, [option, range], which options are no better in anything than one of a few strong ones.

    The strong ones are the best by seconds, by joules, and by mixtures of the two.
    """
    v, everyone = options.values, np.arange(fits.shape[1])
    both_s = v["forward_s"] + v["backward_s"]
    dims = [v["forward_s"], v["backward_s"], v["ending_s"], v["joules"], v["idle_w"], -options.furthest]
    dims += [v[name] for name in SEEN]
    if np.isfinite(v["latest"]).any():
        dims.append(v["latest"])
    scores = [part / np.maximum(np.min(part, axis=0), 1e-300) for part in (both_s, v["joules"])]
    dominated, strong = ~fits, np.zeros_like(fits)
    for weight in np.linspace(0.0, 1.0, STRONG):
        score = np.where(dominated | strong, np.inf, weight * scores[0] + (1 - weight) * scores[1])
        best = np.argmin(score, axis=0)
        exists = np.isfinite(score[best, everyone])
        better = np.broadcast_to(exists, fits.shape).copy()
        for part in dims:
            better &= part >= part[best, everyone]
        better[best, everyone] = False
        strong[best[exists], everyone[exists]] = True
        dominated |= better
    return dominated & fits
