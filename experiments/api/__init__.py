"""How does a Python script ask for a run, a comparison or a sweep? Through the front door of ``import edgesim``."""

from experiments.api.calibrating import calibrate
from experiments.api.comparison import Comparison, compare
from experiments.api.loading import (
    load_cluster,
    load_device,
    load_method,
    load_model,
    load_planner,
    load_profile,
    load_scenario,
    load_strategy,
    load_workload,
)
from experiments.api.result import Result
from experiments.api.runs import choices, execute, make_plan, simulate
from experiments.api.sweeping import SweepTable, sweep
from experiments.api.words import Choice
from experiments.execution.calibration import Calibration

__all__ = [
    "Calibration",
    "Choice",
    "Comparison",
    "Result",
    "SweepTable",
    "calibrate",
    "choices",
    "compare",
    "execute",
    "load_cluster",
    "load_device",
    "load_method",
    "load_model",
    "load_planner",
    "load_profile",
    "load_scenario",
    "load_strategy",
    "load_workload",
    "make_plan",
    "simulate",
    "sweep",
]
