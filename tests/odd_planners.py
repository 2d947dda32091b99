"""Planners that end as no planner should, for tests of the bench that must outlive them."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from edgesim.errors import InfeasibleError, PlanError
from edgesim.plan import Plan
from edgesim.planners.problem import Problem


def declines(problem: Problem) -> Plan:
    raise PlanError(f"not made for {problem.model.name} (take another)")


def finds_nothing(problem: Problem) -> Plan:
    raise InfeasibleError(f"nothing of {problem.model.name} fits (add devices)")


def has_a_bug(problem: Problem) -> Plan:
    return {}["no such key"]  # type: ignore[return-value]


def is_killed(problem: Problem) -> Plan:
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("this process is gone")


def never_ends(problem: Problem, *, note: str) -> Plan:
    """Waits for a solver that never ends, whose process it notes in a file."""
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"]) as solver:
        Path(note).write_text(str(solver.pid))
        solver.wait()
    time.sleep(600)
    raise AssertionError("nobody waits so long")
