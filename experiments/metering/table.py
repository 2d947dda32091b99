"""What did a run take by its meters? A row per meter, then where its joules went; said is of which kind they are."""

from collections.abc import Iterator

from rich.markup import escape
from rich.table import Table

from edgesim.metered import EnergyByState, MeteredRun
from edgesim.units import show


def metered_table(run: MeteredRun) -> Table:
    """Every meter, what it covers, how much of the run it saw, and its joules."""
    table = _table(f"{run.evidence} energy of {run.samples} samples", _below(run))
    for name in ("ranks", "covers", "seen"):
        table.add_column(name)
    for name in (f"{run.evidence} energy", "per sample"):
        table.add_column(name, justify="right")
    for each in run.energies:
        joules = each.whole.energy_j
        table.add_row(
            _ranks(each.log.ranks),
            str(each.log.facts.covers),
            f"{each.whole.coverage:.1%}",
            "refused" if joules is None else show(joules, "J"),
            "" if joules is None else show(joules / run.samples, "J"),
        )
    return table


def states_table(run: MeteredRun) -> Table | None:
    """Where each meter's joules went, and what no state explains; None where no meter can tell."""
    told = [
        (each.log.ranks, found) for each, found in zip(run.energies, run.attributions, strict=True) if found is not None
    ]
    if not told:
        return None
    table = _table(f"{run.evidence} energy by state", (_unsure(*each) for each in told))
    table.add_column("state")
    for ranks, _ in told:
        table.add_column(f"rank {_ranks(ranks)}", justify="right")
    states = dict.fromkeys(row.state for _, found in told for row in found.rows if row.state != "residual")
    for state in (*states, "residual"):
        cells = [next((row.energy_j for row in found.rows if row.state == state), None) for _, found in told]
        table.add_row(state, *("" if joules is None else _signed(joules) for joules in cells))
    return table


def _table(title: str, below: Iterator[str]) -> Table:
    caption = escape("\n".join(filter(None, below))) or None
    return Table(title=title, caption=caption, title_justify="left", caption_justify="left")


def _below(run: MeteredRun) -> Iterator[str]:
    """The total, what was read, and what is missing."""
    if run.energy_j is not None and run.energy_per_sample_j is not None:
        yield (
            f"all hosts: {show(run.energy_j, 'J')}, {show(run.energy_per_sample_j, 'J')} per sample "
            f"({run.evidence}; covers the {run.covers})"
        )
    else:
        yield run.refused
    for energy, untold in zip(run.energies, run.untold, strict=True):
        yield f"rank {_ranks(energy.log.ranks)}: {energy.log.facts}"
        if untold and untold != energy.whole.refused:
            yield f"  not told by state: {untold}"
        yield from (f"  {note}" for note in energy.log.notes)


def _unsure(ranks: tuple[int, ...], found: EnergyByState) -> str:
    """What is to be known of a column."""
    untold = f"not told apart from others: {', '.join(found.untold)}" if found.untold else ""
    shifted = f"readings taken {found.shift_s * 1e3:.3g} ms later" if found.shift_s else ""
    said = "; ".join(filter(None, (untold, shifted)))
    return f"rank {_ranks(ranks)}: {said}" if said else ""


def _signed(joules: float) -> str:
    return f"-{show(-joules, 'J')}" if joules < 0 else show(joules, "J")


def _ranks(ranks: tuple[int, ...]) -> str:
    return ", ".join(map(str, ranks))
