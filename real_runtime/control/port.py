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
from typing import Any, TextIO

from real_runtime.control.board import Board
from real_runtime.control.connections import connections, link_is_down, moved_bytes

_HEARTBEAT_S = 0.05
_BEATS_PER_COUNT = 4  # asking the kernel for the bytes of all connections takes longer than a beat


class Port:
    """A rank's side of the control channel."""

    def __init__(self, replies: TextIO, board: Board) -> None:
        self.board = board
        self.commands: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        self.interface: str | None = None  # that the rank's messages pass, once it is known
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

    def ask_store(self, question: dict[str, Any]) -> Any:
        """What the coordinator's meeting place answers."""
        number = next(self._questions)
        answer = self._answers[number] = queue.SimpleQueue[Any]()
        self.say({"store": question | {"id": number}})
        value = answer.get()
        del self._answers[number]
        return value

    def _listen(self) -> None:
        for line in sys.stdin:
            command = json.loads(line)
            if "store" in command:
                self._answers[command["store"]].put(command["value"])
            elif command["do"] == "connections":  # answered at once, whatever the other threads wait for
                found = [(each.here, each.there, each.stuck) for each in connections()]
                self.say({"connections": found, "number": command["number"]})
            else:
                self.commands.put(command)
        os._exit(0)

    def _beat(self) -> None:
        beats = 0
        while True:
            # Under a memory limit anything may be refused; a later beat tries again.
            with contextlib.suppress(MemoryError, OSError):
                self.board.beat()
                if self.interface is not None and beats % _BEATS_PER_COUNT == 0:
                    self.board.exchanged(moved_bytes(), link_down=link_is_down(self.interface))
            beats += 1
            time.sleep(_HEARTBEAT_S)
