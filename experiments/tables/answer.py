"""What came out of a sweep? Its best runs, what failed, the file of its table, and the command that plots it."""

from rich.console import Console

from experiments.collect import NEEDED
from experiments.commands import as_typed
from experiments.configuration.provenance import command
from experiments.sweeps.sweep import SweepEnd
from experiments.tables.ranking import ranking, ranking_table
from experiments.tables.sources import runs_by_value

_BEST = 5  # lines


def show_answer(end: SweepEnd) -> None:
    """Print it; nothing of a sweep whose runs come later, as those of a Slurm array do."""
    rows = end.rows(NEEDED)
    if rows.empty:
        return
    console, any_done = Console(), False
    for value, table in runs_by_value(rows).items():
        best = ranking(table, value=value, top=_BEST)
        if best.lines:
            any_done = True
            console.print(ranking_table(best))
    folder = str(end.table.folder)
    print(f"table: {end.table.parquet}")
    print(as_typed(f"more:  {command('experiments.tables', [folder, '--best', '20'])}"))
    if any_done:
        print(as_typed(f"plot:  {command('experiments.figures', [folder])}"))
