"""How are rates and cables of network namespaces changed in time? By programs that are there already, tc and ip.

To start such a program for every change, in every namespace, takes some 10 ms of a processor that computes.
"""

import contextlib
import select
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial

from edgesim.errors import RunError
from real_runtime.testbeds.netns import NetnsHosts, host_address
from real_runtime.testbeds.shaping import changed, held, let_go, made_changeable, made_steady

_START_S, _END_S = 20.0, 5.0
_DONE_S = 0.003  # after which a program has done a line
_DISCARD = 9  # a port at which nobody listens


class BatchTool:
    """A program of iproute2 that reads its commands, one a line, as they come; ``asks`` is one that it answers."""

    def __init__(self, command: Sequence[str], asks: str) -> None:
        self._said = tempfile.TemporaryFile()  # noqa: SIM115 (closed with us)
        self._process = subprocess.Popen(
            [*command, "-force", "-batch", "-"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._said,
            text=True,
            start_new_session=True,
        )
        with contextlib.suppress(OSError):  # it has ended already; whoever waits for its answer hears
            self.do(asks)

    def is_ready(self, until_s: float) -> bool:
        """Wait for its first answer: a crowded machine may take a second to start it."""
        assert self._process.stdout is not None
        answers, _, _ = select.select([self._process.stdout], [], [], max(0.0, until_s - time.monotonic()))
        return bool(answers and self._process.stdout.readline())

    def do(self, line: str) -> None:
        """Give it a command; returns at once. Raises OSError where it has ended."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{line}\n")
        self._process.stdin.flush()

    def close(self) -> str:
        """Wait until it has done everything; what it complained of, or nothing."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.close()
            self._process.wait(_END_S)
        except (OSError, subprocess.TimeoutExpired):
            self._process.kill()
            self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()
        with self._said:
            self._said.seek(0)
            return self._said.read().decode(errors="replace").strip()


class NetnsWiring:
    """Changes what shapes both ends of a host's line, and sets the bridge's end up or down."""

    def __init__(self, hosts: NetnsHosts, bytes_per_s: Sequence[float]) -> None:
        beside = hosts.enter()
        self._own, self._kicks = bytes_per_s, hosts.listener()
        self._cables = BatchTool([*beside, "ip"], "link show dev lo")
        self._bridge = BatchTool([*beside, "tc"], "qdisc show dev lo")
        in_hosts = ([*beside, "tc", "-netns", f"h{rank}"] for rank in range(len(bytes_per_s)))
        self._hosts = [BatchTool(tool, "qdisc show dev eth0") for tool in in_hosts]
        self._now = [(own, True) for own in bytes_per_s]
        self._is_changeable = False
        until_s = time.monotonic() + _START_S
        if not all(tool.is_ready(until_s) for tool in self._tools):
            said = self._end_tools()
            raise RunError(f"the programs that change lines do not start: {said or 'they say nothing'}")

    @property
    def _tools(self) -> tuple[BatchTool, ...]:
        return self._cables, self._bridge, *self._hosts

    def set(self, rank: int, bytes_per_s: float, *, is_up: bool) -> None:
        """See :class:`real_runtime.testbeds.scenarios.lines.Wiring`."""
        before, was_up = self._now[rank]
        self._now[rank] = bytes_per_s, is_up
        if bytes_per_s != before:
            self._make_changeable()
            self._set_rate(rank, bytes_per_s, before)
        if is_up != was_up:
            self._cables.do(f"link set v{rank} {'up' if is_up else 'down'}")

    def close(self) -> None:
        """Shape all lines as before, and end the programs. Raises RunError with their words where one complained."""
        if self._is_changeable:
            for rank, own in enumerate(self._own):
                self._do(rank, partial(made_steady, bytes_per_s=own))
        if said := self._end_tools():
            raise RunError(f"a line could not be changed: {said}")

    def _end_tools(self) -> str:
        """The first line of what any of them complained of."""
        said = [words for tool in self._tools if (words := tool.close())]
        self._kicks.close()
        return said[0].splitlines()[0] if said else ""

    def _make_changeable(self) -> None:
        """Before the first change of all, when nothing waits in any queue."""
        if not self._is_changeable:
            self._is_changeable = True
            for rank, own in enumerate(self._own):
                self._do(rank, partial(made_changeable, bytes_per_s=own))

    def _set_rate(self, rank: int, bytes_per_s: float, before: float) -> None:
        own = self._own[rank]
        if bytes_per_s:
            self._do(rank, lambda device: [changed(device, bytes_per_s, own)])
        if bytes_per_s == 0:
            self._do(rank, lambda device: [held(device)])
        elif before == 0:
            self._do(rank, lambda device: [let_go(device, own)])
            self._kick(rank)

    def _do(self, rank: int, lines: Callable[[str], Iterable[str]]) -> None:
        """Do commands for both ends of a host's line."""
        for tool, device in ((self._bridge, f"v{rank}"), (self._hosts[rank], "eth0")):
            for line in lines(device):
                tool.do(line)

    def _kick(self, rank: int) -> None:
        """Let a packet come to both ends of a line that was held: the host says that nobody listens there."""
        time.sleep(_DONE_S)
        self._kicks.sendto(b"", (host_address(rank), _DISCARD))
