"""What happens to devices and links while the work runs? A seed and events."""

from edgesim.scenario.jitter import Jitter
from edgesim.scenario.scenario import Event, Scenario
from edgesim.scenario.slowdown import Slowdown
from edgesim.scenario.walk import Walk

__all__ = ["Event", "Jitter", "Scenario", "Slowdown", "Walk"]
