"""What do the joules until a model is trained emit, on the mains of every grid that is known?"""

from collections.abc import Iterable, Iterator
from typing import Any

from edgesim.cluster import Grid
from experiments.configuration.command_line import composed
from experiments.configuration.places import CONF
from experiments.configuration.setup import read_setup
from experiments.energy_study.cells import Row, number, ran

_WHERE = ("model", "cluster", "rate", "method", "history")


def grids() -> dict[str, Grid]:
    """Every grid of the configuration, by name."""
    found = {}
    for name in sorted(path.stem for path in (CONF / "grid").glob("*.yaml")):
        grid = read_setup(composed(f"grid={name}")).grid
        assert grid is not None, "it was asked for"
        found[name] = grid
    return found


def by_grid(training: Iterable[Row]) -> Iterator[dict[str, Any]]:
    """A row per grid and job that ended well: grams, proportional to the grid's carbon intensity."""
    jobs = [row for row in training if ran(row)]
    for name, grid in grids().items():
        for row in jobs:
            yield {each: row[each] for each in _WHERE} | {
                "grid": name,
                "g_per_kwh": grid.g_per_kwh,
                "energy_j": row["energy_j"],
                "carbon_g": grid.grams(number(row, "energy_j")),
                "source": grid.source,
            }
