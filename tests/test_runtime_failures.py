"""Does every fault end the run in time, with one message naming rank, task and cause, and leave nothing behind?"""

import os
import re
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from processes import alive
from runtime_builders import BERT, CASES, data, three_hosts, workload

from edgesim import Depth, PlanError, RunError, ScheduleError
from edgesim.schedule import Schedule
from edgesim.strategies.hybrid_pipeline import hybrid_pipeline
from real_runtime.job import Job
from real_runtime.testbeds import cgroups, netns
from real_runtime.testbeds.opening import open_testbed
from real_runtime.testbeds.spec import TestbedSpec
from real_runtime.testbeds.testbed import Testbed

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("testbed"), pytest.mark.timeout(180)]

DEADLINE_S = 4.0
PIPELINE = CASES[3]
TASK = r"\d+(F|B|UPDATE|SEND_\w+|RECV_\w+)\d*@\d"
needs_netns = pytest.mark.skipif(netns.problem() is not None, reason=f"network namespaces: {netns.problem()}")


def endless_job(iterations: int = 100_000) -> Job:
    work = workload(BERT)
    schedule = hybrid_pipeline(PIPELINE.plan(BERT), BERT, work)
    return Job(schedule=schedule, model=BERT, workload=work, data=data(BERT), iterations=iterations, seed=1)


def message_after(testbed: Testbed, fault: Callable[[], None]) -> str:
    """Play on, let the fault strike in the midst of the tasks, and return the one message; it must come in time."""
    struck_s: list[float] = []

    def strike() -> None:
        while not re.match(r"\d", testbed.coordinator.ranks[0].now):
            time.sleep(0.01)
        fault()
        struck_s.append(time.monotonic())

    timer = threading.Thread(target=strike, daemon=True)
    timer.start()
    with pytest.raises(RunError) as error:
        testbed.execute(endless_job())
    timer.join()
    assert time.monotonic() - struck_s[0] < 2 * DEADLINE_S
    return str(error.value)


def pids(testbed: Testbed) -> list[int]:
    return [pid for rank in testbed.coordinator.ranks for pid in (rank.pid, rank.process.pid) if pid is not None]


def assert_gone(processes: list[int]) -> None:
    until_s = time.monotonic() + 10
    while any(alive(pid) for pid in processes) and time.monotonic() < until_s:
        time.sleep(0.05)
    assert not [pid for pid in processes if alive(pid)]
    assert not list(Path("/sys/fs/cgroup").glob(f"*/edgesim-{os.getpid()}-*"))


@pytest.mark.parametrize("kind", ["loopback", pytest.param("netns", marks=[needs_netns, pytest.mark.netns])])
def test_a_killed_rank_ends_the_run_with_its_name_its_task_and_its_signal(kind: str) -> None:
    with open_testbed(TestbedSpec(kind=kind, deadline_s=DEADLINE_S), three_hosts()) as testbed:
        processes = [*pids(testbed), *([testbed.hosts.holder] if kind == "netns" else [])]
        message = message_after(testbed, lambda: os.kill(testbed.coordinator.ranks[1].pid or 0, signal.SIGKILL))
    assert message.startswith("rank 1 was killed by SIGKILL at ")
    assert_gone(processes)


def test_a_stopped_rank_ends_the_run_with_its_name_and_cause() -> None:
    with open_testbed(TestbedSpec(kind="loopback", deadline_s=DEADLINE_S), three_hosts()) as testbed:
        processes = pids(testbed)
        message = message_after(testbed, lambda: os.kill(testbed.coordinator.ranks[2].pid or 0, signal.SIGSTOP))
    assert message.startswith("rank 2 was stopped (SIGSTOP) at ")
    assert_gone(processes)


@needs_netns
@pytest.mark.netns
def test_a_cut_link_ends_the_run_with_the_waiting_task_and_both_ranks() -> None:
    with open_testbed(TestbedSpec(kind="netns", deadline_s=DEADLINE_S), three_hosts()) as testbed:
        processes = [*pids(testbed), testbed.hosts.holder]
        message = message_after(testbed, lambda: testbed.hosts.cut(1))
    assert re.search(r"^rank \d at .*: waited 4 s for (rank \d|all ranks)", message)
    assert "all ranks are alive: the link between them is down" in message
    assert_gone(processes)


def small_memory(nbytes: float) -> Callable[[], object]:
    cluster = three_hosts()
    return lambda: replace(cluster, devices=tuple(replace(device, memory_bytes=nbytes) for device in cluster.devices))


def test_out_of_memory_is_named_as_such_without_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cgroups, "available", lambda: False)
    spec = TestbedSpec(kind="loopback", deadline_s=DEADLINE_S, memory_limit=True)
    with (
        open_testbed(spec, small_memory(60e6)()) as testbed,
        pytest.raises(RunError, match=rf"rank \d ran out of memory at {TASK}"),
    ):
        testbed.execute(big_job())


@pytest.mark.root
@pytest.mark.skipif(not cgroups.available(), reason="control groups need root")
def test_out_of_memory_under_a_cgroup_is_told_from_a_crash() -> None:
    spec = TestbedSpec(kind="loopback", deadline_s=DEADLINE_S, memory_limit=True)
    with open_testbed(spec, small_memory(60e6)()) as testbed:
        processes = pids(testbed)
        with pytest.raises(RunError, match=r"rank \d ran out of memory at .*: the kernel killed it"):
            testbed.execute(big_job())
    assert_gone(processes)


@pytest.mark.root
@pytest.mark.skipif(not cgroups.available(), reason="control groups need root")
def test_a_cpu_quota_slows_a_host_instead_of_dilation() -> None:
    spec = TestbedSpec(kind="loopback", deadline_s=30, fractions=(0.8, 0.2, 0.2), cpu_quota=True)
    with open_testbed(spec, three_hosts()) as testbed:
        points = testbed.profile_layers(BERT, workload(BERT), samples=[6], repeats=60)
    whole = {name: sum(p.seconds for p in points if p.device == name) for name in ("a", "b")}
    # Shares of 0.8 and 0.2 of a core make 4; a busy machine slows the larger share first.
    assert whole["b"] > 2 * whole["a"]
    assert_gone([])


def big_job() -> Job:
    """A stage that needs hundreds of MB of stash."""
    work = replace(workload(BERT), batch_samples=4096, micro_batch_samples=4096, tokens=64)
    plan = replace(
        CASES[0].plan(BERT),
        micro_batches=1,
        micro_batch_samples=4096,
        stages=(replace(CASES[0].plan(BERT).stages[0], ranks=(0, 1, 2), samples=(2048, 1024, 1024)),),
    )
    return Job(
        schedule=hybrid_pipeline(plan, BERT, work), model=BERT, workload=work, data=data(BERT), iterations=1, seed=1
    )


SCRIPT = """
    from real_runtime.testbeds.opening import open_testbed
    from real_runtime.testbeds.spec import TestbedSpec
    from runtime_builders import three_hosts
    from test_runtime_failures import endless_job, pids
    with open_testbed(TestbedSpec(kind="{kind}", deadline_s=60, cpu_quota={quota}), three_hosts()) as testbed:
        print(*pids(testbed), getattr(testbed.hosts, "holder", ""), flush=True)
        testbed.execute(endless_job())
"""


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGKILL], ids=["Ctrl-C", "kill -9"])
@pytest.mark.parametrize("kind", ["loopback", pytest.param("netns", marks=[needs_netns, pytest.mark.netns])])
def test_nothing_is_left_when_the_coordinator_is_ended(kind: str, sent: signal.Signals) -> None:
    quota = cgroups.available()
    script = textwrap.dedent(SCRIPT.format(kind=kind, quota=quota))
    tests = Path(__file__).resolve().parent
    process = subprocess.Popen(
        [sys.executable, "-c", script],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        cwd=tests.parent,
        env=os.environ | {"PYTHONPATH": f"{tests.parent}{os.pathsep}{tests}"},
    )
    assert process.stdout is not None
    processes = [int(word) for word in process.stdout.readline().split()]
    assert len(processes) >= 6
    time.sleep(0.5)
    process.send_signal(sent)
    process.wait(20)
    process.stdout.close()
    assert_gone(processes)
    until_s = time.monotonic() + 15
    while (left := list(Path("/sys/fs/cgroup").glob(f"*/edgesim-{process.pid}-*"))) and time.monotonic() < until_s:
        time.sleep(0.1)
    assert not left


def test_bad_input_is_refused_in_one_sentence_before_anything_starts() -> None:
    cluster = three_hosts()
    with pytest.raises(ValueError, match=r"unknown testbed 'cloud' \(known: auto, netns, loopback\)"):
        TestbedSpec(kind="cloud")
    with (
        pytest.raises(ValueError, match=r"set testbed\.slow_motion"),
        open_testbed(TestbedSpec(kind="loopback", fractions=(1.0, 1.0, 1.0)), cluster),
    ):
        pass
    plan = PIPELINE.plan(BERT)
    with pytest.raises(PlanError, match=r"layers \(0, 2\) and \(3, 5\) do not join"):
        replace(plan, stages=(replace(plan.stages[0], layers=(0, 2)), replace(plan.stages[1], layers=(3, 5))))


def test_a_job_for_other_ranks_or_of_an_unknown_architecture_is_refused_and_the_testbed_lives_on() -> None:
    with open_testbed(TestbedSpec(kind="loopback", deadline_s=DEADLINE_S), three_hosts()) as testbed:
        job = endless_job(iterations=1)
        wider = Schedule((*job.schedule.programs, (), ()))
        with pytest.raises(ValueError, match="the schedule is for 5 ranks, the testbed has 3"):
            testbed.execute(replace(job, schedule=wider))
        broken = Schedule((job.schedule.programs[0][1:], *job.schedule.programs[1:]))
        with pytest.raises(ScheduleError, match="has no RECV on rank 0"):
            testbed.execute(replace(job, schedule=broken))
        assert len(testbed.execute(job).traces) == 1
        with pytest.raises(RunError, match="unknown architecture 'elephant'"):
            testbed.execute(replace(job, model=replace(job.model, architecture="elephant")))


@needs_netns
@pytest.mark.netns
def test_missing_permission_for_namespaces_is_told_with_the_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(netns, "problem", lambda: "Operation not permitted")
    with (
        pytest.raises(RunError, match=r"Operation not permitted \(use testbed=loopback\)"),
        open_testbed(TestbedSpec(kind="netns"), three_hosts()),
    ):
        pass


def test_depths_of_the_cases_cover_all_three_policies() -> None:
    assert {case.depth for case in CASES} == set(Depth)
