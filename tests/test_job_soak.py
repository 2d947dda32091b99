"""Fifty random losses of devices in jobs: every job ends trained, or says who was lost; nothing hangs or is left."""

import random
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from device_jobs import FRACTIONS, HOSTS, HYBRID, four_hosts, losses_of_one_device, plan_of, played, setup

from edgesim.errors import EdgesimError
from edgesim.job import Recover, Resumption
from edgesim.planners.literature.asteroid import asteroid
from edgesim.recovery.heavy import heavy
from edgesim.recovery.lightweight import lightweight
from edgesim.recovery.proven import proven
from edgesim.scenario import Loss, LossKind, Moment
from real_runtime.testbeds import netns
from real_runtime.testbeds.netns import NetnsHosts
from real_runtime.testbeds.opening import open_testbed
from real_runtime.testbeds.spec import TestbedSpec
from real_runtime.testbeds.testbed import Testbed

LOSSES, ITERATIONS, TOLERANCE = 50, 12, 1e-5
noticed: list[Resumption] = []  # losses that the jobs below went on after
PLANS = {
    "replicas, then two stages": HYBRID,
    "pipeline": plan_of([0, 1, 2, 3, 5], [[3], [2], [1], [0]]),
    "data": plan_of([0, 5], [[0, 1, 2, 3]]),
}
pytestmark = [pytest.mark.soak, pytest.mark.xdist_group("testbed"), pytest.mark.timeout(180)]


@pytest.fixture(scope="module")
def testbed() -> Iterator[Testbed]:
    """Checked to leave nothing behind: no process of any rank that there ever was, and no host."""
    with open_testbed(TestbedSpec(fractions=FRACTIONS), four_hosts()) as opened:
        yield opened
        processes = [*opened.coordinator.pids, *([opened.hosts.holder] if isinstance(opened.hosts, NetnsHosts) else [])]
        folder = opened.coordinator.ranks[0].log.parent
    assert not [pid for pid in processes if Path(f"/proc/{pid}").exists()]
    assert not folder.exists()


@pytest.fixture(scope="module")
def undisturbed() -> list[float]:
    return losses_of_one_device(ITERATIONS)


@pytest.fixture(scope="module")
def shortest_s(testbed: Testbed) -> float:
    """Of the jobs of all plans, when nothing happens to them."""
    return min(played(testbed, plan, iterations=ITERATIONS).end_s for plan in PLANS.values())


def drawn_loss(chance: random.Random, kinds: tuple[LossKind, ...], until_s: float) -> Loss:
    kind = chance.choice(kinds)
    lasts = {} if kind is LossKind.KILL or chance.random() < 0.3 else {"lasts_s": chance.uniform(0.5, 4.0)}
    return Loss(rank=chance.randrange(HOSTS), when=Moment(at_s=chance.uniform(0.0, until_s)), kind=kind, **lasts)


def policy_of(chance: random.Random, testbed: Testbed) -> Recover:
    prepared = setup(testbed.cluster)
    return chance.choice([lightweight(prepared), heavy(prepared, planner=asteroid), proven(prepared, time_limit_s=5.0)])


@pytest.mark.parametrize("seed", range(LOSSES // 2))
def test_two_random_losses_end_in_a_trained_model_or_a_clear_word(
    seed: int, testbed: Testbed, undisturbed: list[float], shortest_s: float
) -> None:
    chance = random.Random(seed)
    kinds = tuple(LossKind) if netns.problem() is None else (LossKind.KILL, LossKind.STOP)
    events, plan = [drawn_loss(chance, kinds, shortest_s) for _ in range(2)], chance.choice(list(PLANS.values()))
    trace, said = None, ""
    try:
        trace = played(testbed, plan, events, iterations=ITERATIONS, policy=policy_of(chance, testbed))
    except EdgesimError as error:
        said = str(error)
    if trace is None:
        assert re.search(r"rank \d|layer", said), f"{said} names nobody"
    else:
        assert list(trace.losses) == pytest.approx(undisturbed, rel=TOLERANCE)
        noticed.extend(each for each in trace.resumptions if each.change.lost)


def test_most_of_these_losses_were_noticed() -> None:
    """Some come after the end of a job, are over before anybody misses the device, or are of one that is not used."""
    assert len(noticed) >= LOSSES // 2
