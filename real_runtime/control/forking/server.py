"""How does every rank get a process of its own without loading its libraries? One process that has them forks it.

It is the coordinator's, asked over a socket without a name, and knows nothing of ranks. It runs one thread only, since
a fork copies no other: locks that these hold would stay locked for ever.
"""

import json
import os
import socket
from dataclasses import dataclass, fields
from typing import Any

_REQUEST_BYTES = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """The descriptors that a forked process is given: pipes, a log, the memory of its board and a working folder."""

    commands: int
    replies: int
    log: int
    board: int
    folder: int


def serve(channel: socket.socket) -> Given:
    """Fork, and tell how those who were forked ended, until the coordinator's end closes.

    Returns in every process that was forked, and only there.
    """
    _say(channel, {"number": 0})
    codes: dict[int, int] = {}  # of those that have ended
    while True:
        said, descriptors, _, _ = socket.recv_fds(channel, _REQUEST_BYTES, len(fields(Given)))
        if not said:
            os._exit(0)
        request = json.loads(said)
        if "end_of" in request:
            _note_end(request["end_of"], codes)
            _say(channel, {"number": request["number"], "code": codes.get(request["end_of"])})
            continue
        try:
            pid = os.fork()
        except OSError as error:
            _say(channel, {"number": request["number"], "error": str(error)})
        else:
            if pid == 0:
                channel.close()
                return Given(**dict(zip((field.name for field in fields(Given)), descriptors, strict=True)))
            codes.pop(pid, None)  # another's, before
            _say(channel, {"number": request["number"], "pid": pid})
        for descriptor in descriptors:
            os.close(descriptor)


def _say(channel: socket.socket, answer: dict[str, Any]) -> None:
    try:
        channel.sendall(json.dumps(answer).encode())
    except BrokenPipeError:  # the coordinator has ended
        os._exit(0)


def _note_end(pid: int, codes: dict[int, int]) -> None:
    """Keep how a forked process ended, if it has: the kernel tells once, and who asked may have been interrupted."""
    if pid not in codes:
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            codes[pid] = os.waitstatus_to_exitcode(status)
