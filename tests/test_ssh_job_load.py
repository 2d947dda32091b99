"""Does a job over SSH say which host other load disturbed while it trained, on the screen and in what is kept?"""

import json
import time
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
import ssh_lab
from builders import chain, homogeneous, linear_profile, pipeline_plan, play, workload
from device_jobs import FRACTIONS, HYBRID, four_hosts, played
from ssh_lab import Lab, lab
from test_ssh_load import NAME, other_load, sample, watched

from edgesim.job import Activity, JobMetrics, JobSpan, JobTrace, measure_job
from experiments.execution.other_load import disturbed_dict, told_of
from experiments.jobs.table import job_table
from real_runtime.execution import HostShare, host_of
from real_runtime.jobs.disturbed import job_watched, judged
from real_runtime.other_load.foreign_load import LoadWatch
from real_runtime.testbeds.opening import open_testbed

PROBLEM = ssh_lab.problem()


class Watched:
    """A testbed in slow motion, on whose second host another program computes from second 104 on."""

    spec = SimpleNamespace(slow_motion=2.0)

    def disturbed(self, watch: object, start_s: float, end_s: float) -> float:
        return HostShare(0.2, host=NAME) if end_s > 104 else 0.0


def spans() -> tuple[JobSpan, ...]:
    kinds = (Activity.TRAINING, Activity.MIGRATION, Activity.TRAINING)
    return tuple(JobSpan(activity=kind, start_s=i, end_s=i + 1.0) for i, kind in enumerate(kinds))


def job(player: str, of: tuple[JobSpan, ...]) -> JobTrace:
    return JobTrace(player=player, spans=of, resumptions=(), batch_samples=2)


def test_iterations_are_judged_by_their_moments_on_the_clock_of_the_driver() -> None:
    testbed: Any = Watched()
    found = judged(testbed, SimpleNamespace(), spans(), 100.0)  # type: ignore[arg-type]
    assert [span.disturbed for span in found] == [0.0, None, 0.2]
    assert job("measured", found).disturbed == (0.0, 0.2)
    assert [host_of(share) for share in job("measured", found).disturbed] == ["", NAME]
    assert judged(testbed, None, spans(), 100.0) == spans()


def test_what_is_not_known_of_an_iteration_is_said_of_none() -> None:
    first, second, third = spans()
    assert job("measured", (replace(first, disturbed=0.3), second, third)).disturbed == ()


def test_a_job_beside_emulated_hosts_is_not_watched() -> None:
    testbed: Any = SimpleNamespace(hosts=SimpleNamespace(watched=lambda ranks: None), cluster=four_hosts())
    with job_watched(testbed) as watch:
        assert watch is None
    testbed.hosts.watched = lambda ranks: nullcontext(list(ranks))
    with job_watched(testbed) as watch:
        assert watch == [0, 1, 2, 3]


def metrics() -> list[JobMetrics]:
    model, cluster = chain(2), homogeneous(2)
    trace = play(pipeline_plan(model, micro_batches=2), model, cluster, linear_profile(model, cluster))
    span = JobSpan(activity=Activity.TRAINING, start_s=0.0, end_s=trace.makespan_s, trace=trace)
    jobs = [job(player, (span,)) for player in ("simulated", "measured")]
    return [measure_job(each, cluster=cluster, model=model, workload=workload(micro_batches=2)) for each in jobs]


def test_the_table_marks_measured_seconds_and_names_the_host() -> None:
    both = metrics()
    table = job_table(both, "not calibrated", (0.0, HostShare(0.2, host=NAME)))
    simulated, measured = (list(column.cells) for column in table.columns[1:])
    assert str(measured[0]).endswith("†")
    assert not any(str(cell).endswith("†") for cell in simulated)
    said = f"† 1 of 2 iterations disturbed by other load (up to 20 % of the processors of {NAME})"
    assert table.caption == f"{said}\nwarning: not calibrated"
    assert job_table(both, disturbed=(0.0, 0.0)).caption is None


def test_what_is_kept_of_a_job_names_the_host_and_is_read_again() -> None:
    kept = json.loads(json.dumps(disturbed_dict((0.0, HostShare(0.2, host=NAME)))))
    assert kept == {"disturbed": [0.0, 0.2], "disturbed_on": ["", NAME]}
    assert NAME in told_of(kept)
    assert (disturbed_dict(()), disturbed_dict((0.0,))) == ({}, {"disturbed": [0.0]})
    assert told_of({}) == ""


def test_a_host_that_fell_silent_is_not_waited_for_at_every_iteration() -> None:
    load, now_s = watched(), time.monotonic()
    load.hear(sample(30.0, 5.0))
    assert [load.share(now_s - 20 + i, now_s - 19 + i) for i in range(10)] == [None] * 10
    assert time.monotonic() - now_s < 1.0


def test_a_rank_that_is_started_anew_is_no_other_program(monkeypatch: pytest.MonkeyPatch) -> None:
    used_s = {7: 1.0, 8: 2.0}
    module = "real_runtime.other_load.foreign_load."
    monkeypatch.setattr(f"{module}os.listdir", lambda _: map(str, used_s))
    monkeypatch.setattr(f"{module}time.clock_gettime", lambda clock: used_s[~clock >> 3])
    monkeypatch.setattr(f"{module}_is_kernel_thread", lambda pid: False)
    monkeypatch.setattr(f"{module}_stolen_s", lambda: 0.0)
    watch = LoadWatch([])
    watch.sample()
    watch.own.add(8)  # seen before the agent knew its number
    used_s[8] = 50.0
    watch.sample()
    assert [each.foreign_s for each in watch.samples] == [3.0, 1.0]


# --- on hosts ---


@pytest.fixture(scope="module")
def four(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with lab(tmp_path_factory.mktemp("lab"), 4, ahead_s=(0.05, -0.05, 0.0, 12.0)) as made:
        yield made


@pytest.mark.slow
@pytest.mark.netns
@pytest.mark.xdist_group("ssh")
@pytest.mark.skipif(PROBLEM is not None, reason=str(PROBLEM))
def test_a_job_beside_other_load_of_a_host_names_it(four: Lab) -> None:
    with open_testbed(four.spec(fractions=FRACTIONS, disturbed_above=0.03), four_hosts()) as testbed:
        alone = played(testbed, HYBRID, iterations=4)
        assert {host_of(share) for share in alone.disturbed} == {""}
        with other_load(four, 1):
            beside = played(testbed, HYBRID, iterations=4)
        assert {host_of(share) for share in beside.disturbed} == {NAME}
        assert len(beside.disturbed) == 4
    assert four.nothing_is_left() == []
