"""How does a process get a socket in another network? A process that enters that network makes it and hands it over.

That process runs a few lines without our packages: it is there in some milliseconds.
"""

import socket
import subprocess
import sys
from collections.abc import Sequence

_READY_S = 20.0
_MAKES = """
import socket, sys
channel, made = socket.socket(fileno=int(sys.argv[1])), socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
made.bind((sys.argv[2], 0))
socket.send_fds(channel, [b"."], [made.fileno()])
"""


def datagram_socket(host: str) -> socket.socket:
    """A UDP socket of this process's network, bound to an address of its own and any port."""
    made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    made.bind((host, 0))
    return made


def datagram_socket_in(entering: Sequence[str], host: str) -> socket.socket:
    """The same in the network that a command enters before it runs what follows it. Raises SubprocessError."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        subprocess.run(
            [*entering, sys.executable, "-I", "-S", "-c", _MAKES, str(theirs.fileno()), host],
            pass_fds=[theirs.fileno()],
            check=True,
            capture_output=True,
            timeout=_READY_S,
        )
        _, (descriptor,), _, _ = socket.recv_fds(ours, 1, 1)
    return socket.socket(fileno=descriptor)
