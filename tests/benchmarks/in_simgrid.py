"""How long does SimGrid's C++ engine take for the same iteration? Our programs, for a program that it is linked to.

Debian: apt install libsimgrid-dev g++. Nothing of SimGrid is copied; its model of links is set to be ours.
"""

import subprocess
from pathlib import Path
from shutil import which

from edgesim.schedule import COMPUTE, Op, Schedule, Task

SOURCE = Path(__file__).parent / "simgrid" / "iteration.cpp"
HEADER = Path("/usr/include/simgrid/s4u.hpp")
FLOP_PER_S = 1e9
MISSING = "SimGrid and a C++ compiler are not installed (Debian: apt install libsimgrid-dev g++)"


def is_installed() -> bool:
    """Whether there is something to compare with."""
    return which("g++") is not None and HEADER.exists()


def compiled(folder: Path) -> Path:
    """The program, for the processor at hand."""
    program = folder / "iteration"
    options = ["-O3", "-march=native", str(SOURCE), "-lsimgrid", "-o", str(program)]
    subprocess.run(["g++", *options], check=True)
    return program


class SimGrid:
    """A schedule of computations and messages as SimGrid plays it, on equal NICs."""

    def __init__(
        self, program: Path, schedule: Schedule, *, seconds: dict[Op, float], bytes_per_s: float, latency_s: float
    ) -> None:
        lines = [f"{schedule.ranks} {FLOP_PER_S} {bytes_per_s} {latency_s}"]
        for tasks in schedule.programs:
            lines += ["rank", *(_line(task, seconds) for task in tasks)]
        self.program, self.text = program, "\n".join(lines)

    def play(self, rounds: int) -> tuple[float, list[float]]:
        """Simulated seconds of the iteration, and the seconds that each round took."""
        words = [str(self.program), str(rounds), "--log=root.thres:warning"]
        done = subprocess.run(words, input=self.text, capture_output=True, text=True, check=True)
        makespan_s, *took_s = map(float, done.stdout.split())
        return makespan_s, took_s


def _line(task: Task, seconds: dict[Op, float]) -> str:
    if task.op in COMPUTE:
        return f"compute {seconds[task.op] * FLOP_PER_S}"
    (peer,) = task.peers
    if task.op is Op.SEND:
        return f"send {peer} {task.nbytes} {task.payload}{task.rank}-{peer}"
    return f"receive {task.payload}{peer}-{task.rank}"
