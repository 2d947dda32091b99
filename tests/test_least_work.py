"""Is what all devices could do together really a bound, and by the right amount where it is known?"""

import builders
import pytest
from test_ilp_blocks import a_problem

from edgesim.cluster import Cluster
from edgesim.planners.cost_models.least_work import least_division_s, least_iteration_s
from edgesim.planners.exact.blocks.ilp_blocks import ilp_blocks
from edgesim.planners.exact.pipelines.ilp_hybrid_pipeline import ilp_hybrid_pipeline
from edgesim.planners.problem import Problem
from edgesim.profile import estimate


def on_boards(gflop_per_s: list[float], layers: int = 4, samples: int = 4) -> Problem:
    model = builders.chain(layers)
    boards = tuple(builders.device(f"d{i}", flop_per_s=1e9 * speed) for i, speed in enumerate(gflop_per_s))
    return Problem(
        model=model,
        cluster=Cluster(name="boards", devices=boards, network=builders.switched(len(boards), bytes_per_s=1e8)),
        profile=estimate(model, boards, samples=range(1, samples + 1), tokens=1),
        workload=builders.workload(micro_batches=8, micro_batch_samples=samples),
    )


def test_one_device_does_all_work_one_sample_after_the_other() -> None:
    """1 MFLOP forward and 2 backward, for 4 layers, 4 samples and 8 micro-batches, at 2 GFLOP/s."""
    assert least_iteration_s(on_boards([2.0])) == pytest.approx(3e6 * 4 * 4 * 8 / 2e9, rel=1e-6)


def test_three_devices_share_it_by_their_speeds() -> None:
    assert least_iteration_s(on_boards([1.0, 2.0, 3.0])) == pytest.approx(3e6 * 4 * 4 * 8 / 6e9, rel=1e-6)


@pytest.mark.parametrize("speeds", [[1.0], [1.0, 1.0], [1.0, 3.0, 5.0], [1.0, 1.1, 1.2, 9.0]])
def test_no_pipeline_is_below(speeds: list[float]) -> None:
    problem = on_boards(speeds)
    plan = ilp_hybrid_pipeline(problem, time_limit_s=20)
    assert plan.predicted_s is not None
    assert 0 < least_iteration_s(problem) <= plan.predicted_s


@pytest.mark.parametrize(("units", "tokens", "overlap"), [(1, 0, 0), (0, 1, 0), (1, 1, 0), (1, 1, 1)])
@pytest.mark.parametrize("speeds", [(3,), (1, 1), (3, 2, 1)])
def test_no_division_of_blocks_is_below(speeds: tuple[float, ...], units: int, tokens: int, overlap: int) -> None:
    problem, divided = a_problem(speeds, tokens=24), {"units": bool(units), "tokens": bool(tokens)}
    plan = ilp_blocks(problem, **divided, overlap=bool(overlap), leave_out=True, time_limit_s=20)
    assert plan.predicted_s is not None
    least_s = least_division_s(problem, **divided, overlap=bool(overlap))
    assert 0 < least_s <= plan.predicted_s * (1 + 1e-9)
    assert least_s >= 0.2 * plan.predicted_s or len(speeds) > 1
