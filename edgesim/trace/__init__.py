"""What happened, and when? Spans of tasks and readings of meters on one clock, from either player."""

from edgesim.trace.spans import RankSpans, Span
from edgesim.trace.times import Floats, Times
from edgesim.trace.trace import Reading, Trace

__all__ = ["Floats", "RankSpans", "Reading", "Span", "Times", "Trace"]
