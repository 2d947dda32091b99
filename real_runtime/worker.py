"""What does one rank do with an assignment? It builds its part, plays or rehearses it, and says what came out."""

import gc
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing, nullcontext
from functools import partial
from typing import Any

from edgesim.schedule import COMPUTE, Op, Task
from edgesim.work import Work
from real_runtime.assignment import Assignment, results_file
from real_runtime.blocks.alike_layers import AlikeLayers, work_of_row
from real_runtime.control.board import Board, State
from real_runtime.pacing import Dilation, Disk
from real_runtime.playing.iteration import Executor, IterationPlayer, KeepsOutputs
from real_runtime.statistic import Statistic
from real_runtime.transport import Transport
from real_runtime.weights.tensor_files import save_tensors


class Worker:
    """One rank, from assignment to assignment; ``make_executor`` makes what computes its part of one."""

    def __init__(
        self,
        rank: int,
        transport: Transport,
        dilation: Dilation,
        board: Board,
        make_executor: Callable[[Assignment, Sequence[Task]], Executor],
    ) -> None:
        self.rank, self.transport, self.dilation, self.board = rank, transport, dilation, board
        self.make_executor = make_executor
        self.disk = Disk()

    def tell(self, what: str) -> None:
        """Say on the board what is computed from now on."""
        self.board.count()
        self.board.main.tell(State.COMPUTES, what)

    def play(
        self,
        assignment: Assignment,
        rehearsed: Iterable[Mapping[str, Any]],
        report: Callable[[dict[str, Any]], None],
        wait_for_start: Callable[[int], object] | None = None,
    ) -> None:
        """Play all iterations; report each one's times and loss. Raises TaskError.

        Each waits for its start where it has one, by its number.

        What was ``rehearsed`` (rows of :meth:`rehearse`, of this host or of one like it) takes that long again: the
        device has one speed, whatever its neighbours on this machine do meanwhile.
        """
        self.compare_hashes(assignment.schedule.hash)
        set_assignment_aside()
        self.tell("building the model")
        programs = assignment.schedule.programs
        program = programs[self.rank] if self.rank < len(programs) else ()
        executor = self.make_executor(assignment, program)
        self.dilation.forget()
        for row in rehearsed:
            self.dilation.charge(work_of_row(row), row["seconds"])
        with closing(executor) if isinstance(executor, KeepsOutputs) else nullcontext():
            self._iterate(executor, assignment, program, report, wait_for_start)

    def _iterate(
        self,
        executor: Executor,
        assignment: Assignment,
        program: Sequence[Task],
        report: Callable[[dict[str, Any]], None],
        wait_for_start: Callable[[int], object] | None,
    ) -> None:
        for iteration in range(assignment.iterations):
            self.tell(f"drawing the samples of iteration {iteration}")
            executor.begin(iteration)
            played = IterationPlayer(self, executor, program, iteration)
            gc.collect()
            self.meet(f"waiting for all ranks before iteration {iteration}", iteration)
            if wait_for_start is not None:
                wait_for_start(iteration)
            self.dilation.overran_s()
            began_s = time.monotonic()
            times = played.play()
            late = self.dilation.overran_s() / (time.monotonic() - began_s)
            report({"iteration": iteration, "times": times, "loss": executor.loss(), "late": late})
            self.board.rest(time.monotonic() + assignment.pause_s)
            time.sleep(assignment.pause_s)
        if assignment.results_folder is not None and program:
            self.tell(f"saving results in {assignment.results_folder}")
            save_tensors(results_file(assignment.results_folder, self.rank), executor.results())

    def begins(self, task: str, number: int) -> None:
        """Nothing happens at a task but in a job."""

    def commit(self, number: int) -> None:
        """Only a job's iterations are committed (carrying/trainer.py)."""
        raise ValueError(f"iteration {number} is to be committed, and is of no job")

    def meet(self, what: str, number: int) -> None:
        """Wait for all ranks, and say so on the board."""
        self.board.main.tell(State.MEETS, what, message=number, awaits=self.transport.ranks)
        self.transport.barrier()

    def rehearse(self, assignment: Assignment, repeats: int, statistic: Statistic) -> list[dict[str, Any]]:
        """Play the program's computations alone, on whatever is in the buffers; rows of seconds for every block.

        What is timed is what a run does, in its order, without waiting for others. Of those that are alike the first
        warms up, and counts only where it is alone; a row keeps the statistic of the others.
        """
        program = assignment.schedule.programs[self.rank]
        set_assignment_aside()
        self.tell("building the model")
        executor, alike = self.make_executor(assignment, program), AlikeLayers(assignment)
        self.dilation.forget()
        seconds: dict[Work, list[float]] = defaultdict(list)
        for repeat in range(repeats):
            executor.begin(repeat)
            for task in program:
                self.tell(f"rehearsing {task}")
                if task.op is Op.RECV:
                    executor.incoming(task).zero_()
                elif task.op in COMPUTE:
                    work = alike.work(task)
                    _, start_s, end_s = self.dilation.run(partial(executor.compute, task), work)
                    seconds[work].append(end_s - start_s)
        return [
            row
            for work, values in seconds.items()
            for row in alike.rows(work, statistic.of(values[1:] or values), statistic.charged(values[1:] or values))
        ]

    def compare_hashes(self, own: str) -> None:
        """Raise ValueError unless all ranks hold the same schedule."""
        self.board.main.tell(State.MEETS, "comparing schedules", awaits=self.transport.ranks)
        hashes = self.transport.gather(own)
        if len(set(hashes)) > 1:
            raise ValueError(
                "ranks hold different schedules: " + ", ".join(f"rank {r} has {h[:12]}" for r, h in enumerate(hashes))
            )


def set_assignment_aside() -> None:
    """Let no further search for garbage look through what there is now, an assignment with its schedule of many tasks.

    It holds no circles, and so goes when nobody names it any more. Nothing of a model is there yet.
    """
    gc.collect()
    gc.freeze()
