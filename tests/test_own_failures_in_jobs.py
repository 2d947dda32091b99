"""A rank of a job that fails by itself is told apart from one that is killed, and the job goes on without it."""

import os
import re
import signal

import faulty_rank
import pytest
from device_jobs import FRACTIONS, HYBRID, four_hosts, losses_of_one_device, played

from edgesim.job import Activity, JobSpan
from real_runtime.testbeds import cgroups, opening
from real_runtime.testbeds.opening import open_testbed
from real_runtime.testbeds.spec import TestbedSpec

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("testbed"), pytest.mark.timeout(120)]
ITERATIONS, TOLERANCE = 6, 1e-5


@pytest.mark.parametrize(
    ("fault", "limited", "why"),
    [
        ("exception", False, r"rank 1 failed at \S+@1: 'planted'"),
        ("exit", False, r"rank 1 ended itself with code 3 at \S+@1"),
        pytest.param(
            "out of memory",
            True,
            r"rank 1 ran out of memory at \S+@1: the kernel killed it at its limit",
            marks=[pytest.mark.root, pytest.mark.skipif(not cgroups.available(), reason="no control groups")],
        ),
    ],
)
def test_the_job_goes_on_without_a_rank_that_failed_by_itself(
    fault: str, limited: bool, why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(opening, "RANK", faulty_rank.RANK)
    monkeypatch.setenv("EDGESIM_FAULT", fault)
    spec = TestbedSpec(kind="loopback", fractions=FRACTIONS, memory_limit=limited)
    cluster = four_hosts(memory_bytes=6e8)
    with open_testbed(spec, cluster) as testbed:

        def strike(span: JobSpan) -> None:
            if span.activity is Activity.TRAINING and span.first == 1:
                os.kill(testbed.coordinator.pids[1], signal.SIGUSR1)

        trace = played(testbed, HYBRID, iterations=ITERATIONS, hears=strike)
    assert list(trace.losses) == pytest.approx(losses_of_one_device(ITERATIONS), rel=TOLERANCE)
    (resumed,) = trace.resumptions
    assert resumed.change.lost == (1,)
    assert re.search(why, resumed.change.why), resumed.change.why
