"""What does one rank do in a job? It takes up layers, trains them, moves them, and goes back when somebody is lost."""

import gc
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from edgesim.job import checkpoint_version, sends_backups
from edgesim.model import Model
from edgesim.schedule import DISK, Op, Schedule, Task
from real_runtime.activation_cache.cache import ActivationCache
from real_runtime.assignment import Assignment
from real_runtime.carrying.carrying_executor import CarryingExecutor
from real_runtime.carrying.checkpoints import read_layers, write_shard
from real_runtime.carrying.job_host import ENDED, JobHost
from real_runtime.carrying.own_disk import own_file, read_own, write_own
from real_runtime.carrying.parcels import Parcels
from real_runtime.carrying.refilling import Refilling
from real_runtime.carrying.store import Store
from real_runtime.carrying.trained_stage import TrainedStage
from real_runtime.control.board import State
from real_runtime.control.words import AbortedError
from real_runtime.playing.freed_memory import release_freed_memory
from real_runtime.playing.iteration import Executor, IterationPlayer, TaskError
from real_runtime.stages.stage_cache import caching, opened, samples_of_epochs
from real_runtime.transport import PeerGoneError

_SETTLE_S = 0.2  # for threads to end when their connections are shut down: milliseconds, if they are woken at all


class Trainer:
    """A rank's part of a job, from plan to plan."""

    def __init__(self, rank: int, host: JobHost) -> None:
        self.rank, self.host = rank, host
        self.stage: TrainedStage | None = None
        self.store: Store | None = None
        self.other_store: Store | None = None  # of what is trained, without the frozen layers, or with them
        self.cache: ActivationCache | None = None
        self.computing: Executor | None = None  # the stage, with what it keeps on disk
        self.refilling: Refilling | None = None
        self.schedules: dict[bool, Schedule] = {}  # of iterations without and with backups

    def take_up(self, command: Mapping[str, Any]) -> dict[str, Any]:
        """Hold the layers of a plan in a version: drawn or read for the first one, else those that are here.

        With ``keep``, a copy of that version stays beside what is trained; all others are let go.
        """
        assignment, version = Assignment.from_dict(command["assignment"]), command["version"]
        replicating = command["replicating"]
        self.schedules = {
            False: assignment.schedule,
            True: assignment.schedule if replicating is None else Schedule.from_text(replicating),
        }
        store = self._stored(assignment)
        self.keep_trained(version)
        self._let_go(assignment.model)
        program = self._program(assignment.schedule)
        if any(task.op is Op.F for task in program):
            self._hold(assignment, program, version, command["checkpoint"])
        store.forget_all_but(version)
        self.other_store = None
        if command["keep"]:
            self.keep_trained(version)
        else:
            store.kept.clear()
        return {}

    def _let_go(self, model: Model) -> None:
        """Train nothing; where another model comes next, the kernel has what this one took: a backbone, say."""
        changes = self.stage is not None and self.stage.module.model.hyper != model.hyper
        self.stage = self.computing = None
        if changes:
            release_freed_memory()

    def _hold(self, assignment: Assignment, program: Sequence[Task], version: int, checkpoint: str | None) -> None:
        """Train a stage's layers from a version on: those of a checkpoint, or those that are here."""
        assert self.store is not None, "layers are stored first"
        if checkpoint is None:
            self.stage = TrainedStage.taken_up(assignment, program, version, self.store)
        else:
            self.stage = TrainedStage.new(assignment, program, version)
            stage = self.stage
            self.host.disk.run(lambda: read_layers(Path(checkpoint), stage), reads=True)
        executor = self.stage.executor
        on_disk = any(task.op in DISK for task in program)
        self.computing = caching(executor, assignment, program, self.cache) if on_disk else executor

    def _stored(self, assignment: Assignment) -> Store:
        """What keeps layers in the form that the assignment's model has.

        What is kept in another form stays until a plan is taken up: whoever is lost before may send all back to it.
        """
        if self.store is None or self.store.model.hyper != assignment.model.hyper:
            other, self.other_store = self.other_store, self.store
            same = other is not None and other.model.hyper == assignment.model.hyper
            self.store = other if same else Store(assignment.model, assignment.workload)
        assert self.store is not None, "it was made where there was none"
        if self.cache is None and assignment.cache is not None:
            self.cache = opened(assignment, self.rank, samples_of_epochs(assignment))
        return self.store

    def _program(self, schedule: Schedule) -> tuple[Task, ...]:
        return schedule.programs[self.rank] if self.rank < schedule.ranks else ()

    def keep_trained(self, version: int) -> None:
        """Keep a copy of what is trained, if it is of this version."""
        if self.stage is not None and self.store is not None and self.stage.version == version:
            self.store.keep(self.stage.states(self.store.model), version)

    def train(self, command: Mapping[str, Any]) -> dict[str, Any]:
        """Play iterations until the last, until the coordinator's word, or until somebody is lost; say which."""
        first, until, every = command["first"], command["until"], command["replicate_every"]
        words, played = self.host.words, None
        words.begin(first)
        try:
            for iteration in range(first, until):
                replicates = sends_backups(iteration, every, first=first)
                played = self._begun(iteration, replicates=replicates)
                self._play(played, iteration, replicates=replicates)
                _write_checkpoint(self, iteration + 1, command["checkpoints"], replicates=replicates)
                if words.stops_behind(iteration):
                    break
        except (TaskError, PeerGoneError, AbortedError) as error:
            self._ended_by_loss(error, played)
            return {"aborted": True, "version": self._version(first)}
        return {"aborted": False, "version": self._version(until)}

    def _version(self, otherwise: int) -> int:
        return otherwise if self.stage is None else self.stage.version

    def _begun(self, iteration: int, *, replicates: bool) -> IterationPlayer:
        host, stage, store = self.host, self.stage, self.store
        assert store is not None, "layers were taken up"
        host.board.count()
        host.board.main.tell(State.COMPUTES, f"drawing the samples of iteration {iteration}")
        if stage is not None:
            stage.begin()
        if replicates:
            self.keep_trained(iteration)
        executor = CarryingExecutor(self.computing, store, iteration)
        executor.begin(iteration)
        host.loss = executor.loss
        played = IterationPlayer(host, executor, self._program(self.schedules[replicates]), iteration)
        # What is committed needs nobody any more, and is finished.
        host.words.when_aborted = lambda: None if host.words.has_committed(iteration) else played.give_up(ENDED)
        return played

    def _play(self, played: IterationPlayer, iteration: int, *, replicates: bool) -> None:
        host, executor = self.host, played.executor
        assert isinstance(executor, CarryingExecutor)
        assert self.store is not None
        gc.collect()
        what = f"waiting for all ranks before iteration {iteration}"
        host.board.main.tell(State.MEETS, what, message=iteration, awaits=host.transport.ranks)
        host.transport.barrier()
        times = played.play()
        if self.stage is not None:
            self.stage.version = iteration + 1
        if replicates:
            executor.keep_arrived()
            self.store.forget_all_but(iteration)
        host.say({"iteration": iteration, "times": times, "loss": executor.loss()})

    def _ended_by_loss(self, error: Exception, played: IterationPlayer | None) -> None:
        """Wait until the coordinator knows as well, and undo what was begun. Raises what is this rank's own error."""
        cause = error.__cause__ if isinstance(error, TaskError) else error
        generation = self.host.transport.generation
        if not isinstance(cause, PeerGoneError | AbortedError) and not self.host.words.has_ended(generation):
            raise error
        self.host.board.main.tell(State.IDLE, "waiting for the coordinator: a connection is lost")
        self.host.words.wait_for_abort(generation)
        if played is not None:
            played.settle(within_s=_SETTLE_S)
        if self.stage is not None:
            self.stage.undo()

    def move(self, command: Mapping[str, Any]) -> dict[str, Any]:
        """Play messages that carry layers of a version, in the form that the assignment's model has."""
        schedule, version = Schedule.from_text(command["schedule"]), command["version"]
        store = self._stored(Assignment.from_dict(command["assignment"]))
        self.keep_trained(version)
        parcels = None if self.cache is None else Parcels(self.cache, store.model, store.workload)
        executor = CarryingExecutor(None, store, version, parcels)
        played: IterationPlayer | None = None
        try:
            played = moving = IterationPlayer(self.host, executor, self._program(schedule), 0)
            self.host.words.when_aborted = lambda: moving.give_up(ENDED)
            times = played.play()
        except (TaskError, PeerGoneError, AbortedError) as error:
            self._ended_by_loss(error, played)
            return {"aborted": True}
        executor.keep_arrived()
        return {"aborted": False, "times": times}

    def load(self, command: Mapping[str, Any]) -> dict[str, Any]:
        """Let go what is trained, of which a copy stays, and hold layers with which to fill a cache again."""
        store, assignment = (
            self._stored(Assignment.from_dict(command["held"])),
            Assignment.from_dict(command["assignment"]),
        )
        if self.stage is not None:
            store.keep(self.stage.states(store.model), self.stage.version)
        self.stage = self.computing = None
        release_freed_memory()
        assert self.cache is not None, "who fills a cache has one"
        self.refilling = Refilling(assignment, self._program(assignment.schedule), self.cache, self.host.disk)
        return {}

    def refill(self, command: Mapping[str, Any]) -> dict[str, Any]:
        """Play iterations of a refill, if this rank has loaded layers for it, and let them go."""
        assert self.refilling is not None, "layers are loaded first"
        refilling, self.refilling = self.refilling, None
        try:
            times = refilling.play(self.host, range(*command["iterations"]))
        except (TaskError, PeerGoneError, AbortedError) as error:
            self._ended_by_loss(error, refilling.played)
            return {"aborted": True}
        return {"aborted": False, "times": times}

    def introduce(self, command: Mapping[str, Any]) -> dict[str, Any]:
        """Hear what the job is about, to be able to hold layers of it before there is a plan with this rank."""
        self._stored(Assignment.from_dict(command["assignment"]))
        return {}

    def close(self) -> None:
        """Let go of the files of a cache."""
        if self.cache is not None:
            self.cache.close()


def _write_checkpoint(trainer: Trainer, done: int, checkpoints: Mapping[str, Any] | None, *, replicates: bool) -> None:
    """Write a rank's shard, if it is its turn, or what it keeps on its own disk, and say so."""
    host, stage, store = trainer.host, trainer.stage, trainer.store
    if checkpoints is None or stage is None:
        return
    own = checkpoints["own"]
    backed_up = replicates if own is not None and own["backs_up"] else None
    if (version := checkpoint_version(done, checkpoints["every"], backed_up=backed_up)) is None:
        return
    begin_s, folder = time.monotonic(), Path(checkpoints["folder"])
    host.board.main.tell(State.COMPUTES, f"writing the checkpoint of iteration {version}")
    if own is not None:
        assert store is not None, "layers are stored first"
        trainer.keep_trained(version)  # a plan without backups has no copy of it yet
        path = own_file(folder, trainer.rank, version, own["told"])
        host.disk.run(lambda: write_own(path, store, version), reads=False)
        if not own["backs_up"]:
            store.kept.clear()
    elif trainer.rank in checkpoints["writers"]:
        host.disk.run(lambda: write_shard(folder, stage), reads=False)
    host.say({"saved": version, "seconds": time.monotonic() - begin_s})


def hold_own(trainer: Trainer, command: Mapping[str, Any]) -> dict[str, Any]:
    """Hold what the rank's own disk has of a version, to take up or to send."""
    store, version = trainer.store, command["version"]
    assert store is not None, "it was introduced"
    trainer.host.disk.run(lambda: read_own(Path(command["file"]), store, version), reads=True)
    return {}
