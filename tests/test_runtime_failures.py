"""Does every fault end the run in time, with one message naming rank, task and cause, and leave nothing behind?"""

import os
import re
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import faulty_rank
import pytest
from processes import alive
from runtime_builders import BERT, CASES, data, three_hosts, workload

from edgesim import Depth, PlanError, RunError, ScheduleError
from edgesim.schedule import Schedule
from edgesim.strategies.hybrid_pipeline import hybrid_pipeline
from real_runtime.assignment import Assignment
from real_runtime.control.forking.client import fork_server
from real_runtime.testbeds import cgroups, netns, opening
from real_runtime.testbeds.opening import open_testbed
from real_runtime.testbeds.spec import TestbedSpec
from real_runtime.testbeds.testbed import Testbed

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("testbed"), pytest.mark.timeout(180)]

DEADLINE_S = 4.0
PIPELINE = CASES[3]
TASK = r"\d+(F|B|UPDATE)\d*@\d"
DOING = r"(\d+[A-Z]\w*@\d|waiting for|drawing)"
needs_netns = pytest.mark.skipif(netns.problem() is not None, reason=f"network namespaces: {netns.problem()}")


def endless_assignment(iterations: int = 100_000) -> Assignment:
    work = workload(BERT)
    schedule = hybrid_pipeline(PIPELINE.plan(BERT), BERT, work)
    return Assignment(schedule=schedule, model=BERT, workload=work, data=data(BERT), iterations=iterations, seed=1)


def message_after(testbed: Testbed, fault: Callable[[], object], *, within_s: float = DEADLINE_S) -> str:
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
        testbed.execute(endless_assignment())
    timer.join()
    assert time.monotonic() - struck_s[0] < within_s
    return str(error.value)


def pid_of(testbed: Testbed, rank: int) -> int:
    return testbed.coordinator.pids[rank]


def assert_gone(processes: Sequence[int]) -> None:
    until_s = time.monotonic() + 10
    while any(alive(pid) for pid in processes) and time.monotonic() < until_s:
        time.sleep(0.05)
    assert not [pid for pid in processes if alive(pid)]
    assert not list(Path("/sys/fs/cgroup").glob(f"*/edgesim-{os.getpid()}-*"))


@pytest.mark.parametrize("kind", ["loopback", pytest.param("netns", marks=[needs_netns, pytest.mark.netns])])
def test_a_killed_rank_ends_the_run_with_its_name_its_task_and_its_signal(kind: str) -> None:
    with open_testbed(TestbedSpec(kind=kind), three_hosts()) as testbed:
        processes = [*testbed.coordinator.pids, *([testbed.hosts.holder] if kind == "netns" else [])]
        message = message_after(testbed, lambda: os.kill(pid_of(testbed, 1), signal.SIGKILL))
    assert re.match(rf"rank 1 was killed by SIGKILL at {DOING}", message)
    assert_gone(processes)


def test_a_killed_fork_server_takes_its_ranks_along_which_is_told_and_the_next_testbed_has_a_new_one() -> None:
    with open_testbed(TestbedSpec(kind="loopback"), three_hosts()) as testbed:
        server = fork_server(opening.RANK).pid
        message = message_after(testbed, lambda: os.kill(server, signal.SIGKILL))
    said = "the fork server, from which ranks start, was killed by SIGKILL"
    assert re.match(rf"rank \d was killed by SIGKILL at {DOING}.*: {said}$", message)
    assert_gone([server, *testbed.coordinator.pids])
    with open_testbed(TestbedSpec(kind="loopback"), three_hosts()) as anew:
        assert len(anew.execute(endless_assignment(iterations=1)).traces) == 1


def test_a_rank_that_is_stopped_before_it_reads_a_long_command_is_named_and_blocks_nobody() -> None:
    with open_testbed(TestbedSpec(kind="loopback"), three_hosts()) as testbed:
        processes = testbed.coordinator.pids
        os.kill(pid_of(testbed, 2), signal.SIGSTOP)
        long = replace(endless_assignment(), results_folder="x" * 200_000)  # a pipe holds 64 KB
        begun_s = time.monotonic()
        with pytest.raises(RunError, match=r"^rank 2 was stopped \(SIGSTOP\) at idle and does not answer$"):
            testbed.execute(long)
        assert time.monotonic() - begun_s < DEADLINE_S
    assert_gone(processes)


@needs_netns
@pytest.mark.netns
def test_a_cut_link_ends_the_run_with_the_rank_whose_link_it_is() -> None:
    with open_testbed(TestbedSpec(kind="netns"), three_hosts()) as testbed:
        processes = [*testbed.coordinator.pids, testbed.hosts.holder]
        message = message_after(testbed, lambda: testbed.hosts.cut(1))
    assert re.match(rf"rank 1's link is down since \d+ s, at {DOING}", message)
    assert_gone(processes)


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        ("hang", rf"rank 1 computes {TASK} since \d+ s and uses no processor: it hangs$"),
        ("hold the lock", rf"rank 1 hangs at {TASK} since \d+ s: it uses its processor and holds Python's lock"),
        ("exit", rf"rank 1 ended itself with code 3 at {TASK}$"),
        ("exception", rf"rank 1 failed at {TASK}: 'planted'$"),
    ],
)
def test_what_goes_wrong_within_a_computation_is_told_with_its_rank_and_its_task(
    fault: str, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDGESIM_FAULT", fault)
    monkeypatch.setattr(opening, "RANK", faulty_rank.RANK)
    with open_testbed(TestbedSpec(kind="loopback", deadline_s=DEADLINE_S), three_hosts()) as testbed:
        processes = testbed.coordinator.pids
        message = message_after(testbed, lambda: os.kill(pid_of(testbed, 1), signal.SIGUSR1), within_s=15 * DEADLINE_S)
    assert re.match(told, message)
    assert_gone(processes)


def test_weights_that_explode_end_the_run_with_the_first_task_whose_numbers_are_none() -> None:
    """The first step leaves weights of 10^35; the next loss would be none, and is told where it began."""
    assignment = endless_assignment()
    assignment = replace(assignment, workload=replace(assignment.workload, learning_rate=3e38))
    with open_testbed(TestbedSpec(kind="loopback"), three_hosts()) as testbed:
        processes = testbed.coordinator.pids
        with pytest.raises(RunError) as error:
            testbed.execute(assignment)
    assert re.match(
        r"rank \d put out numbers that are not finite at \dF\d@\d: in iteration 1, \d+ of \d+ numbers are infinite",
        str(error.value),
    )
    assert_gone(processes)


def test_iterations_of_many_deadlines_run_undisturbed_and_a_stopped_coordinator_goes_on() -> None:
    """Computations that are stretched beyond the deadline, and messages that take longer."""
    spec = TestbedSpec(kind="loopback", deadline_s=1.0, fractions=(0.004, 0.004, 0.004))
    with open_testbed(spec, three_hosts(mbit_per_s=0.5)) as testbed:
        threading.Thread(target=stop_for_a_while, daemon=True).start()
        (trace,) = testbed.execute(endless_assignment(iterations=1)).traces
    assert trace.makespan_s > 5.0


def stop_for_a_while() -> None:
    """Ctrl-Z after a moment, and fg later than any deadline."""
    pause = f"sleep 2; kill -STOP {os.getpid()}; sleep 3; kill -CONT {os.getpid()}"
    subprocess.run(["sh", "-c", pause], check=True)


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
        testbed.execute(big_assignment())


@pytest.mark.root
@pytest.mark.skipif(not cgroups.available(), reason="control groups need root")
def test_out_of_memory_under_a_cgroup_is_told_from_a_crash() -> None:
    spec = TestbedSpec(kind="loopback", deadline_s=DEADLINE_S, memory_limit=True)
    with open_testbed(spec, small_memory(60e6)()) as testbed:
        processes = testbed.coordinator.pids
        with pytest.raises(RunError, match=r"rank \d ran out of memory at .*: the kernel killed it"):
            testbed.execute(big_assignment())
    assert_gone(processes)


@pytest.mark.root
@pytest.mark.skipif(not cgroups.available(), reason="control groups need root")
def test_a_cpu_quota_slows_a_host_instead_of_dilation() -> None:
    spec = TestbedSpec(kind="loopback", deadline_s=30, fractions=(0.8, 0.2, 0.2), cpu_quota=True, repeat_disturbed=0)
    with open_testbed(spec, three_hosts()) as testbed:
        points = testbed.profile_layers(BERT, workload(BERT), samples=[6], repeats=60)
    whole = {name: sum(p.seconds for p in points if p.device == name) for name in ("a", "b")}
    # Shares of 0.8 and 0.2 of a core make 4; a busy machine slows the larger share first.
    assert whole["b"] > 2 * whole["a"]
    assert_gone([])


def big_assignment() -> Assignment:
    """A stage that needs hundreds of MB of stash."""
    work = replace(workload(BERT), batch_samples=4096, micro_batch_samples=4096, tokens=64)
    plan = replace(
        CASES[0].plan(BERT),
        micro_batches=1,
        micro_batch_samples=4096,
        stages=(replace(CASES[0].plan(BERT).stages[0], ranks=(0, 1, 2), samples=(2048, 1024, 1024)),),
    )
    return Assignment(
        schedule=hybrid_pipeline(plan, BERT, work), model=BERT, workload=work, data=data(BERT), iterations=1, seed=1
    )


SCRIPT = """
    from real_runtime.control.forking.client import fork_server
    from real_runtime.testbeds.opening import RANK, open_testbed
    from real_runtime.testbeds.spec import TestbedSpec
    from runtime_builders import three_hosts
    from test_runtime_failures import endless_assignment
    with open_testbed(TestbedSpec(kind="{kind}", deadline_s=60, cpu_quota={quota}), three_hosts()) as testbed:
        server = fork_server(RANK).pid
        print(server, *testbed.coordinator.pids, getattr(testbed.hosts, "holder", ""), flush=True)
        testbed.execute(endless_assignment())
"""


@pytest.mark.parametrize(
    ("kind", "sent"),
    [
        pytest.param("loopback", signal.SIGINT, id="loopback, Ctrl-C"),
        pytest.param("loopback", signal.SIGKILL, id="loopback, kill -9"),
        pytest.param("netns", signal.SIGTERM, id="netns, kill", marks=[needs_netns, pytest.mark.netns]),
    ],
)
def test_nothing_is_left_when_the_coordinator_is_ended(kind: str, sent: signal.Signals) -> None:
    quota = kind == "loopback" and sent is signal.SIGKILL and cgroups.available()  # there all libraries are loaded
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
    try:
        processes = [int(word) for word in process.stdout.readline().split()]
        assert len(processes) >= 4
        time.sleep(0.5)
        process.send_signal(sent)
        process.wait(60)
        assert_gone(processes)
        until_s = time.monotonic() + 15
        while (left := list(Path("/sys/fs/cgroup").glob(f"*/edgesim-{process.pid}-*"))) and time.monotonic() < until_s:
            time.sleep(0.1)
        assert not left
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def test_bad_input_is_refused_in_one_sentence_before_anything_starts() -> None:
    cluster = three_hosts()
    with pytest.raises(ValueError, match=r"unknown testbed 'cloud' \(known: auto, netns, loopback, ssh\)"):
        TestbedSpec(kind="cloud")
    with (
        pytest.raises(ValueError, match=r"set testbed\.slow_motion"),
        open_testbed(TestbedSpec(kind="loopback", fractions=(1.0, 1.0, 1.0)), cluster),
    ):
        pass
    plan = PIPELINE.plan(BERT)
    with pytest.raises(PlanError, match=r"layers \(0, 2\) and \(3, 5\) do not join"):
        replace(plan, stages=(replace(plan.stages[0], layers=(0, 2)), replace(plan.stages[1], layers=(3, 5))))


def test_an_assignment_for_other_ranks_or_of_an_unknown_architecture_is_refused_and_the_testbed_lives_on() -> None:
    with open_testbed(TestbedSpec(kind="loopback", deadline_s=DEADLINE_S), three_hosts()) as testbed:
        assignment = endless_assignment(iterations=1)
        wider = Schedule((*assignment.schedule.programs, (), ()))
        with pytest.raises(ValueError, match="the schedule is for 5 ranks, the testbed has 3"):
            testbed.execute(replace(assignment, schedule=wider))
        broken = Schedule((assignment.schedule.programs[0][1:], *assignment.schedule.programs[1:]))
        with pytest.raises(ScheduleError, match="has no RECV on rank 0"):
            testbed.execute(replace(assignment, schedule=broken))
        assert len(testbed.execute(assignment).traces) == 1
        with pytest.raises(RunError, match="unknown architecture 'elephant'"):
            testbed.execute(replace(assignment, model=replace(assignment.model, architecture="elephant")))


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
