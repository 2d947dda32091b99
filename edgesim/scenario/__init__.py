"""What happens to devices and links while the work runs? A seed and events."""

from edgesim.scenario.jitter import Jitter
from edgesim.scenario.membership import Join, Leave, Loss, LossKind, Membership
from edgesim.scenario.moment import Moment
from edgesim.scenario.outage import Outage
from edgesim.scenario.poisson import poisson_losses
from edgesim.scenario.scenario import NOTHING_HAPPENS, Event, Scenario
from edgesim.scenario.slowdown import Slowdown
from edgesim.scenario.walk import Walk

__all__ = [
    "NOTHING_HAPPENS",
    "Event",
    "Jitter",
    "Join",
    "Leave",
    "Loss",
    "LossKind",
    "Membership",
    "Moment",
    "Outage",
    "Scenario",
    "Slowdown",
    "Walk",
    "poisson_losses",
]
