"""How does a rank hear from its coordinator, answer it, and show that it lives? Over its pipes, in threads of its own.

The pipes are the control channel: nothing of it shares the network under test. When they close, because the coordinator
ended or was killed, the rank ends at once; should a thread that never lets Python's lock go keep it from noticing, the
kernel ends it.
"""

import contextlib
import itertools
import json
import os
import queue
import sys
import threading
import time
from collections.abc import Callable
from typing import Any, TextIO

from real_runtime.control.board import Board
from real_runtime.control.connections import connections, link_is_down, moved_bytes, shut_down_all
from real_runtime.control.evidence import Failure
from real_runtime.control.words import AbortedError, Words

_HEARTBEAT_S = 0.05
_BEATS_PER_COUNT = 4  # asking the kernel for the bytes of all connections takes longer than a beat


def whole(value: Any) -> int:
    """A whole number that was told. Raises ValueError for what is none."""
    if type(value) is not int:
        raise ValueError(f"no whole number: {value!r}")
    return value


class Port:
    """A rank's side of the control channel."""

    def __init__(self, replies: TextIO, board: Board) -> None:
        self.board, self.words = board, Words()
        self.commands: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        # What is done at once, in the thread that listens, whatever the other threads wait for; all else is a command.
        self.at_once: dict[str, Callable[[dict[str, Any]], object]] = {
            "connections": self._tell_connections,
            "commit": self._commit,
            "foretell": self._foretell,
            "abort": self._abort,
        }
        self.interface: str | None = None  # that the rank's messages pass, once it is known
        self.is_cut_off = False  # by a link that is down in our mind only
        self._replies, self._lock = replies, threading.Lock()
        self._questions = itertools.count()
        self._answers: dict[int, queue.SimpleQueue[Any]] = {}

    def open(self) -> None:
        """Listen, and let the heart beat."""
        for work in (self._listen, self._beat):
            threading.Thread(target=work, daemon=True).start()

    def say(self, message: dict[str, Any]) -> None:
        """Send a message to the coordinator."""
        with self._lock:
            self._replies.write(json.dumps(message) + "\n")
            self._replies.flush()

    def ask_store(self, question: dict[str, Any], generation: int) -> Any:
        """What the coordinator's meeting place answers to a member of a generation. Raises AbortedError at its end.

        Nobody would wake who asks when it has ended already, as a rank does that was stopped while others gave up.
        """
        number = next(self._questions)
        answer = self._answers[number] = queue.SimpleQueue[Any]()
        if self.words.has_ended(generation):
            answer.put(None)
        else:
            self.say({"store": question | {"id": number}})
        told = answer.get()
        del self._answers[number]
        if told is None:
            raise AbortedError("the ranks are not connected any more: somebody is lost")
        return told[0]

    def _listen(self) -> None:
        for line in sys.stdin:
            self.hear(line)
        os._exit(0)

    def hear(self, line: str) -> None:
        """Do what is told, or keep it for who takes commands; what is no command is refused in words."""
        number = 0
        try:
            command = json.loads(line)
            number = command.get("number", 0)
            self._take(command)
        except (AttributeError, KeyError, TypeError, ValueError, RecursionError) as error:
            message = f"what arrived is no command: {type(error).__name__} {error}"
            told = {"failure": Failure.OTHER, "task": "hearing", "message": message}
            self.say({"error": told, "number": number if type(number) is int else 0})

    def _take(self, command: dict[str, Any]) -> None:
        if "store" in command:
            if command["store"] in self._answers:  # else nobody waits for it any more
                self._answers[command["store"]].put((command["value"],))
        elif (act := self.at_once.get(command["do"])) is not None:
            act(command)
        elif type(command["number"]) is not int or not isinstance(command["do"], str):
            raise ValueError("a command has a number and a name")
        else:
            self.commands.put(command)

    def _tell_connections(self, command: dict[str, Any]) -> None:
        found = [(each.here, each.there, each.stuck) for each in connections()]
        self.say({"connections": found, "number": command["number"]})

    def _commit(self, command: dict[str, Any]) -> None:
        """Let those go on who wait for an iteration's commit."""
        self.words.commit(whole(command["iteration"]), stop=bool(command["stop"]))

    def _foretell(self, command: dict[str, Any]) -> None:
        """Know what is to happen to this process at a task."""
        self.words.foretold[whole(command["iteration"]), str(command["task"])] = whole(command["signal"])

    def _abort(self, command: dict[str, Any]) -> None:
        """Wake all threads that wait for peers of a generation: it has ended."""
        self.words.abort(whole(command["generation"]))
        shut_down_all()
        for answer in list(self._answers.values()):
            answer.put(None)

    def _beat(self) -> None:
        beats = 0
        while True:
            # Under a memory limit anything may be refused; a later beat tries again.
            with contextlib.suppress(MemoryError, OSError):
                self.board.beat()
                if self.interface is not None and beats % _BEATS_PER_COUNT == 0:
                    is_down = self.is_cut_off or link_is_down(self.interface)
                    self.board.exchanged(moved_bytes(), link_down=is_down)
            beats += 1
            time.sleep(_HEARTBEAT_S)
