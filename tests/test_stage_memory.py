"""Do planners that ask once per range of layers hear what ``memory.py`` says of each stage?"""

import builders
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgesim.memory import RankLoad, held_bytes
from edgesim.model import Model
from edgesim.planners.cost_models.stage_memory import StageMemory
from edgesim.planners.problem import Problem
from edgesim.profile import estimate
from edgesim.workload import Optimiser, Purpose
from edgesim.zoo.bert import bert

repeatable = settings(max_examples=40, deadline=None, derandomize=True, database=None)


def small_bert() -> Model:
    return bert(name="small", layers=3, hidden=48, heads=12, columns=120, vocabulary=50, positions=24)


def a_problem(model: Model, purpose: Purpose, optimiser: Optimiser, memory_bytes: float = 1e9) -> Problem:
    cluster = builders.homogeneous(3, memory_bytes=memory_bytes, context_bytes=1000.0)
    workload = builders.workload(
        micro_batches=6, micro_batch_samples=4, purpose=purpose, optimiser=optimiser, tokens=24
    )
    profile = estimate(model, cluster.devices, samples=range(1, 5), tokens=24)
    return Problem(model=model, cluster=cluster, profile=profile, workload=workload)


@repeatable
@given(
    purpose=st.sampled_from([Purpose.TRAIN, Purpose.INFER]),
    optimiser=st.sampled_from(Optimiser),
    samples=st.integers(1, 4),
    in_flight=st.integers(1, 6),
    replicas=st.integers(1, 3),
    encoder=st.booleans(),
)
def test_bytes_of_every_range_are_those_of_held_bytes(
    purpose: Purpose, optimiser: Optimiser, samples: int, in_flight: int, replicas: int, encoder: bool
) -> None:
    model = small_bert() if encoder else builders.chain(5, parameter_bytes=4400)
    problem = a_problem(model, purpose, optimiser)
    layers = len(model.layers)
    ranges = [(i, j) for i in range(layers) for j in range(i + 1, layers + 1)]
    found = StageMemory(problem, ranges).total_bytes(samples, in_flight, replicas)
    for held, nbytes in zip(ranges, found, strict=True):
        asked = held_bytes(
            model,
            problem.workload,
            RankLoad(
                layers=held, samples=samples, in_flight=in_flight, micro_batches=6, replicas=replicas, context_bytes=0.0
            ),
        )
        assert nbytes == pytest.approx(asked.total_bytes, rel=1e-12)


def test_the_furthest_position_is_the_last_at_which_its_depth_fits() -> None:
    model = builders.chain(3, stash_bytes=10_000)
    alone = held_bytes(
        model,
        a_problem(model, Purpose.TRAIN, Optimiser.SGD).workload,
        RankLoad(layers=(0, 2), samples=2, in_flight=3, micro_batches=6, replicas=1, context_bytes=1000.0),
    ).total_bytes
    memory = StageMemory(a_problem(model, Purpose.TRAIN, Optimiser.SGD, alone), [(0, 2)])
    assert memory.furthest(0, 2, 1, depths=[1, 3, 5]).tolist() == [2]
    tight = StageMemory(a_problem(model, Purpose.TRAIN, Optimiser.SGD, alone - 1), [(0, 2)])
    assert tight.furthest(0, 2, 1, depths=[1, 3, 5]).tolist() == [1]
