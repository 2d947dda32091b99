"""When does each rank run what? One file per parallelism: a plan and its model in, a checked schedule out."""

from collections.abc import Callable

from edgesim.model import Model
from edgesim.plan import Plan
from edgesim.schedule import Schedule
from edgesim.workload import Workload

Strategy = Callable[[Plan, Model, Workload], Schedule]
