"""What does CBC find? A process that reads and writes files, and is believed only where its log proves it."""

import re
import subprocess
from pathlib import Path
from shutil import which
from time import perf_counter

import pulp

from edgesim.planners.solvers.milp import Answer, Question, SolverError

_NUMBER = r"(-?[\d.]+(?:e[+-]?\d+)?)"
_BEST_POSSIBLE = re.compile(rf"best possible {_NUMBER}")  # printed with 8 digits
_LOWER_BOUND = re.compile(rf"^Lower bound:\s+{_NUMBER}", re.M)  # printed with 3 decimals
_VERSION = re.compile(r"^Version: (\S+)", re.M)


def executable() -> str:
    """The CBC that came with PuLP, else the one on the path. Raises SolverError if there is neither."""
    own = str(pulp.PULP_CBC_CMD.pulp_cbc_path)
    if found := which(own) or which("cbc"):
        return found
    raise SolverError(f"there is no CBC at {own}, and none on the path")


class Cbc:
    """A CBC process."""

    def __init__(self, question: Question) -> None:
        self.question, self.began_s = question, perf_counter()
        folder = question.path.parent
        self.log, self.solution = folder / "cbc.log", folder / "cbc.sol"
        start = [] if not question.start else ["-mips", str(_write_start(question, folder / "cbc.mst"))]
        command = [
            executable(),
            str(question.path),
            *start,
            "-timeMode",
            "elapsed",
            "-sec",
            f"{question.time_limit_s:g}",
            "-ratio",
            f"{question.gap:g}",
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

    def finish(self) -> Answer:
        """Wait, and read what it wrote. Raises SolverError if it crashed."""
        code = self.process.wait()
        log = self.log.read_text(errors="replace")
        if not self.stopped and (code != 0 or not self.solution.exists()):
            last = next((line for line in reversed(log.splitlines()) if line.strip()), "nothing")
            raise SolverError(f"ended with code {code} and said last: {last.strip()}")
        if code != 0 or not self.solution.exists():
            return self._answer(log, proven=False, found=None)
        status, _, rows = self.solution.read_text().partition("\n")
        if status.startswith("Unbounded"):
            raise SolverError("found the problem unbounded")
        if status.startswith(("Infeasible", "Integer infeasible")):
            return self._answer(log, proven=True, found=None)
        if "no integer solution" in status or not status.startswith(("Optimal", "Stopped")):
            return self._answer(log, proven=False, found=None)
        return self._answer(log, proven=status.startswith("Optimal"), found=_read_values(rows, self.question))

    def _answer(self, log: str, *, proven: bool, found: dict[str, float] | None) -> Answer:
        version = match[1] if (match := _VERSION.search(log)) else ""
        seconds = perf_counter() - self.began_s
        solver, bound = f"CBC {version}".strip(), _bound(log)
        if found is None or not proven:
            return self.question.answer(solver=solver, seconds=seconds, proven=proven, bound=bound, found=found)
        best = self.question.answer(solver=solver, seconds=seconds, proven=True, bound=None, found=found).value
        assert best is not None, "there are values"
        # A search that ended within the gap proves at least that much, a search that ended proves the value itself.
        within = self.question.gap * abs(best) if "within gap tolerance" in log else 0.0
        least = best - self.question.constant - within
        return self.question.answer(
            solver=solver,
            seconds=seconds,
            proven=True,
            found=found,
            bound=least if bound is None else max(least, bound),
        )


def _bound(log: str) -> float | None:
    """The best bound that the log proves, less what printing may have added."""
    bounds = [float(text) for text in _BEST_POSSIBLE.findall(log)[-1:]]
    bounds = [bound - 1e-7 * abs(bound) for bound in bounds]
    bounds += [float(text) - 5e-4 for text in _LOWER_BOUND.findall(log)]
    bounds = [bound for bound in bounds if abs(bound) < 1e49]  # 1e50 is CBC's infinity
    return max(bounds, default=None)


def _write_start(question: Question, path: Path) -> Path:
    rows = [f"{i} {name} {value:.12g} 0" for i, (name, value) in enumerate(question.start.items())]
    path.write_text("\n".join(["Stopped on time - objective value 0", *rows, ""]))
    return path


def _read_values(rows: str, question: Question) -> dict[str, float]:
    """By names in the file; what is not listed is 0."""
    values = dict.fromkeys(question.variables, 0.0)
    for row in rows.splitlines():
        _, name, value, *_ = row.replace("**", " ").split()
        values[name] = float(value)
    return values
