"""Who looks after ranks on a host? ``python -m real_runtime.ssh.agent``, whose input and output are the channel.

It forks ranks from a process that has loaded what they need, hands on what they are told and say, and tells how they
are. It ends, and all ranks with it, when the channel closes, or when nobody has spoken for too long.
"""

import contextlib
import os
import queue
import signal
import sys
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any, BinaryIO

from edgesim.errors import RunError
from edgesim.scratch import scratch_folder
from real_runtime.control.board import Doing
from real_runtime.control.forking.client import RANK, ForkServer, fork_server
from real_runtime.control.rank_process import Message, RankProcess
from real_runtime.ssh.facts import facts
from real_runtime.ssh.frames import (
    Frame,
    FrameError,
    finite_number,
    lines,
    object_of,
    read,
    shown,
    text_of_frame,
    whole_number,
    written,
)
from real_runtime.ssh.metering.on_host import MeterReader
from real_runtime.ssh.watching.on_host import LoadTeller

_TICK_S = 0.05
_END_S = 5.0
_LOOK_S = 0.25  # between two looks at a rank that are told
_SILENCE_S = 20.0  # until somebody says otherwise
_SIGNALS = frozenset((signal.SIGKILL, signal.SIGSTOP, signal.SIGCONT))  # what a scenario does to a host's rank

Told = tuple[tuple[Doing, ...], Doing]
"""What was told of a rank last: of all streams, and of the main one."""


class Agent:
    """One host's side. ``serves`` starts what ranks are forked from; tests start something else."""

    def __init__(
        self, source: BinaryIO, sink: BinaryIO, *, serves: Callable[[], ForkServer] = lambda: fork_server(RANK)
    ) -> None:
        self._source, self._sink, self._serves = source, sink, serves
        self._server: ForkServer | None = None
        self._leaving, self._ending, self._over = ExitStack(), threading.Lock(), threading.Event()
        self._folder = self._leaving.enter_context(scratch_folder())
        os.environ["TMPDIR"] = str(self._folder)  # whatever libraries leave there goes with it
        self._to_write: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        self._ranks: dict[int, RankProcess] = {}  # by the number under which it was started
        self._told: dict[int, Told] = {}
        self._meter = MeterReader(self.say, lambda: [rank.pid for rank in list(self._ranks.values())])
        self._load = LoadTeller(self.say, self._ours)
        self._heard_s, self._silence_s, self._look_s = time.monotonic(), _SILENCE_S, _LOOK_S
        self._acts: dict[str, Callable[[Frame], object]] = {
            "ping": self._ping,
            "begin": self._begin,
            "describe": self._describe,
            "start": self._start,
            "tell": self._tell,
            "signal": self._signal,
            "forget": self._forget,
            "watch": self._watch,
            "end": lambda frame: self.end(),
        } | {**self._meter.acts, **self._load.acts}

    def run(self) -> None:
        """Serve until the channel closes or falls silent; then end all ranks."""
        for work in (self._write, self._look_on):
            threading.Thread(target=work, daemon=True).start()
        try:
            for line in lines(self._source):
                self._heard_s = time.monotonic()
                self.hear(line)
        except FrameError as error:
            self.say({"refused": str(error)})
        except OSError:  # the channel broke
            pass
        self.end()

    def hear(self, line: bytes) -> None:
        """Do what one message says; what is none is refused in words, and changes nothing."""
        try:
            frame = read(line)
            act = self._acts.get(text_of_frame(frame, "do"))
            if act is None:
                raise FrameError(f"an agent does not know {shown(frame['do'])}")
            act(frame)
        except FrameError as error:
            self.say({"refused": str(error)})

    def say(self, frame: Frame) -> None:
        """Send a message; returns at once."""
        with contextlib.suppress(FrameError):  # of a rank that says too much
            self._to_write.put(written(frame))

    def end(self) -> None:
        """End all ranks, and remove what they wrote; once."""
        with self._ending:
            if self._over.is_set():
                return
            for rank in self._ranks.values():
                rank.kill()
            until_s = time.monotonic() + _END_S
            for rank in self._ranks.values():
                rank.leave(until_s)
            self._ranks.clear()
            self._meter.end()
            self._load.end()
            if self._server is not None:
                self._server.kill()  # it may be loading, and would notice only then
            self._over.set()
            self._leaving.close()

    def _ping(self, frame: Frame) -> None:
        self.say({"pong": whole_number(frame, "ping", most=2**53), "at_s": time.monotonic()})

    def _begin(self, frame: Frame) -> None:
        """Load what ranks need, and say when that is done."""
        self._silence_s = max(1.0, finite_number(frame, "silence_s"))
        if self._server is None:
            self._server = self._serves()
            threading.Thread(target=self._become_ready, args=(self._server,), daemon=True).start()

    def _become_ready(self, server: ForkServer) -> None:
        try:
            server.wait_until_ready()
        except RunError as error:
            self.say({"failed": str(error)})
        else:
            self.say({"ready": True})

    def _describe(self, frame: Frame) -> None:
        interface = frame.get("interface")
        found = facts(interface if isinstance(interface, str) else None)
        self.say({"facts": found | {"pid": os.getpid(), "scratch": str(self._folder)}})

    def _ours(self) -> list[int]:
        """The processes that we have started."""
        server = [] if self._server is None else [self._server.pid]
        return server + [rank.pid for rank in list(self._ranks.values())]

    def _start(self, frame: Frame) -> None:
        number, rank = whole_number(frame, "start"), whole_number(frame, "rank")
        if self._server is None or number in self._ranks:
            raise FrameError(f"rank process {number} cannot be started: no beginning, or there already")
        try:
            self._ranks[number] = made = RankProcess(
                rank, self._server, (), self._folder, lambda _, message: self._hear_rank(number, message)
            )
        except (OSError, RunError) as error:
            self.say({"not_started": number, "why": str(error)})
        else:
            made.note_memory()
            self.say({"started": number, "pid": made.pid})

    def _rank(self, frame: Frame) -> RankProcess:
        rank = self._ranks.get(whole_number(frame, "rank"))
        if rank is None:
            raise FrameError(f"there is no rank process {frame['rank']}")
        return rank

    def _tell(self, frame: Frame) -> None:
        self._rank(frame).tell(object_of(frame, "message"))

    def _signal(self, frame: Frame) -> None:
        number = whole_number(frame, "number", most=64)
        if number not in _SIGNALS:
            raise FrameError(f"a rank gets no signal {number}")
        rank = self._rank(frame)
        if number == signal.SIGKILL:
            rank.kill()
        else:
            rank.signal(number)

    def _forget(self, frame: Frame) -> None:
        rank = self._rank(frame)
        del self._ranks[frame["rank"]]
        self._told.pop(frame["rank"], None)
        rank.kill()
        rank.leave(time.monotonic() + _END_S)

    def _watch(self, frame: Frame) -> None:
        """Tell how ranks are at least so often."""
        self._look_s = min(_LOOK_S, max(_TICK_S, finite_number(frame, "every_s")))

    def _hear_rank(self, number: int, message: Message | None) -> None:
        """In a thread of that rank's: hand on what it says, or how it ended."""
        if message is not None:
            self.say({"says": number, "message": message})
            return
        rank = self._ranks.get(number)
        if rank is None or self._over.is_set():
            return
        code = rank.exit_code(within_s=_END_S)
        self.say(
            {
                "ended": number,
                "code": -int(signal.SIGKILL) if code is None else code,
                "memory": str(rank.memory()),
                "last_words": rank.last_words(),
                "cause": rank.cause,
            }
        )

    def _look_on(self) -> None:
        """Tell how ranks are, again and again; and end when nobody has spoken for too long."""
        due_s = time.monotonic()
        while not self._over.wait(_TICK_S):
            now_s = time.monotonic()
            if now_s - self._heard_s > self._silence_s:
                self.end()
                os._exit(3)
            if now_s >= due_s:
                due_s = now_s + self._look_s
                for number, rank in list(self._ranks.items()):
                    with contextlib.suppress(OSError, ValueError):  # it has been forgotten since
                        self.say(_look(number, rank, self._told))

    def _write(self) -> None:
        while True:
            content = self._to_write.get()
            try:
                self._sink.write(content)
                self._sink.flush()
            except (OSError, ValueError):
                self.end()
                os._exit(4)


def _look(number: int, rank: RankProcess, told: dict[int, Told]) -> Frame:
    """How a rank is; what all of its streams do only where nothing moves, since a run has many."""
    vital, head, main = rank.vitals(), rank.board.head(), rank.board.main()
    look: dict[str, Any] = {
        "look": number,
        "vitals": [vital.state, vital.main_cpu_s, vital.cpu_s, vital.major_faults],
        "head": [head.beats, head.rests_until_s, head.finished, head.moved_bytes, head.link_down],
        "main": _plain(main),
    }
    last, before = told.get(number, ((), None))
    doings = rank.board.doings() if main == before else last
    if doings != last:
        look["doings"] = [_plain(doing) for doing in doings]
    told[number] = doings, main
    return look


def _plain(doing: Doing) -> list[Any]:
    return [doing.stream, doing.task, int(doing.state), doing.since_s, doing.needs, doing.message, list(doing.awaits)]


def main() -> None:
    """Be the agent of whoever started this process over SSH."""
    channel = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what libraries print is no message
    agent = Agent(sys.stdin.buffer, channel)

    def leave() -> None:
        agent.end()
        os._exit(5)

    for number in (signal.SIGHUP, signal.SIGTERM):
        signal.signal(number, lambda number, frame: threading.Thread(target=leave).start())
    agent.run()
    os._exit(0)


if __name__ == "__main__":
    main()
