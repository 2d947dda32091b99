"""Where do the seconds of a trace come from, and which cause makes the difference between two?"""

from edgesim.explanation.attribution import Attribution, attribute
from edgesim.explanation.breakdown import breakdown
from edgesim.explanation.causes import Cause, CauseShare, Term, sum_by_place
from edgesim.explanation.critical_path import PathStep, critical_path
from edgesim.explanation.slower_than_others import Blame, blames
from edgesim.explanation.swaps import swaps
from edgesim.explanation.varying import drawn_makespans

__all__ = [
    "Attribution",
    "Blame",
    "Cause",
    "CauseShare",
    "PathStep",
    "Term",
    "attribute",
    "blames",
    "breakdown",
    "critical_path",
    "drawn_makespans",
    "sum_by_place",
    "swaps",
]
