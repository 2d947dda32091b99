"""One rank as a process: ``python -m real_runtime BOARD`` reads commands as JSON lines and answers alike.

It tells who it is before it loads PyTorch, which takes seconds: so it is watched from its beginning.
"""

import os
import sys
from importlib import import_module

from real_runtime.control.board import Board
from real_runtime.control.port import Port, end_with_parent


def main() -> None:
    """Keep stdout for replies: whatever libraries print goes to stderr."""
    replies = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    end_with_parent()
    port = Port(replies, Board(int(sys.argv[1])))
    port.open()
    import_module("real_runtime.rank").Rank(port).serve()


if __name__ == "__main__":
    main()
