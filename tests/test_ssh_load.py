"""Does each host over SSH watch its own load, and does what was measured beside it say so, and name the host?"""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import ssh_lab
from runtime_builders import BERT, workload
from ssh_lab import Lab, lab
from test_ssh_testbed import assignment, two_hosts

from edgesim.profile import estimate
from edgesim.simulator import simulate
from experiments.analysis.fidelity import from_csv, rows, to_csv
from experiments.tables.fidelity import fidelity_table
from real_runtime.execution import Execution, HostShare, host_of
from real_runtime.other_load import foreign_load
from real_runtime.other_load.foreign_load import told
from real_runtime.ssh.clock import Answer, HostClock
from real_runtime.ssh.frames import FrameError
from real_runtime.ssh.watching.from_host import FarLoad, Loads
from real_runtime.ssh.watching.on_host import LoadTeller, ancestors
from real_runtime.testbeds.opening import open_testbed
from real_runtime.testbeds.repeating import Retries, disturbance, undisturbed

PROBLEM = ssh_lab.problem()
AHEAD_S = 40.0  # of a host's clock
NAME = "host h1 (h1)"


# --- what a host tells ---


def watched() -> FarLoad:
    """The load of a host whose clock is ahead, which is watched."""
    clock, now_s = HostClock(), time.monotonic()
    clock.hear(Answer(asked_s=now_s - 1e-6, heard_s=now_s, there_s=now_s + AHEAD_S))
    load = FarLoad(SimpleNamespace(clock=clock, named=NAME, tell=lambda frame: None))
    load.begin()
    return load


def sample(ago_s: float, foreign_s: float, **more: Any) -> dict[str, Any]:
    at_s = time.monotonic() + AHEAD_S - ago_s
    return {"load": 1, "cores": 4, "at_s": at_s, "foreign_s": foreign_s} | more


def test_the_share_of_a_host_is_of_its_own_processors_and_on_our_clock() -> None:
    load, now_s = watched(), time.monotonic()
    for frame in (sample(20.0, 5.0), sample(10.0, 5.0), sample(0.0, 25.0)):
        load.hear(frame)
    assert load.share(now_s - 19, now_s - 11) == pytest.approx(0.0, abs=1e-3)
    assert load.share(now_s - 9, now_s - 1) == pytest.approx(0.5, abs=1e-3)


@pytest.mark.parametrize(
    ("frame", "says"),
    [
        ({"load": 2}, "of which nobody asked"),
        ({"cores": 10**6}, "cores is no whole number"),
        ({"foreign_s": float("nan")}, "no finite number"),
        ({"at_s": None}, "no finite number"),
        ({"foreign_s": 1.0}, "that fall to 1.0"),
        ({"foreign_s": -1.0}, "that fall to -1.0"),
    ],
)
def test_a_host_is_not_believed_what_no_kernel_counts(frame: dict[str, Any], says: str) -> None:
    load = watched()
    load.hear(sample(9.0, 5.0))
    with pytest.raises(FrameError, match=says):
        load.hear(sample(0.0, 6.0) | frame)


def test_a_host_that_tells_of_the_future_or_all_too_often_is_refused() -> None:
    load = watched()
    with pytest.raises(FrameError, match="a load that is seen in 50"):
        load.hear(sample(-50.0, 5.0))
    load.hear(first := sample(1.0, 5.0))
    with pytest.raises(FrameError, match="after each other"):
        load.hear(first | {"at_s": first["at_s"] + 1e-3})


def test_a_host_whose_kernel_does_not_tell_is_not_said_to_be_undisturbed() -> None:
    silent, blind = watched(), watched()
    blind.hear({"load": 1, "cores": 0})
    now_s = time.monotonic()
    assert silent.share(now_s - 1, now_s, within_s=0.05) is None
    assert blind.share(now_s - 1, now_s) is None
    assert Loads([("a", blind)]).share(now_s - 1, now_s) is None


def test_what_ends_is_judged_by_a_sample_from_behind_its_end() -> None:
    load, now_s = watched(), time.monotonic()
    load.hear(sample(2.0, 5.0))
    later = threading.Timer(0.3, lambda: load.hear(sample(0.0, 9.0)))
    later.start()
    share = load.share(now_s - 1, now_s + 0.1, within_s=20.0)
    later.join()
    assert share == pytest.approx(4 / 2.3 / 4, rel=0.2)


def test_of_several_hosts_the_most_disturbed_one_is_named() -> None:
    quiet, busy, now_s = watched(), watched(), time.monotonic()
    for load, used_s in ((quiet, 0.0), (busy, 2.0)):
        load.hear(sample(2.0, 1.0))
        load.hear(sample(-0.01, 1.0 + used_s))
    share = Loads([("host a (a)", quiet), ("host b (b)", busy)]).share(now_s - 1, now_s)
    assert share == pytest.approx(0.25, rel=0.05)
    assert host_of(share) == "host b (b)"


def test_an_agent_tells_of_others_and_neither_of_itself_nor_of_what_brought_it(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[dict[str, Any]] = []
    teller = LoadTeller(said.append, list)
    teller.begin({"load": 0, "watch_load": 7})
    until_s = time.monotonic() + 20
    while len(said) < 3 and time.monotonic() < until_s:
        time.sleep(0.02)
    teller.end()
    assert [set(frame) for frame in said[:3]] == [{"load", "cores", "at_s", "foreign_s"}] * 3
    assert {frame["load"] for frame in said} == {7}
    assert [*ancestors()][:2] == [os.getpid(), os.getppid()]
    monkeypatch.setattr("real_runtime.ssh.watching.on_host.load_is_known", lambda: False)
    said.clear()
    teller.begin({"watch_load": 8})
    assert said == [{"load": 8, "cores": 0}]


# --- what is said of it ---


def test_a_table_of_plans_names_the_host_that_was_disturbed_and_keeps_its_name() -> None:
    trace = replace(played().traces[0], player="measured")
    table = rows(strategy="data", plan="even", simulated=trace, measured=[trace], disturbed=HostShare(0.2, host=NAME))
    read = from_csv(to_csv(table))
    assert {(row.disturbed, row.disturbed_on) for row in read} == {(0.2, NAME)}
    figures = {"plans": 1, "median_abs_error": 0.0, "worst_abs_error": 0.0, "kendall_tau": None}
    assert f"up to 20 % of the processors of {NAME}" in str(fidelity_table("lab", read, figures).caption)


def played(*disturbed: float) -> Execution:
    """Iterations of a plan, simulated; the first one warms up."""
    work, cluster = workload(BERT), two_hosts()
    profile = estimate(BERT, cluster.devices, samples=[1, 6], tokens=work.tokens)
    trace = simulate(assignment(1).schedule, cluster=cluster, model=BERT, profile=profile, tokens=work.tokens)
    count = len(disturbed) or 2
    return Execution(traces=(trace,) * count, losses=(1.0,) * count, disturbed=disturbed)


def test_where_a_host_does_not_tell_whether_a_second_try_was_better_the_first_one_stays() -> None:
    tries = iter([played(0.0, HostShare(0.3, host=NAME)), played()])
    kept = undisturbed(lambda assignment, *, heard: next(tries), assignment(2), Retries(1))
    assert kept.disturbed == (0.3,)
    assert NAME in disturbance(kept)


# --- on hosts ---


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with lab(tmp_path_factory.mktemp("lab"), 2, ahead_s=(0.05, -0.05)) as made:
        yield made


@contextmanager
def other_load(two: Lab, rank: int) -> Iterator[None]:
    """Another program of a host, which computes."""
    where = [*two.enter(rank), "--pid"]
    computes = "print(flush=True)\nwhile True: pass"
    with subprocess.Popen([*where, sys.executable, "-I", "-c", computes], stdout=subprocess.PIPE) as busy:
        assert busy.stdout is not None
        try:
            busy.stdout.readline()
            yield
        finally:
            children = Path(f"/proc/{busy.pid}/task/{busy.pid}/children")  # nsenter has forked it
            for child in map(int, children.read_text().split()):
                os.kill(child, signal.SIGKILL)
            busy.wait()


@pytest.mark.slow
@pytest.mark.netns
@pytest.mark.xdist_group("ssh")
@pytest.mark.skipif(PROBLEM is not None, reason=str(PROBLEM))
def test_what_is_measured_beside_other_load_of_a_host_says_so_and_names_it(two: Lab) -> None:
    with open_testbed(two.spec(disturbed_above=0.03, repeat_disturbed=0), two_hosts()) as testbed:
        alone = testbed.execute(assignment(6))
        assert len(alone.disturbed) == 6
        assert {host_of(share) for share in alone.disturbed} <= {""}, "a host does not see what others do"
        with other_load(two, 1):
            beside = testbed.execute(assignment(6))
            points = testbed.profile_layers(BERT, workload(BERT), samples=[1], repeats=2)
        assert points
        assert {host_of(share) for share in beside.disturbed} == {NAME}
        assert told(beside.disturbed, "iterations").endswith(f"of the processors of {NAME})")
        assert [host_of(share) for share in testbed.disturbed_timings] == ["", NAME]
        assert testbed.execute(assignment(6)).losses == alone.losses
    assert two.nothing_is_left() == []
    assert foreign_load.load_is_known()
