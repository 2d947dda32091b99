"""Do ranks run on hosts that have a user, a key and a host key of their own each, and what stays in their homes?"""

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import ssh_lab
from ssh_lab import Lab, lab
from test_ssh_testbed import assignment, two_hosts

from edgesim.errors import RunError
from real_runtime.ssh.checking import checked
from real_runtime.ssh.far_host import FarHost
from real_runtime.ssh.hosts import reached, together
from real_runtime.testbeds.opening import open_testbed
from real_runtime.testbeds.spec import TestbedSpec

PROBLEM = ssh_lab.problem()
pytestmark = [
    pytest.mark.slow,
    pytest.mark.netns,
    pytest.mark.xdist_group("ssh"),
    pytest.mark.skipif(PROBLEM is not None, reason=str(PROBLEM)),
]
USERS = ("edge-a", "edge-b")


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with lab(tmp_path_factory.mktemp("lab"), 2, users=USERS) as made:
        yield made


def files_of(two: Lab, rank: int) -> list[str]:
    """What lies in the home of a host's user, but for the runtime, which is meant to stay."""
    home = two.root(rank) / "media"
    found = (str(path.relative_to(home)) for path in home.rglob("*") if path.is_file())
    return sorted(name for name in found if not name.startswith(".cache/edgesim/runtime/"))


def who(two: Lab, rank: int, word: str) -> set[int]:
    """The users whose processes with a word in their command run on a host."""
    pids = [pid for pid, what in two.processes(rank).items() if word in what and "timens_offsets" not in what]
    return {os.stat(f"/proc/{pid}").st_uid for pid in pids}


def test_ranks_are_each_hosts_own_user_and_leave_nothing_in_their_homes(two: Lab) -> None:
    good = checked(list(two.hosts().items()), two.reaching())
    assert [report.failure for report in good] == ["", ""]
    assert len({report.host_key for report in good}) == 2
    with (
        open_testbed(TestbedSpec(kind="loopback", fractions=(0.5, 0.5)), two_hosts()) as testbed,
    ):
        ours = testbed.execute(assignment(2)).losses
    with open_testbed(two.spec(), two_hosts()) as testbed:
        assert testbed.description == "ssh: h0 (edge-a@h0), h1 (edge-b@h1)"
        assert testbed.execute(assignment(2)).losses == ours
        users = [who(two, rank, "real_runtime") for rank in range(2)]
    assert [len(each) for each in users] == [1, 1]
    assert 0 not in users[0] | users[1]
    assert users[0] != users[1]
    assert two.nothing_is_left() == []
    assert [files_of(two, rank) for rank in range(2)] == [[".ssh/authorized_keys"]] * 2


def test_a_user_is_not_let_in_on_the_others_host_nor_by_the_others_key(two: Lab) -> None:
    a, b = two.host(0), two.host(1)
    wrong_user, wrong_key = replace(a, user=b.user, key=b.key), replace(b, key=a.key)
    with (
        pytest.raises(RunError) as told,
        reached([("h0", wrong_user), ("h1", wrong_key)], two.reaching()) as far,
    ):
        together(far, FarHost.open)
    first, second = str(told.value).splitlines()
    assert first.startswith("host h0 (edge-b@h0): it does not let this user in with this key (ssh-copy-id ")
    assert second.startswith("host h1 (edge-b@h1): it does not let this user in with this key (ssh-copy-id ")
    assert "edge-b@h1, or name user and key in the inventory)" in second


def test_no_user_of_this_machine_is_made(two: Lab) -> None:
    assert not any(user in Path("/etc/passwd").read_text() for user in USERS)
