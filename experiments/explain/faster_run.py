"""Is one of two kept runs predicted to be faster, or is the difference within what executed plans are apart?"""

from pathlib import Path

from edgesim.intervals import Residuals, kind_of
from experiments.explain.reading import SIMULATED, players_of, read_side
from experiments.explain.worlds import Side
from experiments.intervals.faster import faster


def faster_run(first: Path, second: Path) -> str:
    """Say it in a sentence; nothing of runs that no executed plan says anything of, or of two kinds of workload."""
    if SIMULATED not in players_of(first) & players_of(second):
        return ""
    sides = [read_side(path, player=SIMULATED) for path in (first, second)]
    known = [residuals for side in sides if (residuals := _residuals(side)) is not None]
    kinds = {kind_of(side.world.setup.workload) for side in sides if side.world is not None}
    if len(known) < len(sides) or len(kinds) > 1:
        return ""
    kind = kinds.pop()
    residuals = max(known, key=lambda each: len(each.of(kind)))
    one, other = ((name, side.trace.makespan_s) for name, side in zip("AB", sides, strict=True))
    return f"simulated: {faster(one, other, residuals, kind)}"


def _residuals(side: Side) -> Residuals | None:
    """Those that say how far a run's prediction may be off; None where nothing does."""
    if side.world is None or side.world.setup.scenario.events:
        return None
    known: Residuals | None = side.world.setup.validated.residuals
    return known
