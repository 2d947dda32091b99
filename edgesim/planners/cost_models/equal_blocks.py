"""Which blocks cost the same? Those with equal formulas and equal points in the profile: one is asked for all."""

from collections import defaultdict

from edgesim.model import Block
from edgesim.planners.problem import Problem
from edgesim.profile import Profile


def first_of_equals(problem: Problem) -> dict[str, str]:
    """Map each ``layer/block`` to the first whose costs and whose points in the profile are the same."""
    known = _points_by_block(problem.profile)
    same = _EqualBlocks()
    first: dict[object, str] = {}
    names: dict[str, str] = {}
    for layer in problem.model.layers:
        for block in layer.blocks:
            for one in (block, *block.parts):
                name = f"{layer.name}/{one.name}"
                points = tuple(known[f"{layer.name}/{part.name}"] for part in (one, *one.parts))
                names[name] = first.setdefault((same.number(one), points), name)
    return names


class _EqualBlocks:
    """Numbers blocks, equal ones alike; a block that stands in many layers is hashed once, which takes long."""

    def __init__(self) -> None:
        self._equal: dict[Block, int] = {}
        self._same: dict[int, int] = {}

    def number(self, block: Block) -> int:
        """The block's number; the block must live as long as this does."""
        if id(block) not in self._same:
            self._same[id(block)] = self._equal.setdefault(block, len(self._equal))
        return self._same[id(block)]


def _points_by_block(profile: Profile) -> defaultdict[str, frozenset[tuple[object, ...]]]:
    points: defaultdict[str, set[tuple[object, ...]]] = defaultdict(set)
    for p in profile.points:
        points[p.block].add((p.device, p.op, p.samples, p.tokens, p.share, p.keys, p.seconds))
    return defaultdict(frozenset, {name: frozenset(of) for name, of in points.items()})
