"""What does a rank of a job have to play with, and how does it hear the coordinator meanwhile?"""

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from real_runtime.control.board import Board
from real_runtime.control.words import AbortedError, Words
from real_runtime.pacing import Dilation, Disk
from real_runtime.transport import Transport

ENDED = AbortedError("somebody is lost: what the ranks played together has ended")
Say = Callable[[dict[str, Any]], None]


@dataclass(slots=True)
class JobHost:
    """What a rank of a job has to play with; ``say`` tells the coordinator."""

    transport: Transport
    dilation: Dilation
    board: Board
    words: Words
    say: Say
    loss: Callable[[], float] = lambda: 0.0
    disk: Disk = field(default_factory=Disk)

    def begins(self, task: str, number: int) -> None:
        """Do what a scenario wants to happen here, if anything, and say so."""
        if (number, task) in self.words.foretold:
            signal_ = self.words.foretold.pop((number, task))
            self.say({"reached": [number, task]})
            if signal_:
                os.kill(os.getpid(), signal_)

    def commit(self, number: int) -> None:
        """Say that this rank has all of an iteration, and wait for the coordinator's word. Raises AbortedError."""
        self.say({"ready": number, "loss": self.loss()})
        self.words.wait_for_commit(number, self.transport.generation)
