"""Is one of several runs predicted to be faster, or is the difference within what executed plans are apart?"""

from collections.abc import Sequence
from pathlib import Path

from edgesim.intervals import Residuals, WorkKind, kind_of
from experiments.configuration.setup import Setup
from experiments.explain.reading import SIMULATED, players_of, read_side
from experiments.intervals.faster import faster
from experiments.intervals.wins import Standing, rivals


def faster_run(first: Path, second: Path) -> str:
    """Say it of two kept runs in a sentence; nothing where no executed plan says anything of both."""
    if SIMULATED not in players_of(first) & players_of(second):
        return ""
    sides = [read_side(path, player=SIMULATED) for path in (first, second)]
    known = residuals_of_all([side.world.setup for side in sides if side.world is not None])
    if known is None or any(side.world is None for side in sides):
        return ""
    one, other = ((name, side.trace.makespan_s) for name, side in zip("AB", sides, strict=True))
    return f"simulated: {faster(one, other, *known)}"


def standings_of_runs(
    setups: Sequence[Setup], simulated_s: Sequence[float]
) -> tuple[list[Standing], tuple[str, ...]] | None:
    """How each run stands among all of them, and what a reader has to know; None where executed plans do not tell."""
    known = residuals_of_all(setups)
    if known is None:
        return None
    residuals, kind = known
    try:
        return rivals(simulated_s, residuals, kind)
    except ValueError:  # no two plans of one setting were executed
        return None


def residuals_of_all(setups: Sequence[Setup]) -> tuple[Residuals, WorkKind] | None:
    """The most residuals that say something of all runs, which are of one kind; None where there are none."""
    known = [_residuals(setup) for setup in setups]
    kinds = {kind_of(setup.workload) for setup in setups}
    said = [residuals for residuals in known if residuals is not None]
    if len(said) < len(setups) or len(kinds) != 1:
        return None
    kind = kinds.pop()
    return max(said, key=lambda each: len(each.of(kind))), kind


def _residuals(setup: Setup) -> Residuals | None:
    """Those that say how far a run's prediction may be off; None where nothing does."""
    known: Residuals | None = None if setup.scenario.events else setup.validated.residuals
    return known
