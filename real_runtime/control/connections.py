"""Which bytes have this process's TCP connections moved, and which lie there unacknowledged? The kernel's word for it.

Progress of a message that the network library sends as a whole shows nowhere else. Where the kernel does not tell
(it is not Linux), nothing is known, and only whole messages count.
"""

import contextlib
import fcntl
import os
import socket
import struct
import sys
from collections.abc import Iterator
from dataclasses import dataclass

_KNOWN = sys.platform == "linux"
_TCP_INFO, _ESTABLISHED = getattr(socket, "TCP_INFO", 11), 1
# Of struct tcp_info: state, what happens at the retransmission timer; packets unacknowledged; bytes acknowledged,
# received and not yet sent.
_STATE_AT, _BACKOFF_AT, _UNACKED, _BYTES, _UNSENT = 0, 4, 24, 120, 144
_INFO_BYTES = 148
_SIOCGIFFLAGS, _UP, _RUNNING = 0x8913, 0x1, 0x40


@dataclass(frozen=True, slots=True, kw_only=True)
class Connection:
    """One TCP connection of a process, by its ends ("10.77.0.1:33011").

    Attributes:
        moved_bytes: acknowledged by the other end, and received from it.
        stuck: whether something was sent, was not acknowledged, and is being sent again.
    """

    here: str
    there: str
    moved_bytes: int
    stuck: bool


def connections() -> Iterator[Connection]:
    """All connections of this process that are up."""
    if not _KNOWN:
        return
    for name in os.listdir("/proc/self/fd"):
        try:
            if os.readlink(f"/proc/self/fd/{name}").startswith("socket:"):
                found = _connection(int(name))
                if found is not None:
                    yield found
        except OSError:  # closed since
            continue


def moved_bytes() -> int:
    """What all connections of this process have moved, both ways."""
    return sum(connection.moved_bytes for connection in connections())


def shut_down_all() -> None:
    """Let nothing pass this process's connections any more, so that whoever waits at one fails at once.

    Neither closing gloo's groups nor their deadlines wake a thread that waits; the kernel does.
    """
    for name in os.listdir("/proc/self/fd") if _KNOWN else ():
        with contextlib.suppress(OSError):  # closed since, or no socket of a connection
            socket_ = socket.socket(fileno=int(name))
            try:
                tcp = socket_.type == socket.SOCK_STREAM and socket_.family in (socket.AF_INET, socket.AF_INET6)
                # Of a listener gloo would take it for the end of the world.
                if tcp and not socket_.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
                    socket_.shutdown(socket.SHUT_RDWR)
            finally:
                socket_.detach()  # it is not ours to close


def _connection(descriptor: int) -> Connection | None:
    """None for what is no TCP connection. Raises OSError for a descriptor that was closed."""
    socket_ = socket.socket(fileno=descriptor)
    try:
        if socket_.family not in (socket.AF_INET, socket.AF_INET6) or socket_.type != socket.SOCK_STREAM:
            return None
        info = socket_.getsockopt(socket.IPPROTO_TCP, _TCP_INFO, 256)
        if len(info) < _INFO_BYTES or info[_STATE_AT] != _ESTABLISHED:
            return None
        (unacked,) = struct.unpack_from("=I", info, _UNACKED)
        (unsent,) = struct.unpack_from("=I", info, _UNSENT)
        return Connection(
            here=_end(socket_.getsockname()),
            there=_end(socket_.getpeername()),
            moved_bytes=sum(struct.unpack_from("=QQ", info, _BYTES)),
            stuck=bool(unacked or unsent) and info[_BACKOFF_AT] > 0,
        )
    finally:
        socket_.detach()  # it is not ours to close


def _end(address: tuple[str, int]) -> str:
    return f"{address[0].removeprefix('::ffff:')}:{address[1]}"


def link_is_down(interface: str) -> bool:
    """Whether the kernel says that nothing can pass this network interface."""
    if not _KNOWN:
        return False
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        try:
            answer = fcntl.ioctl(any_socket, _SIOCGIFFLAGS, struct.pack("16s16x", interface.encode()[:15]))
        except OSError:  # the interface itself is gone
            return True
    (flags,) = struct.unpack_from("=H", answer, 16)
    return not (flags & _UP and flags & _RUNNING)
