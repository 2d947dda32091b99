"""The parts of a testbed over SSH without a host: inventory, frames, clocks, wheel, and what ssh's words mean."""

import io
import json
import queue
import re
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from runtime_builders import three_hosts

from edgesim.errors import RunError
from edgesim.schedule import Channel, Op, Schedule, Task
from edgesim.trace import Reading, Trace
from real_runtime.ssh import channel as channels
from real_runtime.ssh.checking import HostReport, warnings_of
from real_runtime.ssh.client import SshClient
from real_runtime.ssh.clock import Answer, ClockFit, HostClock
from real_runtime.ssh.frames import MOST_DEPTH, Frame, FrameError, finite_number, lines, read, whole_number, written
from real_runtime.ssh.hosts import differing
from real_runtime.ssh.inventory import Host, Reaching, hosts_for
from real_runtime.ssh.wheel import Wheel, made_wheel, read_wheel
from real_runtime.testbeds.merging import merge
from real_runtime.testbeds.spec import TestbedSpec

SKEW_S, DRIFT = 0.05, 50e-6

# --- inventory ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"address": "-oProxyCommand=harm"}, "is no address"),
        ({"address": "pi-a", "user": "root;reboot"}, "is no user"),
        ({"address": "pi-a", "interface": "eth0 up"}, "is no interface"),
        ({"address": "pi-a", "port": 70000}, "port must be from 1 to 65535"),
        ({"address": "pi-a", "python": "-c"}, "is no Python"),
        ({"address": "pi-a", "memory_bytes": 0.0}, "memory_bytes must be positive"),
        ({"address": "pi-a", "compute": "tpu"}, "compute must be cpu or gpu"),
    ],
)
def test_an_inventory_refuses_what_no_host_has(fields: dict[str, object], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        Host(**fields)  # type: ignore[arg-type]


def test_hosts_stand_for_the_devices_of_a_cluster_in_its_order() -> None:
    hosts = {name: Host(address=name, device=name) for name in ("a", "b", "c", "spare")}
    assert [name for name, _ in hosts_for(hosts, three_hosts())] == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("hosts", "told"),
    [
        ({"a": Host(address="x")}, "3 devices, the inventory 1 hosts"),
        ({n: Host(address=n, device=n) for n in ("b", "a", "c")}, "b is a b, and has the place of a a"),
        (
            {n: Host(address=n, memory_bytes=1e9) for n in ("a", "b", "c")},
            "plans may take 4 GB of a, host a gives 1 GB",
        ),
        ({n: Host(address=n, compute="gpu") for n in ("a", "b", "c")}, "ranks do so on processors only"),
    ],
)
def test_hosts_that_do_not_fit_a_cluster_are_refused_before_anything_starts(hosts: dict[str, Host], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        hosts_for(hosts, three_hosts())


@pytest.mark.parametrize(
    ("chosen", "told"),
    [
        ({"kind": "ssh", "slow_motion": 2.0}, "no slow motion"),
        ({"kind": "ssh", "cpu_quota": True}, "dilation only"),
        ({"kind": "loopback", "hosts": {"a": Host(address="a")}}, "no use for an inventory"),
        ({"kind": "ssh", "hosts": {"a": Host(address="x"), "b": Host(address="x")}}, "a and b are both x"),
        ({"kind": "ssh", "hosts": {"-a": Host(address="x")}}, "no name of a host"),
    ],
)
def test_a_testbed_refuses_settings_that_contradict_its_kind(chosen: dict[str, object], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        TestbedSpec(**chosen)  # type: ignore[arg-type]


# --- frames ---------------------------------------------------------------------------------------------------------

PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=20,
)


@settings(max_examples=40)
@given(st.dictionaries(st.text(max_size=8), PLAIN, max_size=6))
def test_a_message_arrives_as_it_was_sent_in_one_line(message: dict[str, object]) -> None:
    line = written(message)
    assert line.count(b"\n") == 1
    assert read(line) == message


@pytest.mark.parametrize(
    ("line", "told"),
    [
        (b"[1, 2]\n", "no object, but a list"),
        (b"{\n", "no JSON"),
        (b'{"a": \xff}\n', "no JSON"),
        (b'{"a": ' + b"[" * 100_000 + b"]" * 100_000 + b"}\n", f"more than {MOST_DEPTH} deep"),
        (b'{"a": ' + b"9" * 10_000 + b"}\n", "no JSON"),
    ],
)
def test_what_is_no_message_is_refused(line: bytes, told: str) -> None:
    with pytest.raises(FrameError, match=told):
        read(line)


def test_signs_within_texts_do_not_count_as_depth() -> None:
    assert read(json.dumps({"schedule": "[{" * 1000 + '\\"'}).encode())["schedule"].startswith("[{[{")


def test_a_line_that_never_ends_is_not_held(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("real_runtime.ssh.frames.MOST_BYTES", 1000)
    with pytest.raises(FrameError, match="more than 1000 bytes"):
        list(lines(io.BytesIO(b'{"a": 1}\n' + b"x" * 5000)))


def test_a_line_that_is_torn_by_the_end_is_no_message() -> None:
    assert list(lines(io.BytesIO(b'{"a": 1}\n{"b"'))) == [b'{"a": 1}\n']


def test_a_message_that_cannot_be_dealt_with_ends_its_host_with_the_reason() -> None:
    ended = queue.SimpleQueue[str]()

    def hear(message: Frame) -> None:
        raise KeyError(f"nobody expects {message['told']}")

    host = channels.Channel([sys.executable, "-c", 'print(\'{"told": "this"}\', flush=True)'], hear, ended.put)
    host.begin()
    try:
        said = ended.get(timeout=30)
    finally:
        host.close()
    assert said == "a message of it could not be dealt with here: KeyError: 'nobody expects this'"


def test_a_program_that_ends_at_once_is_heard_only_by_whoever_listens() -> None:
    """Else its end would be told to a host that does not have its channel yet."""
    ended = queue.SimpleQueue[str]()
    host = channels.Channel([sys.executable, "-c", "raise SystemExit('no such name')"], lambda message: None, ended.put)
    try:
        host._process.wait(30)
        assert ended.empty()
        host.begin()
        assert ended.get(timeout=30) == ""
        assert (host.said(), host.exit_code()) == ("no such name\n", 1)
    finally:
        host.close()


def test_a_channel_can_be_closed_before_anybody_listens() -> None:
    host = channels.Channel([sys.executable, "-c", "input()"], lambda message: None, lambda wrong: None)
    host.close()
    assert host.exit_code() is not None


@pytest.mark.parametrize("value", [True, 1.5, -1, "3", None, 2**40])
def test_numbers_of_messages_are_whole_and_bounded(value: object) -> None:
    with pytest.raises(FrameError, match="no whole number"):
        whole_number({"n": value}, "n")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), "1", None, True])
def test_seconds_of_messages_are_finite(value: object) -> None:
    with pytest.raises(FrameError, match="no finite number"):
        finite_number({"n": value}, "n")


# --- clocks ---------------------------------------------------------------------------------------------------------


def asked(seconds: float, *, skew_s: float, drift: float, seed: int, busy: bool = False) -> HostClock:
    """A clock that was asked twice a second over a line whose ways are unlike, and sometimes slow."""
    random, clock = np.random.default_rng(seed), HostClock()
    for at_s in np.arange(1000.0, 1000.0 + seconds, 0.5).tolist():
        there_s, back_s = 2e-4 + random.exponential([3e-4, 3e-4])
        if busy and random.random() < 0.7:
            there_s += random.exponential(0.05)
        clock.hear(
            Answer(
                asked_s=at_s,
                heard_s=at_s + there_s + back_s,
                there_s=host_s(at_s + there_s, skew_s=skew_s, drift=drift),
            )
        )
    return clock


def host_s(here_s: float, *, skew_s: float, drift: float) -> float:
    """A clock that was ahead by the skew at second 1000 of ours, and gains."""
    return here_s + skew_s + drift * (here_s - 1000.0)


@pytest.mark.parametrize("skew_s", [-SKEW_S, SKEW_S])
@pytest.mark.parametrize("drift", [-DRIFT, 0.0, DRIFT])
@pytest.mark.parametrize("busy", [False, True])
@pytest.mark.parametrize("seconds", [5.0, 60.0, 600.0])
def test_skew_and_drift_are_recovered_to_two_milliseconds(
    skew_s: float, drift: float, busy: bool, seconds: float
) -> None:
    clock = asked(seconds, skew_s=skew_s, drift=drift, seed=1, busy=busy)
    for ago_s in (0.0, min(30.0, seconds)):  # of an iteration that has just ended, and when it began
        here_s = 1000.0 + seconds - ago_s
        error_s = clock.here_s(host_s(here_s, skew_s=skew_s, drift=drift)) - here_s
        assert abs(error_s) < 0.002
        assert abs(error_s) <= clock.fit.uncertainty_s + 5e-5
        assert clock.there_s(clock.here_s(here_s)) == pytest.approx(here_s, abs=1e-9)


def test_a_drift_that_no_quartz_has_is_not_believed() -> None:
    clock = asked(60.0, skew_s=0.0, drift=0.01, seed=1)
    assert clock.fit.drift == pytest.approx(200e-6)
    assert clock.fit.uncertainty_s > 0.1  # and this says how little is known then


def message_of(sent_s: float, arrived_s: float) -> tuple[Schedule, dict[str, tuple[float, float]]]:
    """One message from rank 0 to rank 1, sent and arrived at these seconds."""
    common = {"stage": 0, "layers": (0, 1), "samples": (0, 1), "nbytes": 8, "micro_batch": 0}
    send, receive = (
        Task(op=op, rank=rank, peers=(1 - rank,), payload="activation", **common)  # type: ignore[arg-type]
        for op, rank in ((Op.SEND, 0), (Op.RECV, 1))
    )
    schedule = Schedule([[send], [receive]])
    assert send.channel is not None
    assert send.channel in Channel
    times = {send.name: (sent_s, max(sent_s, arrived_s)), receive.name: (min(sent_s, arrived_s) - 1, arrived_s)}
    return schedule, times


def test_a_message_may_seem_early_by_what_clocks_are_uncertain_and_no_more() -> None:
    schedule, times = message_of(sent_s=5.0, arrived_s=4.9995)
    trace = merge(schedule, times, uncertainties_s=(4e-4, 3e-4))
    assert all(end_s >= start_s for start_s, end_s in zip(trace.start_s, trace.end_s, strict=True))
    assert trace.readings[1] == Reading(rank=1, what="clock_uncertainty_s", at_s=0.0, value=3e-4)
    with pytest.raises(RunError, match=r"arrived 0.5 ms before it was sent, and the clocks .* are known to 0.2 ms"):
        merge(schedule, times, uncertainties_s=(1e-4, 1e-4))


# --- the wheel ------------------------------------------------------------------------------------------------------


def test_two_makings_of_the_wheel_are_alike_and_hold_what_ranks_need() -> None:
    one, other = made_wheel(), made_wheel()
    assert one.sha256 == other.sha256
    assert one.platforms == ["any"]
    with zipfile.ZipFile(io.BytesIO(one.content)) as archive:
        assert archive.testzip() is None
        names = set(archive.namelist())
    assert {"real_runtime/ssh/agent.py", "real_runtime/rank.py", "edgesim/schedule/text.py"} <= names
    assert not any(name.startswith("experiments/") or "__pycache__" in name for name in names)


def test_a_wheel_of_the_users_own_says_for_which_machines_it_is(tmp_path: Path) -> None:
    file = tmp_path / "edgesim-0.2.0-cp311-cp311-manylinux_2_17_aarch64.linux_aarch64.whl"
    file.write_bytes(made_wheel().content)
    assert read_wheel(str(file)).platforms == ["manylinux_2_17_aarch64", "linux_aarch64"]
    file.write_bytes(b"no wheel")
    with pytest.raises(ValueError, match="is no wheel"):
        read_wheel(str(file))
    with pytest.raises(ValueError, match="no name of a wheel"):
        Wheel(name="edgesim.zip", content=b"")


# --- ssh's words ----------------------------------------------------------------------------------------------------


@pytest.fixture
def client(tmp_path: Path) -> SshClient:
    host = Host(address="10.0.0.7", user="pi", port=2222)
    return SshClient(name="pi-a", host=host, reaching=Reaching(), folder=tmp_path)


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("ssh: connect to host 10.0.0.7 port 2222: Connection refused", "no sshd listens there"),
        ("ssh: connect to host 10.0.0.7 port 2222: Connection timed out", "does not answer (is it on, and in this"),
        ("ssh: connect to host 10.0.0.7 port 2222: No route to host", "ping 10.0.0.7"),
        (
            "@ WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED! @\nHost key verification failed.",
            "ssh-keygen -R '[10.0.0.7]:2222'",
        ),
        ("No ED25519 host key is known.\nHost key verification failed.", "ssh -p 2222 pi@10.0.0.7"),
        ("pi@10.0.0.7: Permission denied (publickey).", "ssh-copy-id -p 2222 pi@10.0.0.7"),
        ("bash: line 1: python3: command not found", "it has no python3 (name its Python"),
        ("debug1: identity file x: No such file or directory\nkex: weak", "the connection ended: kex: weak"),
        ("", "without a word (try ssh -p 2222 pi@10.0.0.7)"),
    ],
)
def test_what_ssh_writes_becomes_a_cause_and_a_way_out(client: SshClient, said: str, told: str) -> None:
    assert told in client.why(said)


def test_nothing_of_an_inventory_becomes_a_word_of_a_shell(client: SshClient) -> None:
    command = client.command("python3; reboot", "-c", "print('$HOME')")
    assert command[-2:] == ["10.0.0.7", "'python3; reboot' -c 'print('\"'\"'$HOME'\"'\"')'"]
    assert "StrictHostKeyChecking=yes" in command
    assert "BatchMode=yes" in command


# --- what is warned of ------------------------------------------------------------------------------------------------


def reported(**changed: object) -> HostReport:
    """A host with which nothing is wrong, but for what is changed of its facts."""
    facts = {
        "executable": "/usr/bin/python3",
        "python": "3.11.7",
        "packages": {"torch": "2.13.0", "transformers": "5", "numpy": "2", "safetensors": "1"},
        "memory": {"total": 8e9, "available": 7e9, "swap": 0.0, "swap_free": 0.0},
        "governor": ["performance"],
        "hottest_c": 40.0,
        "load": 0.1,
        "interface": "eth0",
        "link": {"state": "up", "bytes_per_s": 125e6, "is_wireless": False, "addresses": []},
    }
    clock = ClockFit(at_s=0.0, offset_s=0.0, drift=0.0, uncertainty_s=1e-4)
    return HostReport(name="pi-a", host=Host(address="pi-a", memory_bytes=4e9), clock=clock, facts=facts | changed)


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        (
            {"packages": {"torch": None, "transformers": "5", "numpy": "2", "safetensors": "1"}},
            "python3 -m pip install torch",
        ),
        (
            {"memory": {"total": 8e9, "available": 3e9, "swap": 0.0}},
            "gives 4 GB, and 3 GB are available: sudo systemctl",
        ),
        ({"memory": {"total": 8e9, "available": 7e9, "swap": 1e9}}, "sudo swapoff -a"),
        ({"governor": ["ondemand", "performance"]}, "governor ondemand changes the frequency .*scaling_governor"),
        ({"hottest_c": 81.0}, "81 °C: it will slow itself down"),
        ({"load": 1.7}, "load 1.7: something else computes"),
        ({"interface": "eth7", "link": None}, "no network interface eth7"),
        ({"link": {"state": "down", "bytes_per_s": None, "is_wireless": False}}, "ip link set eth0 up"),
        ({"link": {"state": "up", "bytes_per_s": 1.25e6, "is_wireless": False}}, "eth0 is at 10 Mbit/s: ethtool eth0"),
        ({"link": {"state": "up", "bytes_per_s": None, "is_wireless": True}}, "iw dev eth0 set power_save off"),
    ],
)
def test_what_disturbs_is_told_with_the_command_that_mends_it(changed: dict[str, object], told: str) -> None:
    report = reported(**changed)
    (warning,) = warnings_of(report, [report])
    assert re.search(told, warning)


def test_a_pytorch_that_ranks_or_transformers_do_not_take_is_told_with_what_installs_a_fitting_one() -> None:
    fits = {"torch": "2.4.0+cu121", "transformers": "5.20.2", "numpy": "2", "safetensors": "1"}
    report = reported(packages=fits, least_torch="2.4")
    assert list(warnings_of(report, [report])) == []
    report = reported(packages=fits, least_torch="2.6")
    (said,) = warnings_of(report, [report])
    assert said.startswith("transformers 5.20.2 takes no torch before 2.6, there is 2.4.0+cu121, ranks cannot start")
    assert said.endswith("/usr/bin/python3 -m pip install 'transformers[torch]>=5.0' torch==2.4.0")
    report = reported(packages=fits | {"torch": "2.3.1"}, least_torch="2.6")
    (said,) = warnings_of(report, [report])
    assert said == "torch 2.3.1, ranks need 2.4 or newer: /usr/bin/python3 -m pip install 'torch>=2.4'"


def test_hosts_of_different_versions_are_named_in_the_trace_and_what_is_printed() -> None:
    alike = {"python": "3.11.7", "packages": {"torch": "2.13.0", "transformers": "5.24.0"}}
    other = {"python": "3.10.13", "packages": {"torch": "2.4.0", "transformers": "5.24.0"}}
    assert list(differing({"pi-a": alike, "pi-b": alike})) == []
    notes = tuple(differing({"pi-a": alike, "pi-b": other, "pi-c": alike}))
    assert notes == (
        "different versions of Python: 3.10.13 on pi-b; 3.11.7 on pi-a, pi-c",
        "different versions of PyTorch: 2.13.0 on pi-a, pi-c; 2.4.0 on pi-b",
    )
    schedule, times = message_of(sent_s=4.0, arrived_s=5.0)
    trace = merge(schedule, times, notes=notes)
    assert Trace.from_lines(trace.to_lines(), schedule).notes == notes
    assert "notes" not in merge(schedule, times).to_lines()


def test_versions_clocks_and_times_of_day_that_differ_are_told() -> None:
    packages = {"torch": "2.4.0", "transformers": "5", "numpy": "2", "safetensors": "1"}
    other = reported(packages=packages, python="3.12.1")
    said = list(warnings_of(replace(reported(), ahead_s=-3600.0), [reported(), other]))
    assert [each.split()[0] for each in said] == ["torch", "python", "its"]
    assert "-3600 s off: sudo timedatectl set-ntp true" in said[2]
    slow = replace(reported(), clock=ClockFit(at_s=0.0, offset_s=0.0, drift=0.0, uncertainty_s=0.004))
    assert "known to 4.0 ms only" in "".join(warnings_of(slow, [slow]))
    assert list(warnings_of(reported(), [reported()])) == []
