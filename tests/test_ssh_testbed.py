"""Do ranks on hosts over SSH do what ranks of this machine do, on one clock, and what is said when a host fails?"""

import os
import re
import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import ssh_lab
from meter_trees import ORIN_NANO
from runtime_builders import BERT, CASES, data, three_hosts, workload
from safetensors.numpy import load_file
from ssh_lab import Lab, lab

from edgesim.cluster import Cluster, Network
from edgesim.errors import RunError
from edgesim.metered import Evidence, metered_run
from edgesim.schedule import MESSAGE, Op
from edgesim.strategies.hybrid_pipeline import hybrid_pipeline
from experiments.execution.assignments import on_the_clock
from experiments.metering.hosts import HostMeter, metering
from real_runtime.assignment import Assignment, results_file
from real_runtime.meters.cpu_time import CpuTime
from real_runtime.meters.jetson_rails import JetsonRails
from real_runtime.testbeds.opening import open_testbed
from real_runtime.testbeds.spec import TestbedSpec
from real_runtime.testbeds.testbed import Testbed

PROBLEM = ssh_lab.problem()
pytestmark = [
    pytest.mark.slow,
    pytest.mark.netns,
    pytest.mark.xdist_group("ssh"),
    pytest.mark.skipif(PROBLEM is not None, reason=str(PROBLEM)),
]
AHEAD_S = (0.05, -0.05)
PLAN = replace(CASES[3], cuts=(0, 0.5, 1), groups=((1,), (0,)), samples=((6,), (6,)))


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with lab(tmp_path_factory.mktemp("lab"), 2, ahead_s=AHEAD_S) as made:
        yield made


def two_hosts() -> Cluster:
    three = three_hosts()
    network = Network.switched(
        transmit_bytes_per_s=[400e6 / 8] * 2, latency_s=1e-4, goodput=0.956, origin="assumed", source="made up"
    )
    return Cluster(name="two", devices=three.devices[:2], network=network)


def assignment(iterations: int, folder: Path | None = None) -> Assignment:
    work = workload(BERT)
    schedule = hybrid_pipeline(PLAN.plan(BERT), BERT, work)
    return Assignment(
        schedule=schedule,
        model=BERT,
        workload=work,
        data=data(BERT),
        iterations=iterations,
        seed=1,
        results_folder=None if folder is None else str(folder),
    )


def message_after(testbed: Testbed, happens: Callable[[], object], after_s: float = 0.5) -> str:
    """What is said when something happens in the middle of a run."""
    timer = threading.Timer(after_s, happens)
    timer.start()
    try:
        with pytest.raises(RunError) as told:
            testbed.execute(assignment(100_000))
    finally:
        timer.join()
    return str(told.value)


def frozen(two: Lab, rank: int, seconds: float) -> None:
    """Let nothing pass the channel to a host for some seconds: its sessions are held."""
    sessions = [pid for pid, what in two.processes(rank).items() if what.startswith("sshd: root")]
    for number in (signal.SIGSTOP, signal.SIGCONT):
        for pid in sessions:
            os.kill(pid, number)
        if number is signal.SIGSTOP:
            time.sleep(seconds)


def test_hosts_learn_the_same_on_one_clock_and_a_cut_channel_and_a_dead_host_are_borne_and_told(
    two: Lab, tmp_path: Path
) -> None:
    """One opening for all, since loading PyTorch on each host is what takes long."""
    here, there = tmp_path / "here", tmp_path / "there"
    for folder in (here, there):
        folder.mkdir()
    with open_testbed(TestbedSpec(kind="loopback", fractions=(0.5, 0.5)), two_hosts()) as testbed:
        ours = testbed.execute(assignment(3, here))
    with open_testbed(two.spec(), two_hosts()) as testbed:
        assert testbed.description.startswith("ssh: h0 (h0), h1 (h1)")
        theirs = testbed.execute(assignment(3, there))
        assert theirs.losses == ours.losses
        for rank in range(2):
            own, far = load_file(results_file(here, rank)), load_file(results_file(there, rank))
            assert own.keys() == far.keys()
            assert all((own[name] == far[name]).all() for name in own)
        for trace in theirs.traces:
            known_s = {reading.rank: reading.value for reading in trace.readings}
            assert 0 < max(known_s.values()) < 0.002
            ended_s = {span.task.name: span.end_s for span in trace}
            for span in trace:
                if span.task.op in MESSAGE:  # it takes what it takes: clocks 100 ms apart would show at once
                    assert 0 <= span.end_s - span.start_s < 0.08
                for need in span.task.needs:
                    if span.task.op is not Op.RECV:
                        assert span.start_s >= ended_s[need] - sum(known_s.values())
        assert_only_declared_ports(two)
        assert_power_is_read_on_the_hosts(two, testbed)

        thread = threading.Thread(target=frozen, args=(two, 1, 3.0))
        thread.start()
        assert testbed.execute(assignment(60)).losses[:3] == ours.losses
        thread.join()
        assert testbed.execute(assignment(3)).losses == ours.losses

        agents = [pid for pid, what in two.processes(1).items() if what.endswith("-m real_runtime.ssh.agent")]
        said = message_after(testbed, lambda: os.kill(agents[0], signal.SIGKILL))
        assert re.match(r"rank 1 is lost at .+: host h1 \(h1\): ", said)
        assert said.endswith("(rank 1 is host h1 (h1))")
    assert [each for each in two.nothing_is_left() if "edgesim-scratch" not in each] == []


def assert_power_is_read_on_the_hosts(two: Lab, testbed: Testbed) -> None:
    """By their own meters, a rail and processor time, each host's joules are its watts times seconds of ours."""
    ORIN_NANO.write(two.root(0) / "media/orin")
    rail, cpu_time = (
        JetsonRails(root="/media/orin", period_s=0.5),
        CpuTime(core_w=3.0, idle_w=1.0, watts_source="a guess", period_s=0.5),
    )
    meters = [HostMeter(meter=meter, ranks=(rank,), is_far=True) for rank, meter in enumerate((rail, cpu_time))]
    with metering(meters, testbed) as read:
        assert [f"on host h{rank} (" in said for rank, said in enumerate(read.told)] == [True, True]
        played = on_the_clock(testbed.execute(assignment(20)).traces)
    logs = read.logs(lambda rank: {}, [each.window_s for each in played])
    run = metered_run(logs, played, hosts=2, batch_samples=workload(BERT).batch_samples)
    of_rail, of_processes = (each.whole for each in run.energies)
    assert (run.evidence, run.covers, run.refused) == (Evidence.ESTIMATED, "module, process", "")
    assert logs[0].facts.evidence is Evidence.MEASURED
    assert of_rail.energy_j == pytest.approx(ORIN_NANO.total_w * of_rail.seconds, rel=0.05)
    assert of_processes.energy_j is not None
    assert 1.0 < of_processes.energy_j / of_processes.seen_s < 1.0 + 3.0 * 2  # its idle watts, and of two cores at most


def assert_only_declared_ports(two: Lab) -> None:
    """Every listener of a host is at its own address, on the interface of the inventory."""
    for rank in range(2):
        rows = two.on_host(rank, "ss", "-H", "-tuln").splitlines()
        listening = [row.split()[4].rpartition(":")[0] for row in rows]
        assert set(listening) == {f"10.77.0.{rank + 1}"}


@pytest.mark.soak
def test_a_killed_rank_is_told_from_a_pulled_cable(two: Lab) -> None:
    spec = two.spec(reaching=two.reaching(silence_s=4.0))
    with open_testbed(spec, two_hosts()) as testbed:
        said = message_after(testbed, lambda: testbed.coordinator.ranks[0].kill())
        assert re.match(r"rank 0 was killed by SIGKILL at .+ \(rank 0 is host h0 \(h0\)\)$", said)
    with open_testbed(spec, two_hosts()) as testbed:
        try:
            said = message_after(testbed, lambda: two.holder.cut(1))
        finally:
            two.holder.mend(1)
        assert "host h1 (h1): nothing was heard of it for 4 s (is it on, and its cable or Wi-Fi up?" in said
    assert two.nothing_is_left() == []
