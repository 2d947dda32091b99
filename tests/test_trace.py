"""A trace is spans on one clock, and survives its text."""

import json
from pathlib import Path

import pytest
from block_builders import BERT, boards, infer, played
from builders import chain, constant_profile, homogeneous, hybrid_plan, pipeline_plan, play, switched

from edgesim.perfetto import save_perfetto, to_perfetto
from edgesim.schedule import COMPUTE_STREAM, Channel, Stream, StreamKind
from edgesim.trace import Reading, Trace


def small(*, offset_s: float = 0.0, readings: tuple[Reading, ...] = ()) -> Trace:
    """1F1B of two stages and two micro-batches, shifted on the clock."""
    model, cluster = chain(2), homogeneous(2, network=switched(2, latency_s=0.002))
    trace = play(pipeline_plan(model, micro_batches=2), model, cluster, constant_profile(model, cluster))
    return Trace(
        schedule=trace.schedule,
        start_s=[s + offset_s for s in trace.start_s],
        end_s=[s + offset_s for s in trace.end_s],
        player="measured",
        readings=readings,
    )


def test_the_makespan_does_not_depend_on_where_the_clock_starts() -> None:
    assert small(offset_s=1000).makespan_s == pytest.approx(small().makespan_s) == pytest.approx(0.094)


def test_tasks_of_a_stream_are_listed_in_the_order_of_their_start() -> None:
    order = small().order()
    assert order[0, COMPUTE_STREAM] == ["0F0@0", "0F1@0", "0B0@0", "0B1@0", "0UPDATE@0"]
    assert order[1, COMPUTE_STREAM] == ["1F0@1", "1B0@1", "1F1@1", "1B1@1", "1UPDATE@1"]
    assert order[0, Stream(StreamKind.RECEIVE, 1, Channel.BACKWARD)] == ["0RECV_gradient0@0<1", "0RECV_gradient1@0<1"]


def test_a_trace_survives_its_lines() -> None:
    trace = small(readings=(Reading(rank=1, what="power_w", at_s=0.01, value=3.5),))
    again = Trace.from_lines(trace.to_lines(), trace.schedule)
    assert again.to_lines() == trace.to_lines()
    assert list(again) == list(trace)
    assert (again.player, again.readings) == ("measured", trace.readings)


def test_a_trace_of_another_schedule_is_refused() -> None:
    model, cluster = chain(2), homogeneous(3)
    other = play(hybrid_plan(model, [[1, 1], [2]], micro_batches=2), model, cluster, constant_profile(model, cluster))
    with pytest.raises(ValueError, match=r"trace is of schedule \w+, not of"):
        Trace.from_lines(small().to_lines(), other.schedule)


def test_a_trace_with_a_task_lost_or_swapped_is_refused() -> None:
    trace = small()
    head, first, second, *rest = trace.to_lines().splitlines()
    for lines in ([head, second, *rest], [head, second, first, *rest]):
        with pytest.raises(ValueError, match="not those of its schedule, in its order"):
            Trace.from_lines("\n".join(lines), trace.schedule)


def test_a_trace_has_a_start_and_an_end_for_every_task() -> None:
    with pytest.raises(ValueError, match="a schedule of 18 tasks, but 17 starts and 18 ends"):
        Trace(schedule=small().schedule, start_s=small().start_s[1:], end_s=small().end_s, player="measured")


def test_a_trace_prints_its_player_size_and_length() -> None:
    assert str(small()) == "measured trace of 18 tasks, 0.094 s"


def test_perfetto_shows_every_task_of_every_trace_in_its_own_lane_from_zero(tmp_path: Path) -> None:
    readings = (Reading(rank=0, what="power_w", at_s=5.001, value=3.5),)
    traces = [small(), small(offset_s=5, readings=readings), small(offset_s=7)]
    save_perfetto(tmp_path / "both.json", traces)
    events = json.loads((tmp_path / "both.json").read_text())["traceEvents"]
    spans = [event for event in events if event["ph"] == "X"]
    assert len(spans) == 3 * len(traces[0])
    assert {event["pid"] for event in spans} == {0, 1, 1000, 1001, 2000, 2001}
    first = [event for event in spans if event["name"] == "1F0@1"]
    assert [event["ts"] for event in first] == pytest.approx([12_000] * 3)
    assert [event["dur"] for event in first] == pytest.approx([10_000] * 3)
    labels = {(e["pid"], e["tid"]): e["args"]["name"] for e in events if e["name"] == "thread_name"}
    assert all((event["pid"], event["tid"]) in labels for event in spans)
    counters = [event for event in events if event["ph"] == "C"]
    assert [(event["pid"], event["args"]) for event in counters] == [(1000, {"power_w": 3.5})]
    assert counters[0]["ts"] == pytest.approx(1000)


def test_the_same_traces_give_the_same_bytes() -> None:
    assert to_perfetto([small()]) == to_perfetto([small()])


def test_perfetto_tells_which_tokens_and_units_a_task_of_a_block_computes() -> None:
    trace = played(infer(BERT, "hybrid_model", 2, tokens=(17, 7), heads=(8, 4)), BERT, boards(2))
    details = {event["name"]: event.get("args") for event in json.loads(to_perfetto([trace]))["traceEvents"]}
    product = details["0F0.encoder.0/attention.in#0@1"]
    assert (product["tokens"], product["units"]) == ([0, 17], [8, 12])
    assert details["0F0.embedding/embedding@1"] == {
        "layers": [0, 1],
        "samples": [0, 2],
        "bytes": 0,
        "tokens": [17, 24],
    }
