"""What does CBC find? A process that reads and writes files, and is believed only where its log proves it.

Behind its time limit no status of CBC is a proof: version 2.10.3 calls a problem "integer infeasible" if the limit has
cut its preprocessing short. What stands then are its values, and the bound in its log.
"""

import re
import subprocess
from pathlib import Path
from shutil import which
from time import perf_counter

import pulp

from edgesim.planners.solvers.milp import Milp, MilpResult, SolverError

_NUMBER = r"(-?[\d.]+(?:e[+-]?\d+)?)"
_BEST_POSSIBLE = re.compile(rf"best possible {_NUMBER}")  # printed with 8 digits
_LOWER_BOUND = re.compile(rf"^Lower bound:\s+{_NUMBER}", re.M)  # printed with 3 decimals
_VERSION = re.compile(r"^Version: (\S+)", re.M)


def executable() -> str:
    """The CBC that came with PuLP, else the one on the path. Raises SolverError if there is neither."""
    own = str(pulp.PULP_CBC_CMD.pulp_cbc_path)
    if path := which(own) or which("cbc"):
        return path
    raise SolverError(f"there is no CBC at {own}, and none on the path")


class Cbc:
    """A CBC process."""

    def __init__(self, milp: Milp) -> None:
        self.milp, self.began_s = milp, perf_counter()
        folder = milp.path.parent
        self.log, self.solution = folder / "cbc.log", folder / "cbc.sol"
        start = [] if not milp.start else ["-mips", str(_write_start(milp, folder / "cbc.mst"))]
        command = [
            executable(),
            str(milp.path),
            *start,
            "-timeMode",
            "elapsed",
            "-sec",
            f"{milp.time_limit_s:g}",
            "-ratio",
            f"{milp.gap:g}",
            "-solve",
            "-solution",
            str(self.solution),
        ]
        self.stopped = False
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def stop(self) -> None:
        """Kill it; what its log proves until then stands."""
        self.stopped = True
        self.process.kill()  # nothing happens to one that has ended

    def finish(self) -> MilpResult:
        """Wait, and read what it wrote. Raises SolverError if it crashed."""
        code = self.process.wait()
        in_time = perf_counter() - self.began_s < self.milp.time_limit_s
        log = self.log.read_text(errors="replace")
        if not self.stopped and (code != 0 or not self.solution.exists()):
            last = next((line for line in reversed(log.splitlines()) if line.strip()), "nothing")
            raise SolverError(f"ended with code {code} and said last: {last.strip()}")
        if code != 0 or not self.solution.exists():
            return self._result(log, proven=False, values=None)
        status, _, rows = self.solution.read_text().partition("\n")
        if status.startswith("Unbounded"):
            raise SolverError("found the problem unbounded")
        if status.startswith(("Infeasible", "Integer infeasible")):
            return self._result(log, proven=in_time, values=None)
        if "no integer solution" in status or not status.startswith(("Optimal", "Stopped")):
            return self._result(log, proven=False, values=None)
        proven = in_time and status.startswith("Optimal")
        return self._result(log, proven=proven, values=_read_values(rows, self.milp))

    def _result(self, log: str, *, proven: bool, values: dict[str, float] | None) -> MilpResult:
        version = match[1] if (match := _VERSION.search(log)) else ""
        seconds = perf_counter() - self.began_s
        solver, bound = f"CBC {version}".strip(), _bound(log)
        if values is None or not proven:
            return self.milp.result(solver=solver, seconds=seconds, proven=proven, bound=bound, values=values)
        best = self.milp.result(solver=solver, seconds=seconds, proven=True, bound=None, values=values).value
        assert best is not None, "there are values"
        # A search that ended within the gap proves at least that much, a search that ended proves the value itself.
        within = self.milp.gap * abs(best) if "within gap tolerance" in log else 0.0
        least = best - self.milp.constant - within
        return self.milp.result(
            solver=solver,
            seconds=seconds,
            proven=True,
            values=values,
            bound=least if bound is None else max(least, bound),
        )


def _bound(log: str) -> float | None:
    """The best bound that the log proves, less what printing may have added."""
    bounds = [float(text) for text in _BEST_POSSIBLE.findall(log)[-1:]]
    bounds = [bound - 1e-7 * abs(bound) for bound in bounds]
    bounds += [float(text) - 5e-4 for text in _LOWER_BOUND.findall(log)]
    bounds = [bound for bound in bounds if abs(bound) < 1e49]  # 1e50 is CBC's infinity
    return max(bounds, default=None)


def _write_start(milp: Milp, path: Path) -> Path:
    rows = [f"{i} {name} {value:.12g} 0" for i, (name, value) in enumerate(milp.start.items())]
    path.write_text("\n".join(["Stopped on time - objective value 0", *rows, ""]))
    return path


def _read_values(rows: str, milp: Milp) -> dict[str, float]:
    """By names in the file; what is not listed is 0."""
    values = dict.fromkeys(milp.variables, 0.0)
    for row in rows.splitlines():
        _, name, value, *_ = row.replace("**", " ").split()
        values[name] = float(value)
    return values
