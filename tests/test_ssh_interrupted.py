"""What stays on hosts, and what is said, when a command is ended in the middle of a run over SSH, or a host is?"""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import ssh_lab
from ssh_lab import PYTHON, Lab, lab
from test_ssh_testbed import assignment, message_after, two_hosts

from edgesim.errors import RunError
from real_runtime.testbeds.opening import open_testbed

PROBLEM = ssh_lab.problem()
pytestmark = [
    pytest.mark.soak,
    pytest.mark.netns,
    pytest.mark.timeout(600),
    pytest.mark.xdist_group("ssh"),
    pytest.mark.skipif(PROBLEM is not None, reason=str(PROBLEM)),
]
ROOT = Path(__file__).parent.parent
TESTBED = """
defaults: [ssh, _self_]
reaching: {{ ssh_config: {config}, silence_s: 4 }}
hosts:
"""
HOST = """
  h{rank}: {{ _target_: real_runtime.ssh.inventory.Host, address: h{rank}, interface: eth0, python: {python} }}
"""
RUN = (
    "testbed=lab",
    "model=bert_tiny_bytes",
    "workload.batch_samples=8",
    "workload.micro_batch_samples=4",
    "strategy=data",
    "planner=even",
    "execute=true",
    "iterations=100000",
)


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with lab(tmp_path_factory.mktemp("lab"), 3) as made:
        yield made


def wait_until_iterations_have_ended(results: Path, within_s: float = 120.0) -> None:
    """Each is written as soon as all ranks have played it."""
    until_s = time.monotonic() + within_s
    while sum(len(path.read_text().splitlines()) for path in results.rglob("iterations.jsonl")) < 3:
        assert time.monotonic() < until_s, "ranks did not come to play"
        time.sleep(0.1)


@pytest.mark.parametrize(
    ("number", "code", "says"),
    [(signal.SIGINT, 130, "interrupted"), (signal.SIGTERM, 143, "terminated"), (signal.SIGKILL, -9, "")],
)
def test_a_run_that_is_ended_in_its_middle_leaves_nothing_on_any_host(
    three: Lab, tmp_path: Path, number: signal.Signals, code: int, says: str
) -> None:
    (tmp_path / "my_conf/testbed").mkdir(parents=True)
    text = TESTBED.format(config=three.folder / "config")
    text += "".join(HOST.format(rank=rank, python=PYTHON) for rank in range(three.count))
    (tmp_path / "my_conf/testbed/lab.yaml").write_text(text.lstrip())
    words = [sys.executable, "-m", "experiments.run", *RUN, "--config-dir", str(tmp_path / "my_conf")]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "COLUMNS": "200"}
    with (tmp_path / "said").open("wb") as log:
        driver = subprocess.Popen(words, cwd=tmp_path, env=environment, stdout=log, stderr=log)
    try:
        wait_until_iterations_have_ended(tmp_path / "results")
        driver.send_signal(number)
        assert driver.wait(60) == code
    finally:
        driver.kill()
        driver.wait()
    assert (tmp_path / "said").read_text().rstrip().endswith(says)
    assert "Traceback" not in (tmp_path / "said").read_text()
    assert three.nothing_is_left(30) == []


def test_a_host_that_is_switched_off_in_the_middle_of_a_run_is_named_and_the_others_are_left_clean(three: Lab) -> None:
    """All of its processes end at once, but for the lab's own, and nothing of it is heard any more."""
    hosts = {name: host for name, host in three.hosts().items() if name != "h2"}
    spec = three.spec(hosts=hosts, reaching=three.reaching(silence_s=4.0))

    def switch_off() -> None:
        three.holder.cut(1)
        own = three.sshd(1)
        for pid, what in three.processes(1).items():
            if pid != own and "timens_offsets" not in what:
                os.kill(pid, signal.SIGKILL)

    with open_testbed(spec, two_hosts()) as testbed:
        testbed.execute(assignment(1))
        try:
            said = message_after(testbed, switch_off)
        finally:
            three.holder.mend(1)
    assert re.match(r"rank 1 is lost at .+: host h1 \(h1\): nothing was heard of it for \d+ s \(is it on", said)
    assert said.endswith("(rank 1 is host h1 (h1))")
    assert [each for each in three.nothing_is_left(30) if "edgesim-scratch" not in each] == []


def test_a_disk_that_is_full_when_results_are_written_is_told_with_its_host(three: Lab, tmp_path: Path) -> None:
    hosts = {name: host for name, host in three.hosts().items() if name != "h2"}
    place = three.root(1) / "tmp"
    filler = place / "filler"
    with open_testbed(three.spec(hosts=hosts), two_hosts()) as testbed:
        filler.write_bytes(b"x" * (os.statvfs(place).f_bavail * os.statvfs(place).f_frsize))
        try:
            with pytest.raises(RunError) as told:
                testbed.execute(assignment(1, tmp_path))
        finally:
            filler.unlink()
    assert re.search(r"rank1.safetensors cannot be written: No space left on device \(make room", str(told.value))
    assert str(told.value).endswith("(rank 1 is host h1 (h1))")
    assert three.nothing_is_left() == []
