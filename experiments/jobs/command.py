"""What does ``edgesim run +job=...`` do? Plans and plays a whole job, keeps it, and says what came out."""

from contextlib import ExitStack
from functools import cached_property
from pathlib import Path

from omegaconf import DictConfig
from rich.console import Console
from rich.progress import TaskID

from edgesim.job import Activity, JobSpan
from experiments.commands import as_typed
from experiments.configuration.setup import Prepared
from experiments.execution.listener import Listener
from experiments.execution.play import uncalibrated
from experiments.jobs.asked import JobSpec
from experiments.jobs.folder import save_job
from experiments.jobs.playing import play_job
from experiments.jobs.table import job_table
from experiments.metering.job_energy import job_energy_table
from experiments.progress import ProgressReport


def run_job_command(
    cfg: DictConfig, spec: JobSpec, prepared: Prepared, target: Path, console: Console, listener: Listener
) -> float:
    """Play the job, write its folder, and print its figures; seconds of the job, measured where it was."""
    with Heard(console, spec.iterations_of(prepared.setup.workload), prepared.plan.batch_samples) as heard:
        played = play_job(cfg, spec, prepared, listener, heard)
    save_job(played, target)
    for trace in played.traces:
        for resumption in trace.resumptions:
            listener.tell(f"{trace.player}: {resumption.change}: {resumption.says}")
    warning = as_typed(uncalibrated(played.prepared.setup)) if cfg.execute else ""
    console.print(job_table(played.metrics, warning, played.traces[-1].disturbed))
    if played.energies:
        console.print(job_energy_table(played.energies))
    print(f"Everything is in {target}; see timeline.png, and trace.perfetto.json at https://ui.perfetto.dev")
    return played.metrics[-1].end_s


class Heard:
    """Hears of a real job's spans, and says how far it is: iterations, their rate, and what it is at beside.

    Nothing is said before the first one ends: a job that is simulated has none.
    """

    def __init__(self, console: Console, iterations: int, batch_samples: int) -> None:
        self._console, self._iterations, self._batch_samples = console, iterations, batch_samples
        self._leaving = ExitStack()

    def __enter__(self) -> "Heard":
        return self

    def __exit__(self, *error: object) -> None:
        self._leaving.close()

    @cached_property
    def _told(self) -> tuple[ProgressReport, TaskID]:
        progress = self._leaving.enter_context(ProgressReport(console=self._console))
        return progress, progress.add_task("job", total=self._iterations)

    def __call__(self, span: JobSpan) -> None:
        """A span has ended; redone iterations are not done twice."""
        progress, task = self._told
        if span.activity is Activity.TRAINING:
            rate = self._batch_samples * span.count / span.seconds if span.seconds > 0 else 0.0
            progress.update(task, advance=span.count - span.redone, said=f"{rate:.3g} samples/s")
        elif span.activity is not Activity.CHECKPOINT:
            progress.update(task, said=str(span.activity))
