"""What does a job look like? Chrome's trace format for ui.perfetto.dev: phases and faults as named spans, tasks below.

A process per player says what the job as a whole is at, when somebody is lost, leaves or comes, and how it goes on; one
per rank has the tasks of what was played. What was repeated alike shows once, with its count.
"""

import gzip
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from edgesim.job.job_trace import JobSpan, JobTrace, Resumption
from edgesim.perfetto import label, task_events
from edgesim.schedule import Stream

_APART = 10_000  # numbers of processes between those of two jobs: more than any has ranks
_ACTIVITIES, _RECOVERIES = 0, 1  # threads of a job's own process


def job_to_perfetto(traces: Iterable[JobTrace]) -> str:
    """Write all jobs."""
    return "".join(_written(traces))


def save_job_perfetto(path: Path, traces: Iterable[JobTrace]) -> None:
    """Write :func:`job_to_perfetto` to a file as it comes; compressed where the file's name ends in ``.gz``."""
    with gzip.open(path, "wt", compresslevel=1) if path.suffix == ".gz" else path.open("w") as file:
        file.writelines(_written(traces))


def _written(traces: Iterable[JobTrace]) -> Iterator[str]:
    yield '{"traceEvents": ['
    for i, event in enumerate(event for number, trace in enumerate(traces) for event in _events(trace, number)):
        yield f", {event}" if i else event
    yield '], "displayTimeUnit": "ms"}'


def _events(trace: JobTrace, number: int) -> Iterator[str]:
    own, lanes = _APART * number, dict[tuple[int, Stream], int]()
    yield label("process_name", own, 0, f"{trace.player} job")
    yield label("thread_name", own, _ACTIVITIES, "what the job is at")
    yield label("thread_name", own, _RECOVERIES, "changes and recoveries")
    for span in trace.spans:
        yield _activity(span, own, trace.batch_samples)
        if span.trace is not None:
            yield from task_events(span.trace, at_s=span.start_s, first_process=own + 1, lanes=lanes)
    for i, resumption in enumerate(trace.resumptions, start=1):
        yield from _recovery(resumption, own, i)


def _activity(span: JobSpan, process: int, batch_samples: int) -> str:
    """A span of many iterations that all take as long is one, with their count."""
    details: dict[str, Any] = {"says": span.says} if span.says else {}
    name = str(span.activity)
    if span.count > 1 or span.trace is not None:
        each_s = span.seconds / span.count
        details |= {
            "first iteration": span.first,
            "iterations": span.count,
            "of these redone": span.redone,
            "seconds of each": each_s,
            "samples per second": batch_samples / each_s if each_s > 0 else 0.0,
        }
        name += f" {span.first}" + (f" to {span.first + span.count - 1}" if span.count > 1 else "")
    return _span(name, process, _ACTIVITIES, span.start_s, span.end_s, details)


def _recovery(resumption: Resumption, process: int, number: int) -> Iterator[str]:
    change = resumption.change
    yield json.dumps(
        {"name": str(change), "ph": "i", "s": "p", "pid": process, "tid": _RECOVERIES, "ts": change.at_s * 1e6}
    )
    details = {
        "change": str(change),
        "noticed at": change.noticed_s,
        "iterations done": resumption.done,
        "goes on from": resumption.version,
        "plan": str(resumption.plan),
        "says": resumption.says,
    }
    name = f"recovery {number}: {change}"
    yield _span(name, process, _RECOVERIES, change.at_s, max(change.at_s, resumption.resumed_s), details)


def _span(name: str, process: int, thread: int, start_s: float, end_s: float, details: dict[str, Any]) -> str:
    times = {"ts": start_s * 1e6, "dur": (end_s - start_s) * 1e6}
    return json.dumps({"name": name, "cat": "job", "ph": "X", "pid": process, "tid": thread, **times, "args": details})
