"""How far may a simulated time be off? An interval from what executed plans took, by split conformal prediction.

A residual is the logarithm of what an executed plan took over what was simulated. If a new plan is like these, no
place that its own residual takes among them is more likely than another, whatever their distribution (Vovk, Gammerman
and Shafer, Algorithmic Learning in a Random World, 2005): so the interval between two of them holds it as often as it
says.
"""

from edgesim.intervals.conformal import LEVEL, Interval, bounds, fewest
from edgesim.intervals.fastest import chances_of_fastest, difference, is_within_error
from edgesim.intervals.residuals import FORMAT, Residual, Residuals, WorkKind, kind_of

__all__ = [
    "FORMAT",
    "LEVEL",
    "Interval",
    "Residual",
    "Residuals",
    "WorkKind",
    "bounds",
    "chances_of_fastest",
    "difference",
    "fewest",
    "is_within_error",
    "kind_of",
]
