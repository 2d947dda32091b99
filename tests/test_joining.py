"""Does a rank that joined in vain find its peers the next time? Ranks are processes of their own."""

import subprocess
import sys
from pathlib import Path

import pytest

JOINS = """
import sys
from torch._C._distributed_c10d import Store
from torch.distributed import FileStore
from real_runtime.transport import Membership, Transport, leave_groups

rank, file, in_vain = int(sys.argv[1]), sys.argv[2], sys.argv[3] == "in vain"

class GivenUp(Store):
    def set(self, *words):
        raise RuntimeError("the coordinator has given up")
    get = add = check = wait = compare_set = set

if in_vain:
    try:
        Transport(Membership(rank=rank, members=(0, 1), interface="lo"), GivenUp(), nic_bytes_per_s=None)
    except Exception as error:
        assert "given up" in str(error), error
    leave_groups()
transport = Transport(
    Membership(rank=rank, members=(0, 1), interface="lo", generation=1), FileStore(file, 2), nic_bytes_per_s=None
)
print(*transport.gather("first" if rank == 0 else "second"))
transport.close()
"""


@pytest.mark.timeout(120)
def test_a_rank_that_joined_in_vain_finds_its_peers_the_next_time(tmp_path: Path) -> None:
    words = ["in vain", "at once"]
    ranks = [
        subprocess.Popen(
            [sys.executable, "-c", JOINS, str(rank), str(tmp_path / "store"), words[rank]],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    try:
        said = [rank.communicate(timeout=60) for rank in ranks]
    finally:
        for rank in ranks:
            rank.kill()
    assert [out for out, _ in said] == ["first second\n"] * 2, said
