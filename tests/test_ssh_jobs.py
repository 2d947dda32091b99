"""Does a job go on over SSH when a rank is killed or stopped, or a cable is pulled? Losses are one device's."""

import threading
import time
from collections.abc import Iterator
from math import inf

import pytest
import ssh_lab
from device_jobs import FRACTIONS, HYBRID, four_hosts, losses_of_one_device, played
from ssh_lab import Lab, lab

from edgesim.job import JobSpan
from edgesim.scenario import Loss, LossKind, Moment
from real_runtime.testbeds.opening import open_testbed

PROBLEM = ssh_lab.problem()
pytestmark = [
    pytest.mark.soak,
    pytest.mark.netns,
    pytest.mark.timeout(600),
    pytest.mark.xdist_group("ssh"),
    pytest.mark.skipif(PROBLEM is not None, reason=str(PROBLEM)),
]
ITERATIONS, TOLERANCE = 8, 1e-5


@pytest.fixture(scope="module")
def four(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with lab(tmp_path_factory.mktemp("lab"), 4, ahead_s=(0.05, -0.05, 0.0, 12.0)) as made:
        yield made


@pytest.fixture(scope="module")
def undisturbed() -> list[float]:
    return losses_of_one_device(ITERATIONS)


def test_training_goes_on_when_a_rank_is_killed_or_stopped_and_when_a_cable_is_pulled(
    four: Lab, undisturbed: list[float]
) -> None:
    spec = four.spec(fractions=FRACTIONS, reaching=four.reaching(silence_s=8.0))
    with open_testbed(spec, four_hosts()) as testbed:
        for kind, lasts_s in ((LossKind.KILL, inf), (LossKind.STOP, 4.0)):
            loss = Loss(rank=1, when=Moment(iteration=3, task="0F2@1"), kind=kind, lasts_s=lasts_s)
            trace = played(testbed, HYBRID, [loss])
            assert list(trace.losses) == pytest.approx(undisturbed, rel=TOLERANCE)
            assert trace.resumptions[0].change.lost == (1,)
            said = "was killed by SIGKILL at" if kind is LossKind.KILL else "was stopped (SIGSTOP) at"
            assert f"rank 1 {said}" in trace.resumptions[0].change.why
        with pytest.raises(ValueError, match="hosts over SSH cannot play a scenario in which"):
            played(testbed, HYBRID, [Loss(rank=1, when=Moment(iteration=3), kind=LossKind.LINK_DOWN, lasts_s=4.0)])

        pulled = threading.Event()

        def pull(span: JobSpan) -> None:
            if span.first == 3 and not pulled.is_set():
                pulled.set()
                four.holder.cut(2)

        try:
            trace = played(testbed, HYBRID, iterations=ITERATIONS, hears=pull)
            assert list(trace.losses) == pytest.approx(undisturbed, rel=TOLERANCE)
            assert [each.change.lost for each in trace.resumptions] == [(2,)]
            assert trace.resumptions[0].plan.ranks == (0, 1, 3)
        finally:
            four.holder.mend(2)
    time.sleep(0.1)
    assert four.nothing_is_left(20) == []
