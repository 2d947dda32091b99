"""Can another user of this machine reach ranks on the loopback interface? Not once they have joined."""

import os
import pwd
import subprocess
import sys
from pathlib import Path

import pytest
from runtime_builders import BERT, CASES, data, three_hosts, workload

from edgesim.strategies.hybrid_pipeline import hybrid_pipeline
from real_runtime.assignment import Assignment
from real_runtime.testbeds.opening import open_testbed
from real_runtime.testbeds.spec import TestbedSpec

LISTENS = "0A"
# Knocks at all ports many times, as somebody else if it can, with what a guessing peer would send; prints who opened.
KNOCKS = """
import os, select, socket, sys
uid, times, *ports = map(int, sys.argv[1:])
if uid:
    os.setgid(uid)
    os.setuid(uid)
poll, knocking = select.poll(), {}
for knock in range(times):
    each = socket.socket()
    each.setblocking(False)
    each.connect_ex(("127.0.0.1", ports[knock % len(ports)]))
    knocking[each.fileno()] = each
    poll.register(each, select.POLLOUT)
opened = 0
for number, event in poll.poll(1500):
    if knocking[number].getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0:
        knocking[number].send(os.urandom(8))
        opened += 1
print(opened)
"""


def listening_ports(pid: int) -> list[int]:
    """The TCP ports at which a process listens."""
    links = [os.readlink(entry) for entry in Path(f"/proc/{pid}/fd").iterdir() if entry.is_symlink()]
    sockets = {link.removeprefix("socket:[").rstrip("]") for link in links if link.startswith("socket:")}
    rows = [
        line.split() for name in ("tcp", "tcp6") for line in Path(f"/proc/{pid}/net/{name}").read_text().splitlines()
    ]
    return [int(row[1].rpartition(":")[2], 16) for row in rows if row[3] == LISTENS and row[9] in sockets]


@pytest.mark.slow
@pytest.mark.xdist_group("testbed")
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux drops what arrives at a listener")
def test_six_hundred_strangers_change_nothing() -> None:
    nobody = pwd.getpwnam("nobody").pw_uid if os.geteuid() == 0 else 0
    work = workload(BERT)
    schedule = hybrid_pipeline(CASES[3].plan(BERT), BERT, work)
    assignment = Assignment(schedule=schedule, model=BERT, workload=work, data=data(BERT), iterations=3, seed=1)
    with open_testbed(TestbedSpec(kind="loopback"), three_hosts()) as testbed:
        ports = [port for pid in testbed.coordinator.pids for port in listening_ports(pid)]
        assert len(ports) >= 3  # gloo keeps its own open
        undisturbed = testbed.execute(assignment)
        knocks = [sys.executable, "-c", KNOCKS, str(nobody), "600", *map(str, ports)]
        with subprocess.Popen(knocks, stdout=subprocess.PIPE, text=True) as stranger:
            attacked = testbed.execute(assignment)
            assert stranger.stdout is not None
            assert stranger.stdout.read() == "0\n"
    assert stranger.returncode == 0
    assert attacked.losses == undisturbed.losses
