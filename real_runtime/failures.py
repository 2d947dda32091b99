"""What kind of failure is an error? Of PyTorch's and gloo's errors only the text tells one from another."""

import errno
import resource
import traceback
from typing import Any

from real_runtime.control.evidence import Failure
from real_runtime.playing.finiteness import NotFiniteError
from real_runtime.playing.iteration import TaskError
from real_runtime.transport import PeerGoneError


def limit_memory(extra_bytes: int) -> None:
    """Let this process take so many more bytes of private memory."""
    with open("/proc/self/statm") as statm:
        data_bytes = int(statm.read().split()[5]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_DATA, (data_bytes + extra_bytes, data_bytes + extra_bytes))


def is_out_of_memory(error: BaseException) -> bool:
    """Whether memory was refused; under a limit even the error may have had no memory left to say so."""
    if isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno == errno.ENOMEM):
        return True
    # PyTorch and the C++ library raise RuntimeErrors, which only their text tells from others.
    text = str(error)
    if any(sign in text for sign in ("can't allocate memory", "not enough memory", "bad_alloc")):
        return True
    limited = resource.getrlimit(resource.RLIMIT_DATA)[0] != resource.RLIM_INFINITY
    return limited and (isinstance(error, SystemError) or "can't start new thread" in text or "failed to map" in text)


def failure_of(error: BaseException) -> Failure:
    """The kind of failure that an error is."""
    if is_out_of_memory(error):
        return Failure.OUT_OF_MEMORY
    kinds = ((PeerGoneError, Failure.PEER_GONE), (NotFiniteError, Failure.NOT_FINITE))
    return next((failure for kind, failure in kinds if isinstance(error, kind)), Failure.OTHER)


def describe(error: BaseException) -> dict[str, Any]:
    """An error for the coordinator: kind of failure, message, and the task if it came of one."""
    task = {"task": error.task.name} if isinstance(error, TaskError) else {}
    cause = error.__cause__ if isinstance(error, TaskError) and error.__cause__ is not None else error
    text = str(cause).strip()
    return {
        **task,
        "failure": failure_of(cause),
        "message": text.splitlines()[0] if text else repr(cause),
        "trace": "".join(traceback.format_exception(cause)),
    }
