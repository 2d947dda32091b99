"""What makes a forked process a rank's own? A session, pipes, a log, a working folder, an environment, a network.

All of them are the coordinator's of this moment, not of when the fork server started. It is done before there is any
thread: only so can a process enter namespaces as a whole.
"""

import ctypes
import json
import os
import signal
import sys
from collections.abc import Sequence

from real_runtime.control.board import Board
from real_runtime.control.forking.server import Given
from real_runtime.control.port import Port

_PR_SET_PDEATHSIG = 1


def settle(given: Given) -> Port:
    """Make this process a rank's; its side of the control channel. Raises OSError for a namespace that is closed to us.

    stdout is kept for nobody: whatever libraries print goes to the log.
    """
    os.setsid()
    end_with_parent()
    for descriptor, number in ((given.commands, 0), (given.log, 1), (given.log, 2)):
        os.dup2(descriptor, number)
    os.fchdir(given.folder)
    for descriptor in (given.commands, given.log, given.folder):
        os.close(descriptor)
    first = json.loads(sys.stdin.readline() or sys.exit())  # nobody tells any more: the coordinator has ended
    os.environ.clear()
    os.environ.update(first["environment"])
    enter(first["namespaces"])
    end_with_parent()  # who enters a user namespace has other rights, and is forgotten
    return Port(os.fdopen(given.replies, "w"), Board(given.board))


def enter(namespaces: Sequence[str]) -> None:
    """Enter namespaces of the kernel by their files, in this order. Raises OSError."""
    descriptors = [os.open(path, os.O_RDONLY | os.O_CLOEXEC) for path in namespaces]  # before we are elsewhere
    library = ctypes.CDLL(None, use_errno=True)  # os.setns is of Python 3.12
    for descriptor, path in zip(descriptors, namespaces, strict=True):
        if library.setns(descriptor, 0) != 0:
            raise OSError(ctypes.get_errno(), f"namespace {path}: {os.strerror(ctypes.get_errno())}")
        os.close(descriptor)


def end_with_parent() -> None:
    """Let the kernel kill this process when the thread that started it ends, where it can (Linux)."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
