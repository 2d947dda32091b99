"""Does the recipe of docs/security.md for networks that are not trusted hide what ranks send each other?

By the kernel's WireGuard, or where the kernel has none by wireguard-go, between hosts in namespaces.
"""

import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest
import ssh_lab
from ssh_lab import Lab, lab
from test_ssh_testbed import assignment, two_hosts

from real_runtime.testbeds.netns import host_address
from real_runtime.testbeds.opening import open_testbed


def problem() -> str | None:
    """Why the recipe cannot be run here; None if it can."""
    if (why := ssh_lab.problem()) is not None:
        return why
    if shutil.which("wg") is None:
        return "wg is missing (apt-get install wireguard-tools)"
    return None if in_kernel() or shutil.which("wireguard-go") else "no WireGuard (apt-get install wireguard-go)"


def in_kernel() -> bool:
    """Whether the kernel makes such an interface."""
    tried = subprocess.run(
        ["unshare", "--net", "ip", "link", "add", "wg0", "type", "wireguard"], capture_output=True, check=False
    )
    return tried.returncode == 0


PROBLEM = problem()
pytestmark = [
    pytest.mark.soak,
    pytest.mark.netns,
    pytest.mark.timeout(300),
    pytest.mark.xdist_group("ssh"),
    pytest.mark.skipif(PROBLEM is not None, reason=str(PROBLEM)),
]
PORT, SSH_PORT, TCP, UDP = 51820, 22, 6, 17
# Says of every packet of an interface, until its input ends, which protocol it has and to or from which port it goes.
LISTENS = """
import select, socket, struct, sys
from collections import Counter
wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
wire.bind((sys.argv[1], 0))
print("listens", flush=True)
seen = Counter()
while True:
    ready, _, _ = select.select([wire, sys.stdin], [], [])
    if sys.stdin in ready:
        break
    packet = wire.recv(65536)
    if packet[12:14] != b"\\x08\\x00":
        continue
    at = 14 + 4 * (packet[14] & 15)
    seen[packet[23], *sorted(struct.unpack("!HH", packet[at : at + 4]))[:1]] += len(packet)
for (protocol, port), size in seen.items():
    print(protocol, port, size)
"""


@contextmanager
def tunnels(two: Lab) -> Iterator[None]:
    """As docs/security.md says, on each host."""
    keys = [subprocess.run(["wg", "genkey"], check=True, capture_output=True, text=True).stdout.strip() for _ in "ab"]
    public = [
        subprocess.run(["wg", "pubkey"], input=key, check=True, capture_output=True, text=True).stdout.strip()
        for key in keys
    ]
    with ExitStack() as stack:
        for rank, key in enumerate(keys):
            (two.folder / f"wg{rank}.key").write_text(key)
            there = 1 - rank
            if in_kernel():
                two.on_host(rank, "ip", "link", "add", "wg0", "type", "wireguard")
            else:
                enter = [*two.enter(rank), "wireguard-go", "--foreground", "wg0"]
                program = stack.enter_context(subprocess.Popen(enter, stderr=subprocess.DEVNULL))
                stack.callback(program.kill)
            wait_for_interface(two, rank)
            peer = f"peer {public[there]} allowed-ips 10.9.0.{there + 1}/32 endpoint {host_address(there)}:{PORT}"
            private = f"/mnt/wg{rank}.key"
            two.on_host(rank, "wg", "set", "wg0", "listen-port", str(PORT), "private-key", private, *peer.split())
            two.on_host(rank, "ip", "addr", "add", f"10.9.0.{rank + 1}/24", "dev", "wg0")
            two.on_host(rank, "ip", "link", "set", "wg0", "up")
        yield


def wait_for_interface(two: Lab, rank: int) -> None:
    until_s = time.monotonic() + 10
    while "wg0" not in two.on_host(rank, "ip", "-br", "link"):
        assert time.monotonic() < until_s, "no interface wg0"
        time.sleep(0.05)


@contextmanager
def wire_of(two: Lab, rank: int, seen: Counter[tuple[int, int]]) -> Iterator[None]:
    """Counts bytes on a host's cable by protocol and the lower of both ports."""
    enter = [*two.enter(rank), sys.executable, "-I", "-c", LISTENS, "eth0"]
    with subprocess.Popen(enter, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as listener:
        assert listener.stdout is not None
        assert listener.stdout.readline() == "listens\n"
        yield
        said, _ = listener.communicate(timeout=30)
    for line in said.splitlines():
        protocol, port, size = map(int, line.split())
        seen[protocol, port] += size


def test_between_hosts_that_are_joined_by_wireguard_only_its_packets_and_ssh_pass(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    with lab(tmp_path_factory.mktemp("lab"), 2) as two:
        with open_testbed(two.spec(), two_hosts()) as testbed:
            plain = Counter[tuple[int, int]]()
            with wire_of(two, 0, plain):
                losses = testbed.execute(assignment(5)).losses
        others = {name for name in plain if name[0] == TCP and name[1] != SSH_PORT}
        assert sum(plain[name] for name in others) > 100_000, "what is to be hidden is seen without it"

        hosts = {f"h{rank}": two.host(rank, interface="wg0") for rank in range(2)}
        with tunnels(two), open_testbed(two.spec(hosts=hosts), two_hosts()) as testbed:
            hidden = Counter[tuple[int, int]]()
            with wire_of(two, 0, hidden):
                assert testbed.execute(assignment(5)).losses == losses
            listening = [two.on_host(rank, "ss", "-H", "-tln").split("\n") for rank in range(2)]
        of_ranks = {
            row.split()[3].rpartition(":")[0] for rows in listening for row in rows if row and ":22 " not in row
        }
        assert of_ranks == {"10.9.0.1", "10.9.0.2"}
        assert {name for name in hidden if name[0] in (TCP, UDP)} == {(TCP, SSH_PORT), (UDP, PORT)}
        assert hidden[UDP, PORT] > 100_000
