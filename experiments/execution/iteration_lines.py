"""What is written of a measured iteration? A line of numbers, and a line with the times of all its tasks."""

import json

from real_runtime.execution import Iteration, host_of

ITERATIONS, TRACES = "iterations.jsonl", "traces.jsonl"


def line_of(iteration: Iteration) -> str:
    """Its number (0 warms up), loss and seconds, what other programs took meanwhile, and whether it is a repeat."""
    return _line(
        {
            "iteration": iteration.number,
            "loss": iteration.loss,
            "makespan_s": iteration.trace.makespan_s,
            "disturbed": iteration.disturbed,
            **({"disturbed_on": host} if (host := host_of(iteration.disturbed)) else {}),
            "again": iteration.again,
        }
    )


def trace_line_of(iteration: Iteration) -> str:
    """When its tasks start and end, in the order of the schedule; ``began_s``: its second 0 on the machine's clock."""
    trace = iteration.trace
    times = {"start_s": list(map(float, trace.start_s)), "end_s": list(map(float, trace.end_s))}
    head = {"iteration": iteration.number, "schedule": trace.schedule.hash, "began_s": trace.began_s}
    return _line(head | times)


def _line(values: dict[str, object]) -> str:
    return json.dumps(values, allow_nan=False) + "\n"
