"""Do bytes pass an emulated host's line whatever is done to it meanwhile? And who says so if it cannot be changed?"""

import socket
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from edgesim.errors import RunError
from real_runtime.testbeds import netns
from real_runtime.testbeds.netns import NetnsHosts, host_address
from real_runtime.testbeds.scenarios.cables import BatchTool, NetnsWiring
from real_runtime.testbeds.shaping import changed, held, let_go, made_changeable, made_steady

pytestmark = [
    pytest.mark.netns,
    pytest.mark.skipif(netns.problem() is not None, reason=f"network namespaces: {netns.problem()}"),
]
RATE, MESSAGE_BYTES, STEP_S = 4e6, 10_000_000, 0.3
LISTEN = f"""
import socket
listener = socket.create_server(("", 5000))
print("listens", flush=True)
connection, _ = listener.accept()
left = {MESSAGE_BYTES}
while left:
    left -= len(connection.recv(left))
"""
SEND = f"""
import socket
connection = socket.create_connection(("{host_address(1)}", 5000))
connection.sendall(bytes({MESSAGE_BYTES}))
connection.recv(1)
"""
CHANGES = [
    *made_changeable("eth0", RATE),
    changed("eth0", RATE / 2, RATE),
    held("eth0"),
    let_go("eth0", RATE),
    changed("eth0", RATE, RATE),
    *made_steady("eth0", RATE),
]


@pytest.fixture
def hosts() -> Iterator[NetnsHosts]:
    with netns.hosts([RATE, RATE]) as made:
        yield made


def message(hosts: NetnsHosts) -> list[subprocess.Popen[str]]:
    """Processes that receive and send one, longer than all steps take."""
    receiver = subprocess.Popen(
        [*hosts.on_host(1), sys.executable, "-c", LISTEN], stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    assert receiver.stdout is not None
    assert receiver.stdout.readline() == "listens\n"
    return [receiver, subprocess.Popen([*hosts.on_host(0), sys.executable, "-c", SEND], start_new_session=True)]


def test_a_message_arrives_whatever_step_of_a_change_its_packets_meet(hosts: NetnsHosts) -> None:
    """Large packets wait when the line is made changeable; each step is done alone, with time for more to come."""
    processes = message(hosts)
    try:
        time.sleep(0.1)
        for step in CHANGES:
            subprocess.run([*hosts.on_host(0), "tc", *step.split()], check=True, timeout=10)
            time.sleep(STEP_S)
        assert [process.wait(10) for process in processes] == [0, 0]
    finally:
        for process in processes:
            process.kill()
            process.communicate()


def test_programs_that_change_lines_are_there_before_the_first_change(hosts: NetnsHosts) -> None:
    wiring = NetnsWiring(hosts, [RATE, RATE])
    wiring.set(0, RATE / 2, is_up=True)
    time.sleep(0.05)
    shown = subprocess.run(
        [*hosts.on_host(0), "tc", "class", "show", "dev", "eth0"], check=True, capture_output=True, text=True
    ).stdout
    assert "rate 16Mbit" in shown
    wiring.close()


def test_a_program_that_does_not_start_is_not_taken_for_ready() -> None:
    tool = BatchTool(["sh", "-c", "echo no such namespace >&2"], "qdisc show dev lo")
    assert not tool.is_ready(time.monotonic() + 5)
    assert tool.close() == "no such namespace"


class GoneHosts(NetnsHosts):
    """Hosts that end just after they have given a socket."""

    def listener(self) -> socket.socket:
        return socket.socket(socket.AF_INET, socket.SOCK_DGRAM)


def test_hosts_that_are_gone_are_told_of_when_their_lines_are_to_be_changed() -> None:
    with pytest.raises(RunError, match=r"the programs that change lines do not start: nsenter: .*No such file"):
        NetnsWiring(GoneHosts(holder=2**22 + 1), [RATE])
