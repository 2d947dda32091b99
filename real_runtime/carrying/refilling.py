"""How does a rank compute again what is missing of a cache? Forward through layers that it loads for that alone."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import partial

from edgesim.schedule import Op, Task
from edgesim.workload import Purpose
from real_runtime.activation_cache.cache import ActivationCache
from real_runtime.assignment import Assignment
from real_runtime.carrying.job_host import ENDED, JobHost
from real_runtime.control.board import State
from real_runtime.pacing import Disk
from real_runtime.playing.iteration import Executor, IterationPlayer
from real_runtime.stages.executor import StageExecutor
from real_runtime.stages.stage_cache import caching

_NO_ITERATION = -1  # what a scenario foretells of iterations does not happen in a refill


class RefillExecutor(StageExecutor):
    """A stage that goes forward and leaves no graph. Its tasks name positions of the batch as samples."""

    def __init__(self, assignment: Assignment, program: Sequence[Task]) -> None:
        forward = replace(assignment.workload, purpose=Purpose.INFER)
        super().__init__(replace(assignment, workload=forward), program)
        self.positions = {task.micro_batch: task.samples for task in program if task.op is Op.F}

    def begin(self, iteration: int) -> None:
        """Draw the batch, and let what was put out go."""
        super().begin(iteration)
        if self.stage is not None:
            self.stage.undo()

    def samples_of(self, micro_batch: int) -> tuple[int, int]:
        """Positions of the batch."""
        return self.positions[micro_batch]

    def rows(self, micro_batch: int) -> slice:
        """The same."""
        return slice(*self.positions[micro_batch])


class Refilling:
    """A rank's part of a refill: layers that are loaded as fast as its disk reads their weights."""

    def __init__(self, assignment: Assignment, program: Sequence[Task], cache: ActivationCache, disk: Disk) -> None:
        self.program = tuple(program)
        self.played: IterationPlayer | None = None

        def load() -> int:
            forward = RefillExecutor(assignment, program)
            self.executor: Executor = caching(forward, assignment, program, cache) if program else forward
            if not program:  # it only begins iterations with the others
                return 0
            return sum(layer.parameter_bytes for layer in assignment.model.layers[slice(*forward.layers)])

        disk.run(load, reads=True)

    def play(self, host: JobHost, iterations: Iterable[int]) -> dict[str, tuple[float, float]]:
        """Play these iterations of the epoch, which the ranks begin together; return what the last one took.

        Raises TaskError, PeerGoneError or AbortedError where somebody is lost.
        """
        times: dict[str, tuple[float, float]] = {}
        for iteration in iterations:
            host.board.count()
            what = f"waiting for all ranks before batch {iteration} is refilled"
            host.board.main.tell(State.MEETS, what, message=iteration, awaits=host.transport.ranks)
            host.transport.barrier()
            self.executor.begin(iteration)
            self.played = played = IterationPlayer(host, self.executor, self.program, _NO_ITERATION)
            host.words.when_aborted = partial(played.give_up, ENDED)
            times = played.play()
        return times
