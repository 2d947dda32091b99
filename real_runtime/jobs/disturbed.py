"""Which iterations of a job did other load disturb, and on which host? Asked when it is over: nobody waits meanwhile.

Hosts of their own are watched. Beside emulated ones a job is not: their ranks come and go, and a watch that began
before would take new ones for other programs.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace

from edgesim.job import Activity, JobSpan
from real_runtime.other_load.foreign_load import Watch
from real_runtime.testbeds.testbed import Testbed


def job_watched(testbed: Testbed) -> AbstractContextManager[Watch | None]:
    """Watch all hosts over SSH until it is left; None beside emulated ones."""
    return testbed.hosts.watched(range(len(testbed.cluster.devices))) or nullcontext()


def judged(testbed: Testbed, watch: Watch | None, spans: tuple[JobSpan, ...], began_s: float) -> tuple[JobSpan, ...]:
    """A job's spans, each of training with how far it was disturbed; ``began_s`` is second 0 on our monotonic clock."""
    if watch is None:
        return spans
    slow = testbed.spec.slow_motion
    return tuple(_judged(span, watch, lambda s: began_s + s * slow, testbed) for span in spans)


def _judged(span: JobSpan, watch: Watch, here_s: Callable[[float], float], testbed: Testbed) -> JobSpan:
    if span.activity is not Activity.TRAINING or not span.seconds > 0:
        return span
    return replace(span, disturbed=testbed.disturbed(watch, here_s(span.start_s), here_s(span.end_s)))
