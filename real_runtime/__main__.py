"""The fork server of ranks as a process: ``python -m real_runtime CHANNEL`` loads what ranks need, and forks them.

CHANNEL is the descriptor of a socket whose other end the coordinator holds (control/forking/client.py). A rank reads
commands as JSON lines and answers alike.
"""

import select
import socket
import sys
from collections.abc import Callable
from importlib import import_module

from real_runtime.control.forking.child import end_with_parent, settle
from real_runtime.control.forking.server import Given, serve


def live(given: Given) -> None:
    """What a forked process does: it is a rank until its coordinator ends."""
    port = settle(given)
    rank = import_module("real_runtime.rank").Rank(port)
    port.open()  # now that it knows what is to be done at once
    rank.serve()


def is_closed(channel: socket.socket) -> bool:
    """Whether nobody holds the other end of the channel."""
    poll = select.poll()
    poll.register(channel, 0)
    return bool(poll.poll(0))


def main(live: Callable[[Given], None] = live) -> None:
    """Load, then fork."""
    channel = socket.socket(fileno=int(sys.argv[1]))
    end_with_parent()
    if is_closed(channel):  # whoever started us ended before we could say that we end with it
        return
    import_module("real_runtime.rank").load()
    live(serve(channel))


if __name__ == "__main__":
    main()
