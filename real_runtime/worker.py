"""What does one rank do with a job? It builds its part, plays or rehearses it, and says what came out."""

import gc
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

from edgesim.schedule import COMPUTE, Op, Task
from edgesim.work import Work
from real_runtime.blocks.alike_layers import AlikeLayers, work_of_row
from real_runtime.control.board import Board, State
from real_runtime.job import Job, results_file
from real_runtime.pacing import Dilation
from real_runtime.playing.iteration import Executor, IterationPlayer
from real_runtime.statistic import Statistic
from real_runtime.transport import Transport
from real_runtime.weights.tensor_files import save_tensors


class Worker:
    """One rank, from job to job; ``make_executor`` makes what computes the rank's part of a job."""

    def __init__(
        self,
        rank: int,
        transport: Transport,
        dilation: Dilation,
        board: Board,
        make_executor: Callable[[Job, Sequence[Task]], Executor],
    ) -> None:
        self.rank, self.transport, self.dilation, self.board = rank, transport, dilation, board
        self.make_executor = make_executor

    def tell(self, what: str) -> None:
        """Say on the board what is computed from now on."""
        self.board.count()
        self.board.main.tell(State.COMPUTES, what)

    def play(self, job: Job, rehearsed: Iterable[Mapping[str, Any]], report: Callable[[dict[str, Any]], None]) -> None:
        """Play all iterations; report each one's times and loss. Raises TaskError.

        What was ``rehearsed`` (rows of :meth:`rehearse`, of this host or of one like it) takes that long again: the
        device has one speed, whatever its neighbours on this machine do meanwhile.
        """
        self.compare_hashes(job.schedule.hash)
        set_job_aside()
        self.tell("building the model")
        programs = job.schedule.programs
        program = programs[self.rank] if self.rank < len(programs) else ()
        executor = self.make_executor(job, program)
        self.dilation.forget()
        for row in rehearsed:
            self.dilation.charge(work_of_row(row), row["seconds"])
        for iteration in range(job.iterations):
            self.tell(f"drawing the samples of iteration {iteration}")
            executor.begin(iteration)
            played = IterationPlayer(self, executor, program, iteration)
            gc.collect()
            self.meet(f"waiting for all ranks before iteration {iteration}", iteration)
            times = played.play()
            report({"iteration": iteration, "times": times, "loss": executor.loss()})
            self.board.rest(time.monotonic() + job.pause_s)
            time.sleep(job.pause_s)
        if job.results_folder is not None and program:
            self.tell(f"saving results in {job.results_folder}")
            save_tensors(results_file(job.results_folder, self.rank), executor.results())

    def meet(self, what: str, number: int) -> None:
        """Wait for all ranks, and say so on the board."""
        self.board.main.tell(State.MEETS, what, message=number, awaits=self.transport.ranks)
        self.transport.barrier()

    def rehearse(self, job: Job, repeats: int, statistic: Statistic) -> list[dict[str, Any]]:
        """Play the program's computations alone, on whatever is in the buffers; rows of seconds for every block.

        What is timed is what a run does, in its order, without waiting for others. Of those that are alike the first
        warms up, and counts only where it is alone; a row keeps the statistic of the others.
        """
        program = job.schedule.programs[self.rank]
        set_job_aside()
        self.tell("building the model")
        executor, alike = self.make_executor(job, program), AlikeLayers(job)
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
        return [row for work, values in seconds.items() for row in alike.rows(work, statistic.of(values[1:] or values))]

    def compare_hashes(self, own: str) -> None:
        """Raise ValueError unless all ranks hold the same schedule."""
        self.board.main.tell(State.MEETS, "comparing schedules", awaits=self.transport.ranks)
        hashes = self.transport.gather(own)
        if len(set(hashes)) > 1:
            raise ValueError(
                "ranks hold different schedules: " + ", ".join(f"rank {r} has {h[:12]}" for r, h in enumerate(hashes))
            )


def set_job_aside() -> None:
    """Let no further search for garbage look through what there is now, a job with its schedule of many tasks.

    It holds no circles, and so goes when nobody names it any more. Nothing of a model is there yet.
    """
    gc.collect()
    gc.freeze()
