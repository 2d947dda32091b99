"""Which blocks cost the same? Those with equal formulas and equal points in the profile: one is asked for all."""

from collections import defaultdict

from edgesim.planners.problem import Problem
from edgesim.profile import Profile


def first_of_equals(problem: Problem) -> dict[str, str]:
    """``layer/block`` to the first whose costs and whose points in the profile are the same."""
    known = _points_by_block(problem.profile)
    first: dict[object, str] = {}
    names: dict[str, str] = {}
    for layer in problem.model.layers:
        for block in layer.blocks:
            for one in (block, *block.parts):
                name = f"{layer.name}/{one.name}"
                points = tuple(known[f"{layer.name}/{part.name}"] for part in (one, *one.parts))
                names[name] = first.setdefault((one, points), name)
    return names


def _points_by_block(profile: Profile) -> defaultdict[str, frozenset[tuple[object, ...]]]:
    points: defaultdict[str, set[tuple[object, ...]]] = defaultdict(set)
    for p in profile.points:
        points[p.block].add((p.device, p.op, p.samples, p.tokens, p.share, p.keys, p.seconds))
    return defaultdict(frozenset, {name: frozenset(of) for name, of in points.items()})
