"""What did a kept run take? Its joules, from the power logs and the traces in its folder: the same bits as then."""

import json
from pathlib import Path

from edgesim.errors import reading, text_of
from edgesim.metered import MeteredRun, TraceOnClock, log_from_text, metered_run
from edgesim.plan import Plan
from edgesim.schedule import Schedule
from edgesim.trace import Trace

_WRITER = "a run with a meter (experiments.run execute=true meter=...)"


def kept_run(folder: Path) -> MeteredRun:
    """Read what a run's folder says of its power. Raises ValueError for a folder without power logs or traces."""
    logs = [log_from_text(text_of(path, "power log"), source=str(path)) for path in sorted(folder.glob("power_*.csv"))]
    if not logs:
        raise ValueError(f"{folder} has no power_*.csv: no meter read this run (execute it with meter=...: conf/meter)")
    with reading(str(folder), "metered run", written_by=_WRITER):
        schedule = Schedule.from_text((folder / "schedule.txt").read_text(), source=str(folder / "schedule.txt"))
        metrics = json.loads((folder / "metrics.json").read_text())
        return metered_run(
            logs,
            _played(folder, schedule),
            hosts=len(metrics["iterations"][0]["utilisation"]),
            batch_samples=Plan.from_json((folder / "plan.json").read_text()).batch_samples,
        )


def _played(folder: Path, schedule: Schedule) -> list[TraceOnClock]:
    """The iterations that count, where they were on the machine's clock. Raises ValueError where nobody knows."""
    path = folder / "traces.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    if any(row.get("began_s") is None for row in rows):
        raise ValueError(f"{path} does not say when iterations began: it was written before runs had meters")
    played = [
        TraceOnClock(
            trace=Trace(schedule=schedule, start_s=row["start_s"], end_s=row["end_s"], player="measured"),
            began_s=row["began_s"],
        )
        for row in rows
    ]
    return sorted(played, key=lambda each: each.began_s)
