"""Where are a job's checkpoints, and which of them is whole? Shards that ranks write become one when all are there."""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edgesim.job import Phase, Safety
from real_runtime.assignment import Assignment
from real_runtime.carrying.checkpoints import Manifest, finish, shard_name, unfinished


@dataclass(slots=True, kw_only=True)
class Keeper:
    """The checkpoints of a job in a folder; ``last`` is the version of the newest, 0 where there is none."""

    folder: Path
    assignment: Assignment
    last: int = 0
    _phase: Phase | None = None
    _saved: dict[int, set[int]] = field(default_factory=dict)

    def command(self, phase: Phase, safety: Safety) -> dict[str, Any] | None:
        """What ranks are told of the checkpoints of a phase: the first rank of each stage writes its layers."""
        self._phase = phase
        self._saved.clear()
        if safety.checkpoint_every is None:
            return None
        writers = [stage.ranks[0] for stage in phase.plan.stages]
        return {"every": safety.checkpoint_every, "folder": str(self.folder), "writers": writers}

    def folder_of(self, version: int) -> Path:
        """The folder of a whole checkpoint."""
        return self.folder / f"version-{version}"

    def hear(self, rank: int, message: Mapping[str, Any], ranks: int) -> bool:
        """Hear that a rank has done its part; whether all of so many have, so that there is a new checkpoint."""
        version = message["saved"]
        saved = self._saved.setdefault(version, set())
        saved.add(rank)
        if len(saved) < ranks:
            return False
        assert self._phase is not None, "ranks were told to write"
        if self.folder_of(version).exists():  # of an iteration that is redone it is there already
            shutil.rmtree(unfinished(self.folder, version))
        else:
            finish(self.folder, self._manifest(self._phase, version))
        self.last = version
        return True

    def _manifest(self, phase: Phase, version: int) -> Manifest:
        stages = phase.plan.stages
        return Manifest(
            version=version,
            model=self.assignment.model.name,
            layers=len(self.assignment.model.layers),
            optimiser=str(self.assignment.workload.optimiser),
            seed=self.assignment.seed,
            batch_samples=self.assignment.workload.batch_samples,
            shards=tuple((shard_name(stage.layers), *stage.layers) for stage in stages),
        )
