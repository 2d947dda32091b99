"""A cache of a frozen backbone's outputs is written and read beside what ranks compute, byte by byte as it is kept."""

from itertools import product

import pytest
from builders import constant_profile, data_plan, homogeneous, plan_of, workload

from edgesim.cached_outputs import Storage, kept_bytes, kept_rows
from edgesim.errors import PlanError
from edgesim.finetuning import cached, parallel_adapters
from edgesim.memory import cache_bytes
from edgesim.model import Model
from edgesim.plan import Depth, Plan, make_stages
from edgesim.schedule import Op, Schedule
from edgesim.simulator import simulate
from edgesim.strategies.activation_cache import CacheTasks, CacheUse
from edgesim.strategies.data import data
from edgesim.strategies.hybrid_pipeline import hybrid_pipeline
from edgesim.strategies.pipeline import pipeline
from edgesim.trace import Trace
from edgesim.zoo.bert import bert
from edgesim.zoo.t5 import t5

TOKENS, HIDDEN, LAYERS = 8, 64, 2
OUTPUT = TOKENS * HIDDEN * 4  # bytes of a layer's output of a sample
PLAIN = bert(name="b", layers=LAYERS, hidden=HIDDEN, heads=8, columns=128, vocabulary=50, positions=TOKENS)
MODEL = parallel_adapters(PLAIN)
WITHOUT_BACKBONE = cached(MODEL)
F_S, B_S, DISK = 1.0, 2.0, 1e6  # seconds of a layer, bytes per second


def written(plan: Plan, cache: CacheTasks, model: Model = MODEL) -> Schedule:
    asked = workload(micro_batches=plan.micro_batches, micro_batch_samples=plan.micro_batch_samples, tokens=TOKENS)
    return hybrid_pipeline(plan, model, asked, cache=cache)


def played(cache: CacheTasks, *, micro_batches: int, disk_s: float, model: Model = MODEL) -> Trace:
    """One rank, whose disk takes so long for the outputs of a micro-batch."""
    plan = data_plan(model, [1], micro_batches=micro_batches)
    nbytes = kept_bytes(MODEL, (0, 4), samples=1, tokens=TOKENS)
    cluster = homogeneous(1, disk_bytes_per_s=nbytes / disk_s)
    profile = constant_profile(model, cluster, forward_s=F_S / 4, backward_s=B_S / 4)
    schedule = written(plan, cache, model)
    return simulate(schedule, cluster=cluster, model=model, profile=profile, tokens=1)


def two_stages(cut: int, groups: list[list[int]], samples: list[list[int]], *, micro_batches: int = 1) -> Plan:
    """The layers before the cut, and the others."""
    cuts, depth = [0, cut, LAYERS + 2], Depth.ONE_F_ONE_B
    stages = make_stages(cuts=cuts, groups=groups, samples=samples, depth=depth, micro_batches=micro_batches)
    return plan_of(MODEL, stages, micro_batches=micro_batches)


# --- what is kept ---


@pytest.mark.parametrize("model", [MODEL, WITHOUT_BACKBONE])
def test_the_outputs_of_the_embedding_and_of_all_layers_are_kept_and_nothing_of_the_head(model: Model) -> None:
    assert kept_rows(model, tokens=TOKENS) == (TOKENS,) * (LAYERS + 1) + (0,)
    assert kept_bytes(model, (0, LAYERS + 2), samples=3, tokens=TOKENS) == cache_bytes(PLAIN, samples=3, tokens=TOKENS)


def test_a_decoder_keeps_its_own_tokens_and_the_encoders_once() -> None:
    sizes = {"hidden": 64, "heads": 8, "head_size": 8, "columns": 128, "vocabulary": 50, "buckets": 8}
    made = t5(name="t", encoder_layers=2, decoder_layers=3, decoder_tokens=2, **sizes)  # type: ignore[arg-type]
    assert kept_rows(parallel_adapters(made), tokens=TOKENS) == (TOKENS,) * 3 + (2,) * 3 + (0,)


def test_shorter_numbers_take_fewer_bytes_and_8_bits_a_scale_for_each_row() -> None:
    rows = TOKENS * (LAYERS + 1) * 2
    sizes = {
        storage: kept_bytes(MODEL, (0, LAYERS + 2), samples=2, tokens=TOKENS, storage=storage) for storage in Storage
    }
    assert sizes == {
        Storage.FP32: rows * HIDDEN * 4,
        Storage.FP16: rows * HIDDEN * 2,
        Storage.INT8: rows * (HIDDEN + 4),
    }


# --- where its tasks stand ---


def test_each_forward_pass_is_followed_by_a_write_of_what_the_stage_keeps_of_the_ranks_samples() -> None:
    plan = two_stages(2, [[0, 1], [2]], [[2, 1], [3]], micro_batches=2)
    schedule = written(plan, CacheTasks(use=CacheUse.WRITE))
    kept = {
        rank: [(task.name, task.nbytes, task.needs) for task in program if task.op is Op.CACHE_WRITE]
        for rank, program in enumerate(schedule.programs)
    }
    assert kept == {
        0: [(f"0CACHE_WRITE{m}@0", 2 * 2 * OUTPUT, (f"0F{m}@0",)) for m in range(2)],
        1: [(f"0CACHE_WRITE{m}@1", 1 * 2 * OUTPUT, (f"0F{m}@1",)) for m in range(2)],
        2: [(f"1CACHE_WRITE{m}@2", 3 * 1 * OUTPUT, (f"1F{m}@2",)) for m in range(2)],
    }
    assert not any(need.startswith("0CACHE") for task in schedule for need in task.needs), "nothing waits for a write"


def test_a_stage_of_the_head_alone_writes_nothing() -> None:
    plan = two_stages(3, [[0], [1]], [[1], [1]])
    program = written(plan, CacheTasks(use=CacheUse.WRITE)).programs[1]
    assert not any(task.op is Op.CACHE_WRITE for task in program)


@pytest.mark.parametrize("ahead", [1, 2, 3])
def test_a_read_goes_before_each_forward_pass_and_begins_when_an_earlier_one_has_ended(ahead: int) -> None:
    plan = data_plan(WITHOUT_BACKBONE, [2, 1], micro_batches=4)
    program = written(plan, CacheTasks(use=CacheUse.READ, ahead=ahead), WITHOUT_BACKBONE).programs[0]
    reads = [(task.name, task.nbytes, task.needs) for task in program if task.op is Op.CACHE_READ]
    assert reads == [
        (f"0CACHE_READ{m}@0", 2 * 3 * OUTPUT, (f"0F{m - ahead}@0",) if m >= ahead else ()) for m in range(4)
    ]
    assert [task.needs for task in program if task.op is Op.F] == [(f"0CACHE_READ{m}@0",) for m in range(4)]


def test_a_schedule_with_a_cache_is_its_text() -> None:
    plan = two_stages(2, [[0, 1], [2]], [[2, 1], [3]], micro_batches=3)
    for use, storage in product((CacheUse.WRITE, CacheUse.READ), Storage):
        schedule = written(plan, CacheTasks(use=use, storage=storage, ahead=1))
        assert Schedule.from_text(schedule.to_text()) == schedule


def test_data_and_pipeline_parallelism_write_what_the_hybrid_does() -> None:
    asked, cache = workload(micro_batches=2, micro_batch_samples=2, tokens=TOKENS), CacheTasks(use=CacheUse.WRITE)
    for strategy, plan in (
        (data, data_plan(MODEL, [1, 1], micro_batches=2)),
        (pipeline, two_stages(2, [[0], [1]], [[2], [2]], micro_batches=2)),
    ):
        assert strategy(plan, MODEL, asked, cache=cache) == hybrid_pipeline(plan, MODEL, asked, cache=cache)


# --- what it takes ---


def test_writing_takes_no_time_while_it_is_faster_than_computing_but_for_the_tail_behind_the_last_forward() -> None:
    """Four micro-batches of one second forward and two back; the disk takes 2.5 s for each."""
    plain, writes = (played(cache, micro_batches=4, disk_s=2.5) for cache in (CacheTasks(), CacheTasks(use="write")))  # type: ignore[arg-type]
    assert plain.makespan_s == pytest.approx(12)
    assert writes.makespan_s == pytest.approx(3 * 3 + 1 + 2.5), "the last write begins with the last forward's end"


def test_a_slow_disk_paces_the_epoch_that_fills_the_cache() -> None:
    assert played(CacheTasks(use=CacheUse.WRITE), micro_batches=4, disk_s=10).makespan_s == pytest.approx(1 + 4 * 10)


def test_reading_overlaps_with_computing_but_for_the_first() -> None:
    """A micro-batch is computed in three seconds and read in two, or in four."""
    fast = played(CacheTasks(use=CacheUse.READ), micro_batches=4, disk_s=2, model=WITHOUT_BACKBONE)
    slow = played(CacheTasks(use=CacheUse.READ), micro_batches=4, disk_s=4, model=WITHOUT_BACKBONE)
    assert fast.makespan_s == pytest.approx(2 + 4 * 3)
    assert slow.makespan_s == pytest.approx(4 * 4 + 3)


def test_reading_is_never_further_ahead_than_it_may_be() -> None:
    trace = played(CacheTasks(use=CacheUse.READ, ahead=2), micro_batches=6, disk_s=0.1, model=WITHOUT_BACKBONE)
    spans = {span.task.name: span for span in trace}
    for m in range(2, 6):
        assert spans[f"0CACHE_READ{m}@0"].start_s == spans[f"0F{m - 2}@0"].end_s


# --- what is refused ---


@pytest.mark.parametrize("use", [CacheUse.WRITE, CacheUse.READ])
def test_a_model_that_is_trained_whole_has_no_cache(use: CacheUse) -> None:
    with pytest.raises(PlanError, match="b has no parallel adapters"):
        written(data_plan(PLAIN, [1]), CacheTasks(use=use), PLAIN)


def test_reading_not_ahead_at_all_is_refused() -> None:
    with pytest.raises(ValueError, match="ahead=0"):
        CacheTasks(use=CacheUse.READ, ahead=0)
