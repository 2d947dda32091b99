"""A ring's collectives: what every rank passes on, and how long it takes."""

import numpy as np
import pytest

from edgesim.ring import all_reduce_s, ring_steps, ring_traffic


@pytest.mark.parametrize("ranks", [1, 2, 3, 8])
def test_an_all_reduce_is_a_scatter_and_a_gather(ranks: int) -> None:
    assert ring_steps(ranks) == 2 * ring_steps(ranks, all_reduce=False) == 2 * (ranks - 1)
    assert ring_traffic(ranks) == pytest.approx(2 * (ranks - 1) / ranks)


def test_every_step_takes_its_bytes_and_a_latency() -> None:
    assert all_reduce_s(30.0, 3, 0.1, 0.0) == pytest.approx(4 * 10 * 0.1)
    assert all_reduce_s(0.0, 3, 0.1, 0.5) == pytest.approx(4 * 0.5)
    assert all_reduce_s(30.0, 1, 0.1, 0.5) == 0
    assert all_reduce_s(np.array([30.0, 60.0]), 3, 0.1, 0.0) == pytest.approx([4, 8])
