"""What becomes of a run over SSH when its channel is cut, and what does a stranger in its network reach meanwhile?"""

import os
import re
import signal
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import ssh_lab
from ssh_lab import Lab, lab
from test_ssh_testbed import assignment, frozen, message_after, two_hosts
from test_strangers import LISTENS

from real_runtime.testbeds.netns import host_address
from real_runtime.testbeds.opening import open_testbed
from real_runtime.testbeds.spec import TestbedSpec
from real_runtime.testbeds.testbed import Testbed

PROBLEM = ssh_lab.problem()
pytestmark = [
    pytest.mark.soak,
    pytest.mark.netns,
    pytest.mark.timeout(600),
    pytest.mark.xdist_group("ssh"),
    pytest.mark.skipif(PROBLEM is not None, reason=str(PROBLEM)),
]
STRANGER = 2  # a host of the network that is none of the testbed's
SSH_PORT, ITERATIONS, BEFORE_S, CUT_S = 22, 40, 0.3, 5.0
RANK = re.compile(r"-m real_runtime \d+$")  # a rank's process, and not the agent's
# Connects to every port of an address, many at a time, and sends random bytes to those that open; prints these.
SCANS = """
import os, select, socket, sys
address, at_a_time = sys.argv[1], 500
opened, refused = [], 0
for first in range(1, 65536, at_a_time):
    poll, knocking = select.poll(), {}
    for port in range(first, min(first + at_a_time, 65536)):
        each = socket.socket()
        each.setblocking(False)
        each.connect_ex((address, port))
        knocking[each.fileno()] = each, port
        poll.register(each, select.POLLOUT)
    while knocking and (found := poll.poll(1000)):
        for number, event in found:
            each, port = knocking.pop(number)
            poll.unregister(number)
            if each.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0:
                each.send(os.urandom(4096))
                opened.append(port)
            else:
                refused += 1
            each.close()
    for each, port in knocking.values():
        each.close()
print(refused, *opened)
"""


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """Two hosts of a testbed, and a third that is in their network."""
    with lab(tmp_path_factory.mktemp("lab"), 3) as made:
        yield made


def of_two(three: Lab) -> TestbedSpec:
    return three.spec(hosts={name: host for name, host in three.hosts().items() if name != f"h{STRANGER}"})


@dataclass(frozen=True)
class Listener:
    """An open port of a host: where, and whose (a process by its words)."""

    address: str
    port: int
    program: str


def listeners(three: Lab, rank: int) -> list[Listener]:
    """What the kernel says of a host's network: every TCP socket that listens, and every UDP socket that is bound."""
    processes = three.processes(rank)
    owners = {}
    for pid, what in processes.items():
        for entry in os.scandir(f"/proc/{pid}/fd"):
            link = os.readlink(entry.path) if entry.is_symlink() else ""
            if link.startswith("socket:["):
                owners[link.removeprefix("socket:[").rstrip("]")] = what
    found, any_pid = [], three.sshd(rank)
    for kind in ("tcp", "tcp6", "udp", "udp6"):
        for line in Path(f"/proc/{any_pid}/net/{kind}").read_text().splitlines()[1:]:
            row = line.split()
            if kind.startswith("udp") or row[3] == LISTENS:
                place, _, port = row[1].partition(":")
                address = ".".join(str(int(place[i : i + 2], 16)) for i in (6, 4, 2, 0)) if len(place) == 8 else place
                found.append(Listener(address=address, port=int(port, 16), program=owners.get(row[9], "nobody")))
    return found


class Run(threading.Thread):
    """A run of many iterations in a thread of its own; ``losses`` once it has ended."""

    def __init__(self, testbed: Testbed) -> None:
        super().__init__()
        self.testbed = testbed
        self.losses: tuple[float, ...] = ()
        self.taken_s = 0.0

    def run(self) -> None:
        """Play them."""
        begun_s = time.monotonic()
        self.losses = tuple(self.testbed.execute(assignment(ITERATIONS)).losses)
        self.taken_s = time.monotonic() - begun_s


def assert_only_ranks_listen_beside_sshd(three: Lab) -> None:
    """gloo's ports are all there is, at the address of the inventory's interface; no control port, on no host."""
    for rank in range(2):
        found = listeners(three, rank)
        assert {each.address for each in found} == {host_address(rank)}
        others = [each for each in found if each.port != SSH_PORT]
        assert others
        assert [each for each in others if RANK.search(each.program) is None] == []
    assert [each.port for each in listeners(three, STRANGER)] == [SSH_PORT]


def assert_a_stranger_reaches_sshd_alone(three: Lab) -> None:
    """gloo's ports take nobody in: whoever is to be there has joined."""
    for rank in range(2):
        scan = [sys.executable, "-I", "-c", SCANS, host_address(rank)]
        refused, *opened = map(int, three.on_host(STRANGER, *scan).split())
        assert opened == [SSH_PORT]
        assert refused > 65_000


def test_a_run_bears_a_scan_and_cuts_of_seconds_and_tells_of_the_channel_that_ends(three: Lab) -> None:
    """One opening for all, since loading PyTorch on each host is what takes long."""
    with open_testbed(of_two(three), two_hosts()) as testbed:
        undisturbed = tuple(testbed.execute(assignment(ITERATIONS)).losses)

        assert_only_ranks_listen_beside_sshd(three)
        (scanned := Run(testbed)).start()
        assert_a_stranger_reaches_sshd_alone(three)
        scanned.join()
        assert scanned.losses == undisturbed

        (unplugged := Run(testbed)).start()
        time.sleep(BEFORE_S)
        three.holder.cut(1)
        time.sleep(CUT_S)
        three.holder.mend(1)
        unplugged.join()
        assert unplugged.losses == undisturbed
        assert unplugged.taken_s > CUT_S

        (held := Run(testbed)).start()
        frozen(three, 1, CUT_S)
        held.join()
        assert held.losses == undisturbed

        sessions = [pid for pid, what in three.processes(1).items() if what.startswith("sshd: root")]
        said = message_after(testbed, lambda: [os.kill(pid, signal.SIGKILL) for pid in sessions])
        assert re.match(r"rank 1 is lost at .+: host h1 \(h1\): ", said)
        assert said.endswith("(rank 1 is host h1 (h1))")
    assert [each for each in three.nothing_is_left(20) if "edgesim-scratch" not in each] == []
