"""What did a run cost? A row per player; what is computed, and from whose times, is said."""

from collections.abc import Iterator, Sequence
from statistics import median

from rich.table import Table

from edgesim.metrics import Metrics
from edgesim.units import show
from experiments.tables.marks import footnotes, marked
from real_runtime.other_load.foreign_load import told


def metrics_table(
    metrics: Sequence[Metrics], disturbed: Sequence[float] = (), uncalibrated: str = "", interval: str = ""
) -> Table:
    """Simulated and measured, one below the other; of several iterations the median. Marked where it was disturbed.

    ``uncalibrated`` says what of the simulation nobody measured, ``interval`` how far it may be off.
    """
    warning = [f"warning: {uncalibrated}"] if uncalibrated else []
    predicted = [f"predicted iteration: {interval}"] if interval else []
    caption = "\n".join([*_beside(metrics), *footnotes(told(disturbed, "iterations")), *predicted, *warning])
    table = Table(title="one iteration", caption=caption, title_justify="left", caption_justify="left")
    table.add_column("player")
    for head in ("iteration", "samples/s", "bubble", "sent", "computed memory", "computed energy"):
        table.add_column(head, justify="right")
    for place, player in enumerate(dict.fromkeys(m.player for m in metrics)):
        mine = [m for m in metrics if m.player == player]
        # Memory follows from the plan, whoever plays it: shown once.
        memory = show(max(mine[-1].peak_bytes), "B") if place == 0 else ""
        table.add_row(
            player,
            show(median(m.makespan_s for m in mine), "s") + marked(player == "measured" and any(disturbed)),
            f"{median(m.samples_per_s for m in mine):.3g}",
            f"{median(m.bubble for m in mine):.0%}",
            show(sum(mine[-1].sent_bytes), "B"),
            memory,
            show(median(m.energy_j for m in mine), "J"),
        )
    return table


def _beside(metrics: Sequence[Metrics]) -> Iterator[str]:
    """Energy per sample, where the watts come from, and what only a grid or a battery tells (by the first player)."""
    first = metrics[0]
    per_sample_j = {
        player: median(m.energy_per_sample_j for m in metrics if m.player == player)
        for player in dict.fromkeys(m.player for m in metrics)
    }
    yield "energy per sample: " + ", ".join(
        f"{show(joules, 'J')} from {player} times" for player, joules in per_sample_j.items()
    )
    yield f"energy: computed from each row's times and watts that are {first.energy_source}"
    if first.carbon_g is not None:
        yield f"carbon: {show(first.carbon_g, 'g')} per iteration ({first.carbon_source})"
    for rank, samples in enumerate(first.samples_per_charge):
        if samples is not None:
            yield f"battery of rank {rank}: {samples:.3g} samples per charge"
