"""How does a sweep run on a Slurm cluster? An array job through submitit; nobody waits for it.

The array's jobs write their rows into the table's folder, which all nodes must see. The same command again, after they
ended, finds what is missing: with launcher=on_cores it makes the rest here, with launcher=on_slurm it submits the rest.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import repeat
from pathlib import Path
from shlex import quote

from submitit import SlurmExecutor

from edgesim.errors import RunError
from experiments.configuration.places import CODE
from experiments.sweeps.elsewhere import run_elsewhere
from experiments.sweeps.workers import Batch, Outcome, SweepSpec

# Python would look for our packages first where the command was typed, in which there may be folders of such names.
_OURS_FIRST = ["export PYTHONSAFEPATH=1"]
if not CODE.name.endswith("-packages"):
    _OURS_FIRST.append(f"export PYTHONPATH={quote(str(CODE))}${{PYTHONPATH:+:$PYTHONPATH}}")


@dataclass(frozen=True, kw_only=True)
class OnSlurm:
    """An array of batches, ``parallel`` of them at a time, each on ``cpus`` cores for at most ``minutes``."""

    minutes: int = 60
    cpus: int = 1
    memory: str = "4GB"
    parallel: int = 64
    partition: str | None = None
    account: str | None = None
    shared_files: bool = True

    def launch(self, spec: SweepSpec, batches: Sequence[Batch]) -> Iterator[Sequence[Outcome]]:
        """Submit, say as what, and end. Raises RunError where there is no Slurm."""
        if SlurmExecutor.affinity() < 0:
            raise RunError("no Slurm here: the command srun is missing (use launcher=on_cores)")
        executor = SlurmExecutor(folder=Path(spec.folder) / "slurm")
        more = {"partition": self.partition, "account": self.account}
        executor.update_parameters(
            job_name=f"edgesim-{spec.study}",
            time=self.minutes,
            cpus_per_task=self.cpus,
            mem=self.memory,
            array_parallelism=self.parallel,
            setup=_OURS_FIRST,
            **{name: value for name, value in more.items() if value is not None},
        )
        jobs = executor.map_array(run_elsewhere, repeat(spec, len(batches)), batches)
        print(f"submitted {len(jobs)} batches as job {jobs[0].job_id.partition('_')[0]}; the same command later tells")
        yield from ()
