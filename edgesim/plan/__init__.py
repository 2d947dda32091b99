"""Where does everything live? Stages of layers on ranks, samples per rank, and how many micro-batches are in flight."""

from edgesim.plan.depth import Depth, in_flight
from edgesim.plan.fit import tied_apart, trained_ties
from edgesim.plan.plan import Plan
from edgesim.plan.stage import Stage, make_stages

__all__ = [
    "Depth",
    "Plan",
    "Stage",
    "in_flight",
    "make_stages",
    "tied_apart",
    "trained_ties",
]
