"""Do stages that share trained weights add up their gradients, once, and nothing twice?"""

import pytest
from builders import homogeneous, switched
from tuned_models import TOKENS, small, tuned

from edgesim.errors import PlanError
from edgesim.model import Model, model_from_dict, model_to_dict
from edgesim.plan import Depth, Plan, make_stages, tied_apart
from edgesim.profile import estimate
from edgesim.schedule import Op, Payload, Schedule, Task
from edgesim.simulator import simulate
from edgesim.strategies.hybrid_pipeline import hybrid_pipeline
from edgesim.strategies.tied_gradients import refuse_tied, tied_gradients
from edgesim.workload import Workload

WORK = Workload(
    purpose="train", batch_samples=8, micro_batch_samples=4, tokens=TOKENS, optimiser="sgd", learning_rate=0.1
)
T5 = tuned("t5", "exchanged")  # embedding, encoder.0, encoder.1, decoder.0, decoder.1, head
WORDS, TABLE = 4 * 259 * 32, 4 * 8 * 4


def planned(model: Model, cuts: tuple[int, ...], groups: tuple[tuple[int, ...], ...]) -> Plan:
    stages = make_stages(
        cuts=cuts,
        groups=groups,
        samples=tuple((4 // len(group),) * len(group) for group in groups),
        depth=Depth.ONE_F_ONE_B,
        micro_batches=2,
    )
    return Plan(model=model.name, stages=stages, micro_batches=2, micro_batch_samples=4, planner="test")


UNEVEN = planned(T5, (0, 2, 4, 6), ((0, 3), (1,), (2,)))


def added(schedule: Schedule, payload: Payload | None) -> list[Task]:
    return [task for task in schedule if task.op is Op.ALL_REDUCE and task.payload is payload]


def test_every_rank_that_has_a_copy_adds_up_its_gradient_once() -> None:
    """Words are in the embedding, the first decoder layer and the head; each stack's table in all of its layers."""
    groups = {tied.owner: tied for tied in tied_gradients(UNEVEN, T5, WORK)}
    assert {owner: (tuple(tied.ranks), tied.nbytes) for owner, tied in groups.items()} == {
        0: ((0, 3, 1, 2), WORDS),
        1: ((0, 3, 1), TABLE),
        3: ((1, 2), TABLE),
    }
    tasks = added(hybrid_pipeline(UNEVEN, T5, WORK), Payload.TIED)
    assert sorted((task.bucket, task.rank) for task in tasks) == [
        (0, 0), (0, 1), (0, 2), (0, 3), (1, 0), (1, 1), (1, 3), (3, 1), (3, 2),
    ]  # fmt: skip


def test_replicas_add_up_the_rest_and_step_behind_both() -> None:
    schedule = hybrid_pipeline(UNEVEN, T5, WORK)
    own = sum(layer.trainable_bytes for layer in T5.layers[:2])
    assert {task.nbytes for task in added(schedule, None)} == {own - WORDS - TABLE}
    for update in (task for task in schedule if task.op is Op.UPDATE):
        assert [name for name in update.needs if "tied" in name]


def test_what_is_added_up_takes_time_in_the_simulator() -> None:
    cluster = homogeneous(4, network=switched(4, bytes_per_s=1e6))
    profile = estimate(T5, cluster.devices, samples=(2, 4), tokens=TOKENS)
    schedule = hybrid_pipeline(UNEVEN, T5, WORK)
    trace = simulate(schedule, cluster=cluster, model=T5, profile=profile, tokens=TOKENS)
    assert all(span.end_s > span.start_s for span in trace if span.task.payload is Payload.TIED)


def test_nothing_is_exchanged_where_one_stage_has_all_copies_or_nothing_of_them_is_trained() -> None:
    alone = planned(T5, (0, 6), ((0, 1),))
    assert tied_gradients(alone, T5, WORK) == []
    assert not added(hybrid_pipeline(alone, T5, WORK), Payload.TIED)
    frozen = tuned("t5", "parallel_adapters")
    assert tied_gradients(UNEVEN, frozen, WORK) == []


def test_only_who_exchanges_may_cut_between_tied_weights() -> None:
    plain = small("t5")
    assert "finetuning=full_exchanged" in tied_apart(UNEVEN.stages, plain, WORK)
    assert tied_apart(UNEVEN.stages, T5, WORK) == ""


def test_buckets_are_refused_where_stages_share_weights() -> None:
    with pytest.raises(PlanError, match="in buckets does not add up gradients of embedding between stages"):
        hybrid_pipeline(UNEVEN, T5, WORK, bucket_bytes=1000)
    refuse_tied(planned(T5, (0, 6), ((0, 1),)), T5, WORK, "any")


def test_the_exchange_survives_json() -> None:
    assert model_from_dict(model_to_dict(T5)) == T5
