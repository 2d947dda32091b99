"""What does a host lack, and does the one message say it? Against hosts with an sshd each; none is left anything."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import ssh_lab
from processes import alive
from ssh_lab import Lab, lab

from edgesim.errors import RunError
from real_runtime.ssh import hosts as hosts_module
from real_runtime.ssh.checking import checked
from real_runtime.ssh.clock import HostClock
from real_runtime.ssh.far_host import FarHost
from real_runtime.ssh.hosts import attempted, reached, together
from real_runtime.ssh.inventory import Host, Reaching
from real_runtime.ssh.wheel import Wheel, made_wheel

PROBLEM = ssh_lab.problem()
pytestmark = [
    pytest.mark.slow,
    pytest.mark.netns,
    pytest.mark.xdist_group("ssh"),
    pytest.mark.skipif(PROBLEM is not None, reason=str(PROBLEM)),
]
AHEAD_S = (0.05, -0.05)


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with lab(tmp_path_factory.mktemp("lab"), 2, ahead_s=AHEAD_S, home_mb=24) as made:
        yield made


@pytest.fixture(autouse=True)
def clean(two: Lab) -> Iterator[None]:
    yield
    assert two.nothing_is_left() == []


def refusal(two: Lab, reaching: Reaching | None = None, **changed: Host) -> str:
    """Why the hosts, some of them changed, cannot be used."""
    with (
        pytest.raises(RunError) as told,
        reached(list(two.hosts(**changed).items()), reaching or two.reaching()) as far,
    ):
        together(far, FarHost.open)
    return str(told.value)


def test_hosts_get_the_runtime_once_and_tell_what_they_are_and_what_time_it_is(two: Lab) -> None:
    for is_there in (False, True):
        with reached(list(two.hosts().items()), two.reaching()) as far:
            begun_s = time.monotonic()
            together(far, FarHost.open)
            assert [host.was_there for host in far] == [is_there] * 2
            assert time.monotonic() - begun_s < 15
            assert [host.facts["interface"] for host in far] == ["eth0"] * 2
            assert [host.clock.fit.offset_s for host in far] == pytest.approx(AHEAD_S, abs=0.002)
            assert all(host.clock.fit.uncertainty_s < 0.002 for host in far)


def test_what_was_changed_on_a_host_is_deployed_anew(two: Lab) -> None:
    with reached(list(two.hosts().items()), two.reaching()) as far:
        together(far, FarHost.open)
    (kept,) = (two.root(0) / "media/.cache/edgesim/runtime").glob("*/real_runtime/rank.py")
    kept.write_text("raise SystemExit('somebody else wrote this')\n")
    with reached(list(two.hosts().items()), two.reaching()) as far:
        together(far, FarHost.open)
        assert [host.was_there for host in far] == [False, True]
    assert kept.read_bytes() == Path(hosts_module.__file__).parents[1].joinpath("rank.py").read_bytes()


def test_an_unreachable_host_is_named_beside_one_that_is_there(two: Lab) -> None:
    said = refusal(two, h1=two.host(1, address="nowhere.invalid"))
    assert said.startswith("host h1 (nowhere.invalid): its name is not known")
    assert "h0" not in said


def test_a_host_without_sshd_is_told_from_one_that_does_not_answer(two: Lab) -> None:
    config = two.folder / "config"
    nobody = two.folder / "nobody"
    nobody.write_text(config.read_text().replace("connects.py 10.77.0.2", "connects.py 10.77.0.77"))
    assert "host h1 (h1): it cannot be reached" in refusal(two, two.reaching(ssh_config=str(nobody)))
    silent = two.folder / "silent"
    silent.write_text(config.read_text().replace("connects.py 10.77.0.2", "connects.py 10.77.0.254"))
    assert "host h1 (h1): no sshd listens there" in refusal(two, two.reaching(ssh_config=str(silent)))


@pytest.mark.parametrize(("known", "told"), [("changed", "its host key is not the one"), ("none", "is not known here")])
def test_a_wrong_host_key_ends_it_before_anything_is_sent(two: Lab, known: str, told: str) -> None:
    keys, config = two.folder / "known_hosts", two.folder / f"config_{known}"
    other = (two.folder / "stranger.pub").read_text()
    kept = [line for line in keys.read_text().splitlines(True) if not line.startswith("10.77.0.2")]
    (two.folder / f"known_{known}").write_text("".join(kept) + (f"10.77.0.2 {other}" if known == "changed" else ""))
    config.write_text((two.folder / "config").read_text().replace("/known_hosts", f"/known_{known}"))
    said = refusal(two, two.reaching(ssh_config=str(config)))
    assert said.startswith("host h1 (h1): its host key")
    assert told in said


def test_a_wrong_user_key_is_told_with_what_installs_the_right_one(two: Lab) -> None:
    config = two.folder / "config_stranger"
    config.write_text((two.folder / "config").read_text().replace(f"{two.folder}/user", f"{two.folder}/stranger"))
    said = refusal(two, two.reaching(ssh_config=str(config)))
    assert said.count("does not let this user in with this key (ssh-copy-id") == 2


def test_a_missing_python_and_a_missing_package_are_told_with_the_way_out(two: Lab) -> None:
    said = refusal(two, h0=two.host(0, python="/opt/none/bin/python3"))
    assert said.startswith("host h0 (h0): it has no /opt/none/bin/python3 (name its Python")
    with (
        pytest.raises(RunError, match=r"host h1 \(h1\): its \S+ has no nowhere_to_be \(\S+ -m pip install nowhere\)?"),
        reached(list(two.hosts().items()), two.reaching(), packages={"nowhere_to_be": "nowhere"}) as far,
    ):
        together(far[1:], FarHost.open)


def test_a_full_disk_is_told_with_what_is_free_and_nothing_torn_stays(two: Lab) -> None:
    home = two.root(0) / "media"
    filler = home / "filler"
    subprocess.run(["rm", "-rf", str(home / ".cache")], check=True)
    filler.write_bytes(b"x" * (os.statvfs(home).f_bavail * os.statvfs(home).f_frsize - 300_000))
    try:
        said = refusal(two)
        assert said.startswith(
            "host h0 (h0): the runtime cannot be kept in /media/.cache/edgesim/runtime: No space left"
        )
        assert "MB are free there; make room" in said
        assert list((home / ".cache/edgesim/runtime").iterdir()) == []
    finally:
        filler.unlink()


class Spoilt(Wheel):
    """A wheel whose hash is not that of what is sent."""

    @property
    def sha256(self) -> str:
        return "0" * 64


@pytest.mark.parametrize(
    ("wheel", "told"),
    [
        (Spoilt(name="edgesim-1-py3-none-any.whl", content=b"torn on its way"), "the wheel that arrived has hash"),
        (
            replace(made_wheel(), name="edgesim-1-cp311-cp311-linux_mips64.whl"),
            "is for linux_mips64, and this is linux_",
        ),
    ],
)
def test_a_wrong_wheel_is_refused_by_the_host(
    two: Lab, monkeypatch: pytest.MonkeyPatch, wheel: Wheel, told: str
) -> None:
    monkeypatch.setattr(hosts_module, "made_wheel", lambda: wheel)
    said = refusal(two)
    assert said.startswith("host h0 (h0): ")
    assert told in said


def test_a_check_tells_of_every_host_whether_it_can_be_used_or_not(two: Lab) -> None:
    hosts = list(two.hosts(h1=two.host(1, address="nowhere.invalid")).items())
    good, bad = checked(hosts, two.reaching())
    assert (good.failure, good.facts["packages"]["torch"] is not None) == ("", True)
    assert good.host_key is not None
    assert good.host_key.startswith("ssh-ed25519 SHA256:")
    assert not any("time of day" in warning or "torch" in warning for warning in good.warnings)
    assert bad.failure.startswith("host h1 (nowhere.invalid): its name is not known")


def test_a_silent_host_is_lost_and_its_agent_ends_itself(two: Lab) -> None:
    """Its cable is pulled: neither side hears an end."""
    lost: list[str] = []
    with reached(list(two.hosts().items()), two.reaching(silence_s=2.0)) as far:
        together(far, FarHost.open)
        far[1].tell({"do": "begin", "silence_s": 2.0})
        time.sleep(0.3)
        two.holder.cut(1)
        try:
            until_s = time.monotonic() + 8
            while not lost and time.monotonic() < until_s:
                time.sleep(0.1)
                lost = [told for told in attempted(far[1:], FarHost.wait_until_ready).values() if "nothing was" in told]
            assert lost[0].startswith("host h1 (h1): nothing was heard of it for 2 s (is it on")
            agents = [pid for pid, what in two.processes(1).items() if "real_runtime" in what]
            until_s = time.monotonic() + 8
            while any(map(alive, agents)) and time.monotonic() < until_s:
                time.sleep(0.1)
            assert not any(map(alive, agents))
        finally:
            two.holder.mend(1)


def test_a_channel_that_is_held_for_some_seconds_goes_on(two: Lab) -> None:
    with reached(list(two.hosts().items()), two.reaching()) as far:
        together(far, FarHost.open)
        sessions = [pid for pid, what in two.processes(0).items() if what.startswith("sshd: root")]
        for pid in sessions:
            os.kill(pid, signal.SIGSTOP)
        time.sleep(1.5)
        assert time.monotonic() - far[0].heard_s > 1
        for pid in sessions:
            os.kill(pid, signal.SIGCONT)
        until_s = time.monotonic() + 5
        while time.monotonic() - far[0].heard_s > 0.7 and time.monotonic() < until_s:
            time.sleep(0.05)
        assert time.monotonic() - far[0].heard_s <= 0.7
        assert far[0].clock.fit.offset_s == pytest.approx(AHEAD_S[0], abs=0.002)


DRIVER = """
import sys, time
sys.path[:0] = [{tests!r}, {root!r}]
from pathlib import Path
from real_runtime.control.interruptions import terminable
from real_runtime.ssh.far_host import FarHost
from real_runtime.ssh.hosts import reached, together
from real_runtime.ssh.inventory import Host, Reaching
host = lambda name: Host(address=name, python={python!r})
reaching = Reaching(ssh_config={config!r}, silence_s=4)
with terminable(), reached([(name, host(name)) for name in ("h0", "h1")], reaching) as far:
    together(far, FarHost.open)
    for each in far:
        each.begin()
    print("up", flush=True)
    time.sleep(60)
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_nothing_stays_on_hosts_when_the_driver_is_ended(two: Lab, number: signal.Signals) -> None:
    here = Path(__file__).parent
    script = DRIVER.format(
        tests=str(here), root=str(here.parent), python=sys.executable, config=str(two.folder / "config")
    )
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as driver:
        assert driver.stdout is not None
        assert driver.stdout.readline() == b"up\n"
        driver.send_signal(number)
        driver.wait(15)
    assert two.nothing_is_left(15) == []


def test_a_clock_is_not_told_before_it_was_heard() -> None:
    with pytest.raises(ValueError, match="has not answered yet"):
        HostClock().here_s(1.0)


def test_a_lab_is_raised_by_a_command_and_looked_at_by_another_until_ctrl_c(tmp_path: Path) -> None:
    """With an inventory of the cluster's devices, which is there as long as the hosts are."""
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parent.parent), "COLUMNS": "200"}
    words = [sys.executable, "-m", "experiments.testbed"]
    started = {"cwd": tmp_path, "env": environment, "text": True, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen([*words, "lab", "cluster=demo"], **started) as raised:  # type: ignore[call-overload]
        said = raised.stdout.readline()
        assert said.startswith("3 hosts are up, as cluster demo: results/lab/testbed/lab.yaml"), raised.stderr.read()
        use = raised.stdout.readline().removeprefix("In another terminal: python -m experiments.testbed ").split()
        looked = subprocess.run([*words, *use], **started, check=False)  # type: ignore[call-overload]
        raised.send_signal(signal.SIGINT)
        _, ended = raised.communicate(timeout=60)
    assert looked.returncode == 0, looked.stderr
    assert [f"host-{rank}" in looked.stdout for rank in range(3)] == [True] * 3
    assert (raised.returncode, ended.splitlines()[-1]) == (130, "interrupted")
    assert not (tmp_path / "results/lab/testbed/lab.yaml").exists()
