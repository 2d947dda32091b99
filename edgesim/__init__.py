"""What are devices, models, plans, schedules and traces? The nouns, and what follows from them without a device.

The nouns. Players, planners and strategies are imported from their own packages, so that a device needs NumPy only.

What runs them (``simulate``, ``execute``, ``compare``, ``sweep``, ``load_model`` ...) is loaded when it is first asked
for, with all that it needs: see :mod:`edgesim.front_door` and :mod:`experiments.api`.
"""

from typing import TYPE_CHECKING as _TYPE_CHECKING
from typing import Any as _Any

from edgesim import front_door as _front_door
from edgesim.cluster import (
    Cluster,
    ComputeWatts,
    Device,
    EfficiencyCurve,
    Grid,
    Network,
    Origin,
    PowerModel,
    Rail,
    Topology,
)
from edgesim.errors import EdgesimError, InfeasibleError, PlanError, ProfileError, RunError, ScheduleError
from edgesim.metrics import Metrics, measure
from edgesim.model import Block, BlockKind, Cost, Layer, Model, SplitBy
from edgesim.plan import Depth, Plan, Stage
from edgesim.profile import Point, Profile, estimate
from edgesim.proof import Objective, Proof, Status
from edgesim.recording import Recording, read_recording
from edgesim.scenario import Jitter, Scenario, Slowdown, Walk
from edgesim.schedule import Op, Payload, Schedule, Task
from edgesim.trace import Reading, Span, Trace
from edgesim.units import si
from edgesim.workload import Optimiser, Purpose, Workload

if _TYPE_CHECKING:  # what editors offer
    from edgesim.front_door import *  # noqa: F403

__all__ = [
    "Block",
    "BlockKind",
    "Cluster",
    "ComputeWatts",
    "Cost",
    "Depth",
    "Device",
    "EdgesimError",
    "EfficiencyCurve",
    "Grid",
    "InfeasibleError",
    "Jitter",
    "Layer",
    "Metrics",
    "Model",
    "Network",
    "Objective",
    "Op",
    "Optimiser",
    "Origin",
    "Payload",
    "Plan",
    "PlanError",
    "Point",
    "PowerModel",
    "Profile",
    "ProfileError",
    "Proof",
    "Purpose",
    "Rail",
    "Reading",
    "Recording",
    "RunError",
    "Scenario",
    "Schedule",
    "ScheduleError",
    "Slowdown",
    "Span",
    "SplitBy",
    "Stage",
    "Status",
    "Task",
    "Topology",
    "Trace",
    "Walk",
    "Workload",
    "estimate",
    "measure",
    "read_recording",
    "si",
]


def __getattr__(name: str) -> _Any:
    """Find a front-door name, which is not kept here: nothing is loaded before someone asks."""
    if name in _front_door.__all__:
        return _front_door.find(name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    """List the front-door names as well."""
    return sorted({*globals(), *_front_door.__all__})
