"""A rank that writes to its log, at SIGUSR1, which modules it has imported itself; all else is the runtime's own."""

import signal
import sys
from pathlib import Path

from real_runtime.__main__ import live, main
from real_runtime.control.forking.server import Given

RANK = (sys.executable, "-P", str(Path(__file__)))


def recount(given: Given) -> None:
    """As any rank lives."""
    before = set(sys.modules)

    def write(*_: object) -> None:
        print("imported:", *sorted(set(sys.modules) - before), file=sys.stderr, flush=True)

    signal.signal(signal.SIGUSR1, write)
    live(given)


if __name__ == "__main__":
    main(recount)
