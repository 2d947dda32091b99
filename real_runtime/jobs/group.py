"""What do connected ranks do together, until it is done or somebody is lost? Then what they play is ended for all."""

import time
from collections.abc import Callable, Mapping

from edgesim.job import Change
from real_runtime.control.rank_process import Message
from real_runtime.jobs.conversation import Conversation, SilenceError
from real_runtime.jobs.happenings import Happenings
from real_runtime.jobs.membership import Members
from real_runtime.jobs.why_lost import why_lost

Hear = Callable[[int, Message], object]
_LOOK_S = 0.005
_ABORT_S = 10.0  # to answer when all is ended: a computation that is under way is not cut


def unheard(rank: int, message: Message) -> None:
    """Let an answer go by."""


class Group:
    """Ranks that are told what to do, and watched meanwhile."""

    def __init__(self, talk: Conversation, members: Members, happenings: Happenings) -> None:
        self.talk, self.members, self.happenings = talk, members, happenings

    def play(self, commands: Mapping[int, Message], hear: Hear = unheard) -> Change | None:
        """Give ranks commands until all are done; who was lost meanwhile. Then nobody plays any more."""
        try:
            for rank, message in self.talk.stream(commands):
                self._hear(rank, message, hear)
        except SilenceError as error:
            noticed_s = self.happenings.now_s
            lost = self._end(error, hear)
            self.members.known -= set(lost)
            lost_s = self.happenings.miss(lost)
            coordinator = self.talk.coordinator
            why = [f"rank {rank} {why_lost(coordinator, rank, error.why * (rank in error.ranks))}" for rank in lost]
            at_s = noticed_s if lost_s is None else lost_s
            return Change(at_s=at_s, noticed_s=noticed_s, lost=lost, why="; ".join(why))
        return None

    def wait(self, *, until_s: float) -> Change | None:
        """Who comes, or wants to leave, before this second of the job, while nobody is told anything."""
        while (change := self.happenings.asked_for()) is None and self.happenings.now_s < until_s:
            self.talk.look()
            time.sleep(_LOOK_S)
        return change

    def _hear(self, rank: int, message: Message, hear: Hear) -> None:
        if "reached" in message:
            self.happenings.reached(rank, *message["reached"])
        else:
            hear(rank, message)

    def _end(self, error: SilenceError, hear: Hear) -> tuple[int, ...]:
        """End what is played; return who is lost, and who does not answer even to that."""
        talk, lost = self.talk, set(error.ranks)
        if error.why:  # it failed by itself: nothing that it holds can be trusted
            self.members.end(error.ranks)
        talk.tell(self.members.connected, {"do": "abort", "generation": self.members.testbed.generation})
        until_s = time.monotonic() + _ABORT_S
        while waiting := talk.unanswered - lost:
            try:
                for rank, message in talk.listen(waiting, until_s=until_s):
                    self._hear(rank, message, hear)
            except SilenceError as another:
                lost |= set(another.ranks)
                if another.why:
                    self.members.end(another.ranks)
                elif time.monotonic() >= until_s:
                    self.members.end_stuck(another.ranks)
        return tuple(sorted(lost))
