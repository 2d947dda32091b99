"""Folds over columns say what folds span by span said: memory, joules, watts, lines and pictures."""

import gzip
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from block_builders import BERT, GPT2, STRATEGIES, asked_of, block_plan, boards, infer, played
from builders import chain, constant_profile, homogeneous, pipeline_plan, play, switched
from folds_oracle import (
    old_energy_by_state_j,
    old_memory_over_time,
    old_power_over_time,
    old_to_perfetto,
)
from hypothesis import assume, given
from test_block_memory import ASKED
from test_properties import Case, cases, repeatable

from edgesim.cluster import Cluster
from edgesim.energy import power_over_time, wire_bytes
from edgesim.footprint import memory_over_time
from edgesim.metrics import measure
from edgesim.model import Model
from edgesim.perfetto import save_perfetto, to_perfetto
from edgesim.schedule import COMPUTE
from edgesim.trace import RankSpans, Trace
from edgesim.workload import Purpose, Workload


def same(new: Sequence[tuple[float, float]], old: Sequence[tuple[float, float]]) -> bool:
    """Whether steps agree: in their times to the bit, in their values to a part in a billion of the largest."""
    assert [at_s for at_s, _ in new] == [at_s for at_s, _ in old]
    most = max((abs(value) for _, value in old), default=0.0)
    return [value for _, value in new] == pytest.approx([value for _, value in old], rel=1e-9, abs=1e-9 * most)


def assert_folds_agree(trace: Trace, cluster: Cluster, model: Model, asked: Workload) -> None:
    found = measure(trace, cluster=cluster, model=model, workload=asked)
    for rank, board in enumerate(cluster.devices):
        spans = [span for span in trace if span.task.rank == rank]
        memory = old_memory_over_time(spans, model, asked, board)
        assert same(memory_over_time(trace.of_rank(rank), model, asked, board), memory)
        assert found.peak_bytes[rank] == pytest.approx(max((held for _, held in memory), default=0.0), rel=1e-12)
        assert same(power_over_time(trace, cluster, rank), old_power_over_time(trace, cluster, rank))
        joules = old_energy_by_state_j(spans, board.power, trace.makespan_s)
        assert found.energy_by_state_j[rank] == pytest.approx(joules, rel=1e-9, abs=1e-9 * found.energy_j)
        assert found.sent_bytes[rank] == sum(wire_bytes(span.task) for span in spans)
        busy_s = sum(span.seconds for span in spans if span.task.op in COMPUTE)
        assert found.utilisation[rank] == pytest.approx(busy_s / trace.makespan_s, rel=1e-9)
    assert to_perfetto([trace]) == old_to_perfetto([trace])
    times = [json.loads(line) for line in trace.lines()][1:]
    assert times == [{"task": s.task.name, "start_s": s.start_s, "end_s": s.end_s} for s in trace]


@repeatable
@given(cases())
def test_folds_of_pipelines_say_what_they_said(case: Case) -> None:
    assume(case.trace.makespan_s > 0)
    assert_folds_agree(case.trace, case.cluster, case.model, case.workload)


@repeatable
@given(cases())
def test_folds_of_inference_say_what_they_said(case: Case) -> None:
    case = replace(case, workload=replace(case.workload, purpose=Purpose.INFER))
    assume(case.trace.makespan_s > 0)
    assert_folds_agree(case.trace, case.cluster, case.model, case.workload)


@pytest.mark.parametrize("asked", ASKED)
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_folds_of_divided_blocks_say_what_they_said(strategy: str, asked: str) -> None:
    model = GPT2 if asked == "generate" else BERT
    micro_batches = 1 if asked == "generate" else 2
    plan = block_plan(model, strategy, 3, micro_batches=micro_batches, in_flight=micro_batches)
    work, cluster = asked_of(plan, **ASKED[asked]), boards(3, switched(3, bytes_per_s=1e6))
    assert_folds_agree(played(STRATEGIES[strategy](plan, model, work), model, cluster), cluster, model, work)


def test_spans_by_rank_and_spans_one_by_one_have_the_same_columns() -> None:
    trace = played(infer(BERT, "hybrid_model", 2), BERT, boards(2))
    for rank in range(2):
        mine = [span for span in trace if span.task.rank == rank]
        columns, again = trace.of_rank(rank), RankSpans.of(mine)
        assert columns.said(np.arange(len(mine))) == again.said(np.arange(len(mine))) == [s.task.kind for s in mine]
        assert columns.micro_batch.tolist() == again.micro_batch.tolist()
        assert columns.intervals.tolist() == again.intervals.tolist() == [[s.start_s, s.end_s] for s in mine]
    assert len(trace.of_rank(7)) == 0


def test_a_picture_is_compressed_where_its_name_says_so(tmp_path: Path) -> None:
    model, cluster = chain(2), homogeneous(2)
    trace = play(pipeline_plan(model, micro_batches=8), model, cluster, constant_profile(model, cluster))
    save_perfetto(tmp_path / "trace.json", [trace])
    save_perfetto(tmp_path / "trace.json.gz", [trace])
    plain, packed = (tmp_path / "trace.json").read_bytes(), (tmp_path / "trace.json.gz").read_bytes()
    assert gzip.decompress(packed) == plain
    assert len(packed) < len(plain) / 4


def test_traces_of_a_thousand_ranks_and_more_do_not_share_processes() -> None:
    model, cluster = chain(1001), homogeneous(1001)
    trace = play(pipeline_plan(model, micro_batches=1), model, cluster, constant_profile(model, cluster))
    processes = {event["pid"] for event in json.loads(to_perfetto([trace, trace]))["traceEvents"]}
    assert len(processes) == 2 * 1001
