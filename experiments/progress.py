"""How far is a long run? A bar in a terminal; a plain line now and then where the output is a file, as on Slurm."""

from time import monotonic
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    Task,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

_OFTEN_S, _SELDOM_S = 10.0, 60.0  # between two lines: of a short run, and of a long one
_SHARE = 0.05  # of the time that a run took so far, in between


class ProgressReport(Progress):
    """Tasks of a long run; a task's field ``said`` stands beside its counts.

    ``interval_s`` is the least time between two lines; None: it grows with the run, from 10 s to a minute.
    """

    def __init__(self, *, console: Console | None = None, interval_s: float | None = None) -> None:
        console = console or Console()
        super().__init__(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[said]}"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=console,
            disable=not console.is_terminal,
        )
        self._interval_s, self._began_s, self._told_s = interval_s, monotonic(), float("-inf")
        self._last = ""

    def add_task(self, description: str, *arguments: Any, said: str = "", **fields: Any) -> TaskID:
        """A new task; its first line says what begins."""
        task = super().add_task(description, *arguments, said=said, **fields)
        self._tell(task, at_once=True)
        return task

    def update(self, task_id: TaskID, **changed: Any) -> None:
        """What has changed; a line if it is time for one, or nothing is left."""
        super().update(task_id, **changed)
        self._tell(task_id)

    def advance(self, task_id: TaskID, advance: float = 1) -> None:
        """So much more is done."""
        super().advance(task_id, advance)
        self._tell(task_id)

    def _tell(self, task_id: TaskID, *, at_once: bool = False) -> None:
        if not self.disable:
            return
        task, now_s = self._tasks[task_id], monotonic()
        interval_s = self._interval_s
        if interval_s is None:
            interval_s = min(max(_OFTEN_S, _SHARE * (now_s - self._began_s)), _SELDOM_S)
        if at_once or task.completed == task.total or now_s - self._told_s >= interval_s:
            line = _line(task, now_s - self._began_s)
            if line != self._last:
                self._told_s, self._last = now_s, line
                self.console.print(line, soft_wrap=True, markup=False, highlight=False)


def _line(task: Task, elapsed_s: float) -> str:
    counts = "" if task.total is None else f": {task.completed:g} of {task.total:g}"
    rest = ""
    if task.total is not None and 0 < task.completed < task.total and elapsed_s > 0:
        rest = f"about {_duration((task.total - task.completed) / task.completed * elapsed_s)} left"
    said = ", ".join(text for text in (str(task.fields["said"]), f"{_duration(elapsed_s)} so far", rest) if text)
    return f"{task.description}{counts} ({said})"


def _duration(seconds: float) -> str:
    """For people.

    >>> _duration(4), _duration(100), _duration(8000)
    ('4 s', '2 min', '2.2 h')
    """
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
