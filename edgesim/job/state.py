"""How far is a job, who takes part, and what is held? All that is carried from one step of it to the next."""

from dataclasses import dataclass, field, replace

from edgesim.job.held import Held, copies_of
from edgesim.job.kept_outputs import KeptOutputs, written_by
from edgesim.job.phase import Phase
from edgesim.job.player import Played
from edgesim.job.recovering import Change


@dataclass(frozen=True, slots=True, kw_only=True)
class JobState:
    """The state between two steps."""

    phase: Phase
    present: tuple[int, ...]  # who could be used
    connected: tuple[int, ...]  # who is
    kept: Held  # snapshots and backups, all of one version, until there are new ones
    held: Held  # all of it, with what is being trained
    done: int
    until: int  # the iteration with which the phase ends
    checkpoint: int = 0
    disks: Held | None = None  # of the last checkpoint, where ranks have disks of their own
    outputs: KeptOutputs = field(default_factory=KeptOutputs)  # of frozen layers, on disks

    def in_phase(self, phase: Phase) -> "JobState":
        """The same in a phase; where nothing has been trained yet, its ranks are connected and read what they need."""
        connected = self.connected if self.held.copies else tuple(sorted(phase.plan.ranks))
        return replace(self, phase=phase, connected=connected)

    @property
    def is_ready(self) -> bool:
        """Whether the ranks of the phase's plan are connected, and hold its layers."""
        plan, held = self.phase.plan, self.held
        return self.connected == tuple(sorted(plan.ranks)) and (not held.copies or held.covers(plan, self.done))

    def absent(self, now_s: float) -> Change:
        """Who of the phase's plan has been lost in an earlier phase."""
        lost = tuple(sorted(rank for rank in self.phase.plan.ranks if rank not in self.present))
        return Change(at_s=now_s, noticed_s=now_s, lost=lost)

    def after(self, played: Played) -> "JobState":
        """What is held after so many iterations, and after what was backed up."""
        kept, plan = self.kept, self.phase.plan
        if played.replicated is not None:
            backups = (replace(copy, version=played.replicated) for copy in self.phase.backups)
            kept = Held.of_plan(plan, played.replicated).with_copies(backups)
        held = kept.with_copies(copies_of(plan, played.done))
        checkpoint, disks = self.checkpoint, self.disks
        if played.checkpoint is not None:
            checkpoint = played.checkpoint
            disks = None if disks is None else Held(copies=tuple(self.phase.written(checkpoint)))
        written = written_by(self.phase.schedule, plan.micro_batch_samples, (self.done, played.done))
        outputs = self.outputs.with_parts(written) if played.done > self.done else self.outputs
        return replace(
            self, kept=kept, held=held, done=played.done, checkpoint=checkpoint, disks=disks, outputs=outputs
        )

    def changed(self, change: Change) -> "JobState":
        """Who is there, and what is held, when these are lost and those have come."""
        gone = {*change.lost, *change.leaving}
        present = tuple(sorted({*self.present, *change.joining} - gone))
        connected = tuple(rank for rank in self.connected if rank not in change.lost)
        kept, held = self.kept.without(change.lost), self.held.without(change.lost)
        outputs = self.outputs.without(change.lost)
        disks = None if self.disks is None else self.disks.without(change.lost)
        return replace(self, present=present, connected=connected, kept=kept, held=held, disks=disks, outputs=outputs)
