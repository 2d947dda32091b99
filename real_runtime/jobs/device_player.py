"""How do devices play a job? Ranks train, are connected anew when somebody is lost, and move layers between them.

What comes next is decided elsewhere (``edgesim.job.run_job``); the coordinator's word commits iterations.
"""

import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

from edgesim.errors import RunError
from edgesim.job import Activity, Change, Held, JobSpan, Migration, Phase, Played, Recovery, Refill, Safety
from edgesim.model import Model
from edgesim.scenario import NOTHING_HAPPENS, Scenario
from edgesim.schedule import Schedule
from real_runtime.assignment import Assignment
from real_runtime.control.rank_process import Message
from real_runtime.jobs.conversation import Conversation
from real_runtime.jobs.group import Group
from real_runtime.jobs.happenings import Happenings
from real_runtime.jobs.iterations import Iterations
from real_runtime.jobs.kept import Keeper
from real_runtime.jobs.membership import Members
from real_runtime.jobs.surroundings import Surroundings
from real_runtime.jobs.victims import TestbedHosts
from real_runtime.testbeds.merging import Reports, merge
from real_runtime.testbeds.testbed import Testbed

Hears = Callable[[JobSpan], object]


class DevicePlayer:
    """Plays a job on the hosts of a testbed. ``assignment`` says what is trained; its schedule is the first phase's."""

    name = "measured"

    def __init__(
        self,
        testbed: Testbed,
        assignment: Assignment,
        safety: Safety,
        *,
        scenario: Scenario = NOTHING_HAPPENS,
        keeper: Keeper | None = None,
        hears: Hears = lambda span: None,
    ) -> None:
        self.testbed, self.assignment, self.safety, self.keeper, self.hears = testbed, assignment, safety, keeper, hears
        self.spans: list[JobSpan] = []
        self.loss_of: dict[int, float] = {}
        self.iterations: Iterations | None = None
        self.phase: Phase | None = None
        slow = testbed.spec.slow_motion
        self.surroundings = Surroundings(testbed, scenario, period_s=safety.heartbeat.period_s * slow)
        heartbeats = self.surroundings.heartbeats
        victims = TestbedHosts(
            testbed=testbed,
            lines=self.surroundings.lines,
            iteration=lambda: self.iterations.committed if self.iterations else -1,
        )
        self.happenings = Happenings(events=scenario.membership, victims=victims, slow_motion=slow)
        self.members = Members(testbed, self.surroundings.greet)
        timeout_s, looks = safety.heartbeat.timeout_s * slow, (heartbeats.look, self.happenings.look)
        talk = Conversation(testbed.coordinator, heartbeats, timeout_s=timeout_s, looks=looks)
        self.group = Group(talk, self.members, self.happenings)

    @property
    def now_s(self) -> float:
        """Seconds of the job."""
        return self.happenings.now_s

    @property
    def losses(self) -> list[float]:
        """The loss of every iteration that counts."""
        return [self.loss_of[number] for number in sorted(self.loss_of)]

    def add(self, activity: Activity, start_s: float, **more: object) -> None:
        """Write down what the job did until now."""
        self.spans.append(JobSpan(activity=activity, start_s=start_s, end_s=self.now_s, **more))  # type: ignore[arg-type]
        self.hears(self.spans[-1])

    def begin(self, phase: Phase, members: Collection[int], version: int = 0, checkpoint: Path | None = None) -> None:
        """Connect the first plan's ranks, let them hold its layers, and start the clock.

        Raises RunError where somebody is lost before that.
        """
        used, read = tuple(sorted(phase.plan.ranks)), None if checkpoint is None else str(checkpoint)
        change = self._introduced(tuple(members))
        if change is None and used != self.members.connected:
            change = self.regroup(used)
        change = change or self.group.play(self.takes_up(phase, version, read))
        if change is not None:
            raise RunError(f"the job does not begin: {change.why}")
        self.phase = phase
        self.spans.clear()
        self.happenings.begin()
        self.surroundings.begin(self.happenings.began_s)

    def train(self, phase: Phase, done: int, until: int, safety: Safety) -> Played:
        """Play iterations until all are done, or somebody is lost, leaves or comes."""
        if phase is not self.phase and (change := self.go_back(phase, done)) is not None:
            return Played(done=done, change=change)
        self.iterations = iterations = Iterations(
            phase=phase,
            safety=safety,
            first=done,
            committed=done,
            redone_below=1 + max(self.loss_of, default=-1),
            clock=self.happenings.clock,
            slow_motion=self.testbed.spec.slow_motion,
            begun_s=self.now_s,
        )
        checkpoints = None if self.keeper is None else self.keeper.command(phase, safety)
        command: Message = {
            "do": "train",
            "first": done,
            "until": until,
            "replicate_every": safety.replicate_every if phase.replicating else None,
            "checkpoints": checkpoints,
        }
        commands = dict.fromkeys(sorted(phase.plan.ranks), command)
        change = self.group.play(commands, partial(_hear_training, self, iterations))
        self.spans += iterations.untold(self.now_s if change is None else change.at_s)
        self.loss_of |= iterations.losses
        if iterations.committed == until:
            change = None
        elif change is None:
            change = self.happenings.asked_for()
        else:
            self.spans += iterations.lost(change)
            self.add(Activity.REGROUPING, self.spans[-1].end_s, says="ending what was played")
        return Played(
            done=iterations.committed,
            change=change,
            replicated=iterations.replicated,
            checkpoint=None if self.keeper is None else self.keeper.newest,
        )

    def plan(self, answer: partial[Recovery]) -> Recovery:
        """Ask a policy; in slow motion the coordinator is as slow as all else."""
        start_s, began_s = self.now_s, time.monotonic()
        recovery = answer()
        time.sleep((time.monotonic() - began_s) * (self.testbed.spec.slow_motion - 1))
        self.add(Activity.PLANNING, start_s, says=recovery.says)
        return recovery

    def wait(self, wait_s: float) -> Change | None:
        """Look who comes, or wants to leave; who is lost meanwhile is missed when it is connected."""
        start_s = self.now_s
        change = self.group.wait(until_s=start_s + wait_s)
        self.add(Activity.WAITING, start_s)
        return change

    def regroup(self, ranks: tuple[int, ...]) -> Change | None:
        """Connect these ranks anew."""
        start_s = self.now_s
        renewed = self.members.renew_dead(ranks)
        change = self.group.play(self.members.joins(ranks))
        if change is None and renewed:
            change = self.group.play(self.members.dilations(renewed))
        if change is None:
            newcomers = self.members.newcomers(ranks)
            change = self._introduced(newcomers)
        self.add(Activity.REGROUPING, start_s, says=f"ranks {', '.join(map(str, ranks))}")
        return change

    def _introduced(self, ranks: Collection[int]) -> Change | None:
        command = {"do": "introduce", "assignment": self.assignment.to_dict()}
        change = self.group.play(dict.fromkeys(ranks, command)) if ranks else None
        self.members.known |= set(ranks) if change is None else set()
        return change

    def move(self, migration: Migration, version: int) -> Change | None:
        """Play messages that carry layers of a version."""
        command: Message = {"do": "move", "schedule": migration.schedule.to_text(), "version": version}
        command["assignment"] = _assigned(self.assignment, migration.schedule, migration.model).to_dict()
        return self._timed(command, migration.schedule, Activity.MIGRATION, says=migration.name)

    def refill(self, refill: Refill, phase: Phase, version: int) -> Change | None:
        """Let ranks load frozen layers, and compute what is missing of their caches."""
        start_s = self.now_s
        command: Message = {
            "do": "load",
            "assignment": _assigned(self.assignment, refill.schedule, None).to_dict(),
            "held": _assigned(self.assignment, phase.schedule, phase.model).to_dict(),
        }
        change = self.group.play(dict.fromkeys(self.members.connected, command))
        self.add(Activity.REGROUPING, start_s, says="loading frozen layers")
        if change is not None:
            return change
        (first, end), command = refill.iterations, {"do": "refill", "iterations": refill.iterations}
        return self._timed(command, refill.schedule, Activity.REFILL, says=refill.name, first=first, count=end - first)

    def _timed(self, command: Message, schedule: Schedule, activity: Activity, **more: object) -> Change | None:
        """Let all that are connected play a schedule, and write down what it took."""
        start_s, reports = self.now_s, Reports()
        change = self.group.play(dict.fromkeys(self.members.connected, command), partial(_hear_times, reports))
        whole = change is None and reports.times
        trace = merge(schedule, reports.times, self.testbed.spec.slow_motion) if whole else None
        self.add(activity, start_s, trace=trace, **more)
        return change

    def go_back(self, phase: Phase, version: int) -> Change | None:
        """Let the plan's ranks hold its layers in a version."""
        start_s = self.now_s
        change = self.group.play(self.takes_up(phase, version))
        self.phase = phase if change is None else None
        self.members.known &= set(phase.plan.ranks)  # others keep nothing that counts
        self.add(Activity.REGROUPING, start_s, says=f"taking up version {version}")
        return change

    def takes_up(self, phase: Phase, version: int, checkpoint: str | None = None) -> dict[int, Message]:
        """[rank] The command to take up layers of a version, those of a checkpoint if it is given."""
        keeps = phase.replicating is not None and self.safety.replicate_every is not None
        command = _take_up(self.assignment, phase, version) | {"keep": keeps, "checkpoint": checkpoint}
        return dict.fromkeys(sorted(phase.plan.ranks), command)

    def reread(self, ranks: tuple[int, ...], version: int, disks: Held) -> Change | None:
        """Start all processes of these ranks anew, and let them read what their own disks have of this version."""
        assert self.keeper is not None, "a version was written"
        own, file = sorted({copy.rank for copy in disks.copies}), partial(self.keeper.own_file, version=version)
        commands = {rank: {"do": "read_own", "file": str(file(rank)), "version": version} for rank in own}
        return _restarted(self, ranks, commands, says=f"from version {version} on disks of their own")

    def restart(self, phase: Phase, version: int) -> Change | None:
        """Start all processes of the plan anew, and let them read the checkpoint of this version."""
        checkpoint = None if version == 0 or self.keeper is None else str(self.keeper.folder_of(version))
        commands = self.takes_up(phase, version, checkpoint)
        change = _restarted(self, tuple(sorted(phase.plan.ranks)), commands, says=f"from version {version}")
        self.phase = phase if change is None else None
        return change


def _restarted(
    player: DevicePlayer, ranks: tuple[int, ...], commands: Mapping[int, Message], says: str
) -> Change | None:
    """Start processes anew and give them their commands, which is all one restart."""
    start_s = player.now_s
    player.phase = None
    player.members.end(ranks)
    change = player.regroup(ranks)
    if change is None:
        change = player.group.play(commands)
    player.spans = [span for span in player.spans if span.start_s < start_s]
    player.add(Activity.RESTART, start_s, says=says)
    return change


def _hear_training(player: DevicePlayer, iterations: Iterations, rank: int, message: Message) -> None:
    if "ready" in message:
        if iterations.hear_ready(rank, message):
            stop = bool(player.happenings.leaving or player.happenings.coming)
            player.group.talk.tell(iterations.ranks, {"do": "commit", "iteration": message["ready"], "stop": stop})
    elif "iteration" in message:
        if (span := iterations.hear_times(message)) is not None:
            player.spans.append(span)
            player.hears(span)
    elif "done" in message:
        iterations.check_version(rank, message["version"])
    elif "saved" in message and player.keeper is not None:
        player.keeper.hear(rank, message, len(iterations.ranks))


def _take_up(assignment: Assignment, phase: Phase, version: int) -> Message:
    return {
        "do": "take_up",
        "assignment": _assigned(assignment, phase.schedule, phase.model).to_dict(),
        "replicating": None if phase.replicating is None else phase.replicating.to_text(),
        "version": version,
    }


def _assigned(assignment: Assignment, schedule: Schedule, model: Model | None) -> Assignment:
    return replace(assignment, schedule=schedule, model=model or assignment.model)


def _hear_times(reports: Reports, rank: int, message: Message) -> None:
    """Hear when a migration's tasks began and ended, if this is what a rank says; nothing is trained meanwhile."""
    if "times" in message:
        reports.hear(message | {"loss": 0.0})
