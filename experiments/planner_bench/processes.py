"""How is a planner stopped that takes too long or too much? Each attempt has a process, which an alarm ends.

Processes are forked from a server that has loaded the library once, so that one starts in milliseconds and its memory
is its own. The kernel's alarm also ends a planner inside a solver written in C, and needs nobody who waits for it: if
the bench is killed, no planner outlives its limit. Solvers that a planner started are in its group and end with it.
"""

import multiprocessing
import os
import signal
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess

from experiments.configuration.command_line import sentence
from experiments.planner_bench.attempt import Attempt, AttemptStatus, Row, pose, size, tried

_HERE = "experiments.planner_bench.processes"


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """An attempt under way."""

    attempt: Attempt
    process: BaseProcess
    rows: Connection

    def end(self) -> None:
        """End the process, and whatever it started."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid or 0, signal.SIGKILL)
        self.process.kill()  # it may not have formed its group yet
        self.process.join()
        self.rows.close()


def attempted(attempts: Sequence[Attempt], *, workers: int, limit_s: float) -> Iterator[tuple[Attempt, Row]]:
    """Each attempt with its row as it ends, at most so many at a time, each planner at most so long."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([_HERE])
    waiting, running = deque(attempts), list[Running]()
    try:
        while waiting or running:
            while waiting and len(running) < workers:
                running.append(_start(context, waiting.popleft(), limit_s))
            ended = wait([each.process.sentinel for each in running])
            for each in [each for each in running if each.process.sentinel in ended]:
                running.remove(each)
                yield each.attempt, _row(each, limit_s)
    finally:
        for each in running:
            each.end()


def _start(context: multiprocessing.context.ForkServerContext, attempt: Attempt, limit_s: float) -> Running:
    rows, child_rows = context.Pipe(duplex=False)
    process = context.Process(target=_work, args=(child_rows, attempt, limit_s), daemon=True)
    process.start()
    child_rows.close()
    return Running(attempt=attempt, process=process, rows=rows)


def _work(rows: Connection, attempt: Attempt, limit_s: float) -> None:
    """In the child: first how large the problem is, then what came of it. An alarm ends it in between."""
    os.setsid()
    try:
        posed = pose(attempt)
    except Exception as error:  # a competitor's or a case's overrides are wrong: that is its row
        rows.send({"status": str(AttemptStatus.DIED), "reason": f"{type(error).__name__}: {sentence(error)}"})
        return
    rows.send(size(posed))
    signal.setitimer(signal.ITIMER_REAL, limit_s)
    rows.send(tried(posed))


def _row(ended: Running, limit_s: float) -> Row:
    """What the process said before it ended, and why it said no more."""
    row: Row = ended.attempt.names | {"limit_s": limit_s}
    with suppress(EOFError):
        while True:
            row |= ended.rows.recv()
    ended.end()
    if "status" not in row:
        row |= _silent(ended.process.exitcode, limit_s)
    return row


def _silent(code: int | None, limit_s: float) -> Row:
    if code == -signal.SIGALRM:
        return {"status": str(AttemptStatus.LATE), "reason": f"no plan within {limit_s:g} s (raise --time-limit)"}
    how = f"signal {-code}" if code is not None and code < 0 else f"exit code {code}"
    return {"status": str(AttemptStatus.DIED), "reason": f"its process ended with {how} (out of memory?)"}
