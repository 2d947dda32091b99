"""What does a script get of a run? Its plan, schedule, traces and metrics; and figures, tables and files of them."""

from dataclasses import dataclass, fields
from html import escape
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

import pandas as pd
from pandas import DataFrame

from edgesim.metrics import Metrics
from edgesim.trace import Trace
from edgesim.units import show
from experiments.analysis.names import reader_name
from experiments.analysis.series import series
from experiments.api.comparison import Comparison, compare, tidy_rows
from experiments.api.explained import Explained, explained
from experiments.api.mistakes import in_sentences
from experiments.execution.folders import save_run
from experiments.execution.play import Played
from real_runtime.other_load.foreign_load import told

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True, kw_only=True, repr=False, eq=False)
class Result(Played):
    """All that came of one run, which :func:`simulate` or :func:`execute` made.

    Attributes:
        config: The whole configuration, as plain values.
        prepared: What was set up before anything was played.
        setup: The nouns that were played: cluster, model, workload, profile, scenario.
        traces: The simulated iteration first, then the measured ones that count.
        metrics: What each trace meant: seconds, joules, bytes.
        losses: Of the measured iterations.
        disturbed: Of each of these, the share of this machine's processors that other programs took meanwhile, 0 where
            it is too little to count; empty where nothing was measured, or nothing is known of other programs.
        words: The overrides that a command line would need for the same run.
    """

    @classmethod
    def of(cls, played: Played) -> "Result":
        """The same run, with views."""
        return cls(**{each.name: getattr(played, each.name) for each in fields(played)})

    @property
    def trace(self) -> Trace:
        """What each rank did, and when: simulated. Measured iterations are in ``traces``."""
        return self.traces[0]

    @property
    def simulated(self) -> Metrics:
        """What the simulated iteration cost."""
        return self.metrics[0]

    @property
    def measured(self) -> tuple[Metrics, ...]:
        """What each measured iteration cost; none of a run that was not executed."""
        return self.metrics[1:]

    @in_sentences
    def gantt(self, path: str | Path | None = None) -> "Figure":
        """Draw what each rank did, and when: simulated above measured.

        Args:
            path: Where to write it as well: a .png, .pdf or .svg.

        Returns:
            The figure.

        Raises:
            ValueError: If the path ends in anything else.
        """
        from experiments.figures.one_run.gantt import gantt_figure
        from experiments.figures.style import written

        ranks = [f"{rank} {device.name}" for rank, device in enumerate(self.cluster.devices)]
        where = f"{reader_name(self.model.name, 'model')} on {reader_name(self.cluster.name, 'cluster')}"
        title = f"{reader_name(self.name)}: {where}"
        return written(gantt_figure([(title, self.last_traces)], ranks=ranks), path)

    @in_sentences
    def timeline(self, path: str | Path | None = None) -> "Figure":
        """Draw how much memory and power each device took, second by second.

        Args:
            path: Where to write it as well: a .png, .pdf or .svg.

        Returns:
            The figure.

        Raises:
            ValueError: If the path ends in anything else.
        """
        from experiments.figures import memory_and_power
        from experiments.figures.panels import figure_of
        from experiments.figures.style import written

        return written(figure_of(memory_and_power, self.series()), path)

    @in_sentences
    def series(self) -> DataFrame:
        """Tell how much memory and power each device took, second by second.

        Returns:
            Rows of player, device, time_s, memory_bytes and power_w; both hold until the device's next row.
        """
        return series(self.last_traces, self.setup)

    @in_sentences
    def energy(self) -> DataFrame:
        """Tell where the joules of one iteration went.

        Returns:
            A row per device of each player, and a column per kind (idle, waiting, compute, transmit, receive) beside
            their total; of several measured iterations the last. Joules are computed from the trace's times and from
            the watts of each device's power model.
        """
        last = {metrics.player: metrics for metrics in self.metrics}
        rows = [
            {"player": player, "device": f"{rank} {device.name}", **states, "total": sum(states.values())}
            for player, metrics in last.items()
            for rank, (device, states) in enumerate(zip(self.cluster.devices, metrics.energy_by_state_j, strict=True))
        ]
        return pd.DataFrame(rows).set_index(["player", "device"])

    @in_sentences
    def to_pandas(self) -> DataFrame:
        """Tell which run it was, and what came out, as a sweep's tidy table does.

        Returns:
            A row per player, in SI units.
        """
        return tidy_rows([self])

    @in_sentences
    def compare(self, *others: Played) -> Comparison:
        """Put other runs beside this one.

        Args:
            *others: Runs of the same or of other models and clusters.

        Returns:
            The comparison, this run first.
        """
        return compare(self, *others)

    @in_sentences
    def explain(self, other: Played | None = None) -> Explained:
        """Say what bounds this run, or where the difference to another comes from.

        Args:
            other: The run that came before, or that this one is compared with; left out, this run is explained alone.

        Returns:
            A verdict with its tables, which shows itself; what it says is in its attributes, in seconds that add up.
        """
        return explained(self, other)

    @in_sentences
    def save(self, folder: str | Path) -> Path:
        """Write the run as the command ``run`` does: plan, schedule, traces, series, metrics, configuration.

        Args:
            folder: Where; what was there is replaced once all is written.

        Returns:
            The folder.

        Raises:
            ValueError: If it cannot be written.
        """
        target = Path(folder)
        save_run(self, target)
        return target

    def __repr__(self) -> str:
        head = f"{self.name}: {self.model.name} on {self.cluster.name}"
        return "\n".join([head, *map(_line, self._by_player()), *self._disturbance()])

    def _repr_html_(self) -> str:
        lines = "".join(f"<br>{escape(_line(part))}" for part in self._by_player())
        disturbance = "".join(f"<br>{escape(line)}" for line in self._disturbance())
        head = escape(f"{reader_name(self.name)}: {self.model}")
        return f"<b>{head}</b><br>{escape(str(self.cluster))}<br>{escape(f'plan: {self.plan}')}{lines}{disturbance}"

    def _disturbance(self) -> list[str]:
        said = (
            told(self.disturbed, "iterations"),
            self.uncalibrated.replace("python -m experiments.calibrate", "es.calibrate"),
        )
        return [f"  {each}" for each in said if each]

    def _by_player(self) -> list[tuple[Metrics, ...]]:
        return [part for part in (self.metrics[:1], self.metrics[1:]) if part]


def _line(iterations: tuple[Metrics, ...]) -> str:
    """Of several iterations the median."""
    first = iterations[0]
    seconds, joules = (median(getattr(m, name) for m in iterations) for name in ("makespan_s", "energy_j"))
    rate = median(m.samples_per_s for m in iterations)
    return (
        f"  {first.player}: {show(seconds, 's')} per iteration, {rate:.3g} samples/s, {show(joules, 'J')} computed, "
        f"{show(max(first.peak_bytes), 'B')} at most on a device"
    )
