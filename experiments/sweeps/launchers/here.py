"""How is a sweep run in this very process? One run after the other: for debugging, and for runs on a testbed."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from experiments.sweeps.workers import Batch, Outcome, SweepSpec, run_batch


@dataclass(frozen=True, kw_only=True)
class Here:
    """No workers."""

    shared_files: bool = True

    def launch(self, spec: SweepSpec, batches: Sequence[Batch]) -> Iterator[Sequence[Outcome]]:
        """Each batch in turn."""
        for batch in batches:
            yield run_batch(spec, batch)
