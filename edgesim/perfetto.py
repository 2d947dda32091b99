"""What does a trace look like? Chrome's trace format for ui.perfetto.dev, written event by event."""

import gzip
import json
from collections.abc import Iterable, Iterator
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np

from edgesim.schedule import Kind, Stream
from edgesim.trace import Trace

_APART = 1000  # numbers of processes between those of two traces; more where there are more ranks


def to_perfetto(traces: Iterable[Trace]) -> str:
    """Write all traces: a process per player and rank, a thread per stream."""
    return "".join(_written(traces))


def save_perfetto(path: Path, traces: Iterable[Trace]) -> None:
    """Write :func:`to_perfetto` to a file as it comes; compressed where the file's name ends in ``.gz``."""
    if path.suffix == ".gz":
        with gzip.open(path, "wt", compresslevel=1) as file:
            file.writelines(_written(traces))
    else:
        with path.open("w") as file:
            file.writelines(_written(traces))


def _written(traces: Iterable[Trace]) -> Iterator[str]:
    yield '{"traceEvents": ['
    for i, event in enumerate(_events(traces)):
        yield f", {event}" if i else event
    yield '], "displayTimeUnit": "ms"}'


Lanes = dict[tuple[int, Stream], int]
"""[rank, stream] the number of its thread, as they were met."""


def _events(traces: Iterable[Trace]) -> Iterator[str]:
    traces = list(traces)
    apart = max((_APART * ceil(trace.schedule.ranks / _APART) for trace in traces), default=_APART)
    for number, trace in enumerate(traces):
        zero_s, offset = trace.first_s, apart * number
        yield from task_events(trace, at_s=0.0, first_process=offset, lanes={})
        for r in trace.readings:
            at_us = (r.at_s - zero_s) * 1e6
            event = {"name": r.what, "ph": "C", "pid": offset + r.rank, "ts": at_us, "args": {r.what: r.value}}
            yield json.dumps(event)


def task_events(trace: Trace, *, at_s: float, first_process: int, lanes: Lanes) -> Iterator[str]:
    """Yield every task of a trace that begins at a second, and a label before the first task of every new stream.

    Rank r is the process number ``first_process`` + r; ``lanes`` are known from traces before, and added to. What a
    kind of task says is written once.
    """
    columns, shift_s, offset = trace.schedule.columns, at_s - trace.first_s, first_process
    start_s, end_s = np.asarray(trace.start_s, dtype=np.float64), np.asarray(trace.end_s, dtype=np.float64)
    times = zip(((start_s + shift_s) * 1e6).tolist(), ((end_s - start_s) * 1e6).tolist(), strict=True)
    written: dict[int, tuple[str, str]] = {}
    for name, k, (at_us, lasts_us) in zip(columns.names(), columns.kind.tolist(), times, strict=True):
        if k not in written:
            kind = columns.kinds[k]
            lane = kind.rank, kind.stream
            if lane not in lanes:
                lanes[lane] = len(lanes)
                yield label("process_name", offset + kind.rank, 0, f"{trace.player} rank {kind.rank}")
                yield label("thread_name", offset + kind.rank, lanes[lane], str(kind.stream))
            where = f'"cat": "{kind.op}", "ph": "X", "pid": {offset + kind.rank}, "tid": {lanes[lane]}'
            written[k] = where, json.dumps(_details(kind))
        where, details = written[k]
        yield f'{{"name": {json.dumps(name)}, {where}, "ts": {at_us!r}, "dur": {lasts_us!r}, "args": {details}}}'


def _details(kind: Kind) -> dict[str, Any]:
    """What a click on a task shows; tokens and units where it is of some of them."""
    ranges = {"tokens": kind.tokens, "units": kind.units}
    divided = {name: some for name, some in ranges.items() if some[1]}
    return {"layers": kind.layers, "samples": kind.samples, "bytes": kind.nbytes, **divided}


def label(what: str, pid: int, tid: int, name: str) -> str:
    """Name a process or a thread."""
    return json.dumps({"name": what, "ph": "M", "pid": pid, "tid": tid, "args": {"name": name}})
