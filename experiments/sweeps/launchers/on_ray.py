"""How does a sweep use several machines? Ray: a cluster that starts and stops with the sweep, or one that runs."""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import ray

from experiments.sweeps.workers import Batch, Outcome, SweepSpec, run_batch


@dataclass(frozen=True, kw_only=True)
class OnRay:
    """``address`` of a running cluster; null starts one here, with ``workers`` cores (null: all).

    Workers of other machines need this repository at the same path, or ``working_dir`` to be sent there.
    """

    address: str | None = None
    workers: int | None = None
    working_dir: str | None = None
    retries: int = 3
    shared_files: bool = False

    def launch(self, spec: SweepSpec, batches: Sequence[Batch]) -> Iterator[Sequence[Outcome]]:
        """Batches as they are done; Ray itself repeats those whose worker died."""
        environment = {"working_dir": self.working_dir} if self.working_dir else None
        ray.init(
            address=self.address,
            num_cpus=None if self.address else self.workers,
            runtime_env=environment,
            include_dashboard=False,
            log_to_driver=False,
            logging_level=logging.ERROR,
        )
        try:
            task = ray.remote(max_retries=self.retries)(run_batch)
            pending = [task.remote(spec, batch) for batch in batches]
            while pending:
                done, pending = ray.wait(pending)
                yield from ray.get(done)
        finally:
            ray.shutdown()
