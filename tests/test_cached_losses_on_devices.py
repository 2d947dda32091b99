"""A device is lost while fine-tuning fills a cache, or learns from it: what is learnt is what one device learns."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from cached_device_jobs import EPOCHS, ITERATIONS, played, training, undisturbed
from device_jobs import FRACTIONS, four_hosts
from tuned_models import tuned

from edgesim.cached_training.phases import CachedTraining
from edgesim.job import Activity, JobTrace
from edgesim.recovery.lightweight import lightweight
from edgesim.scenario import Loss, Moment
from edgesim.schedule import Op
from real_runtime.testbeds.opening import open_testbed
from real_runtime.testbeds.spec import TestbedSpec
from real_runtime.testbeds.testbed import Testbed

pytestmark = [pytest.mark.xdist_group("testbed"), pytest.mark.timeout(300)]
BERT = training(tuned("bert", "parallel_adapters"), [0, 2], [[0, 1], [2]], [[1, 3], [4]])
T5 = training(tuned("t5", "parallel_adapters"), [0, 2, 4], [[0, 1], [2], [3]], [[3, 1], [4], [4]])


@pytest.fixture(scope="module")
def testbed() -> Iterator[Testbed]:
    with open_testbed(TestbedSpec(fractions=FRACTIONS), four_hosts()) as opened:
        yield opened


def refilled(trace: JobTrace) -> list[tuple[range, set[tuple[int, int]]]]:
    """The batches of every refill, and layers of which outputs were written."""
    spans = list(trace.of(Activity.REFILL))
    assert all(span.trace is not None for span in spans)
    return [
        (
            range(span.first, span.first + span.count),
            {task.layers for task in span.trace.schedule if task.op is Op.CACHE_WRITE},  # type: ignore[union-attr]
        )
        for span in spans
    ]


@pytest.mark.parametrize(
    ("asked", "rank", "iteration", "expected"),
    [
        (BERT, 1, 2, [(range(2), {(0, 2)})]),
        (T5, 3, 2, [(range(1), {(4, 5)})]),
        (T5, 2, ITERATIONS + 1, [(range(ITERATIONS), {(2, 4)})]),
    ],
    ids=["a replica, while the cache is filled", "a stage, while the cache is filled", "in a later epoch"],
)
def test_who_is_lost_costs_its_own_part_of_the_cache_and_no_sample(
    asked: CachedTraining, rank: int, iteration: int, expected: object, testbed: Testbed, tmp_path: Path
) -> None:
    lost = Loss(rank=rank, when=Moment(iteration=iteration))
    trace = played(testbed, asked, tmp_path, events=[lost], policy=lightweight)
    assert list(trace.losses) == pytest.approx(undisturbed(asked.problem.model), rel=1e-5)
    trained = [span.first for span in trace.of(Activity.TRAINING) if not span.redone]
    assert trained == list(range(EPOCHS * ITERATIONS))
    assert next(resumed.change.lost for resumed in trace.resumptions if resumed.change.lost) == (rank,)
    assert refilled(trace) == expected
