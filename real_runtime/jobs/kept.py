"""Where are a job's checkpoints, and which of them is whole? Shards that ranks write become one when all are there."""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edgesim.job import Phase, Safety
from real_runtime.assignment import Assignment
from real_runtime.carrying.checkpoints import Manifest, finish, shard_name, unfinished
from real_runtime.carrying.own_disk import own_file


@dataclass(slots=True, kw_only=True)
class Keeper:
    """The checkpoints of a job in a folder.

    With ``own_disks`` a rank's are in a folder of its own, which no other reads. ``newest`` is the version of the last
    one that came whole since ranks were told; None where none did.
    """

    folder: Path
    assignment: Assignment
    own_disks: bool = False
    newest: int | None = None
    _told: int = 0  # how often: a checkpoint has the number with which all of its ranks were told
    _whole: dict[int, int] = field(default_factory=dict)
    _phase: Phase | None = None
    _saved: dict[int, set[int]] = field(default_factory=dict)

    def command(self, phase: Phase, safety: Safety) -> dict[str, Any] | None:
        """What ranks are told of the checkpoints of a phase: the first rank of each stage writes its layers."""
        self._phase, self.newest = phase, None
        self._told += 1
        self._saved.clear()
        if safety.checkpoint_every is None:
            return None
        writers = [stage.ranks[0] for stage in phase.plan.stages]
        told = {"every": safety.checkpoint_every, "folder": str(self.folder), "writers": writers}
        backs_up = phase.replicating is not None
        return told | {"own": {"told": self._told, "backs_up": backs_up} if self.own_disks else None}

    def folder_of(self, version: int) -> Path:
        """The folder of a whole checkpoint."""
        return self.folder / f"version-{version}"

    def own_file(self, rank: int, version: int) -> Path:
        """A rank's part of a whole checkpoint, on its own disk."""
        return own_file(self.folder, rank, version, self._whole[version])

    def hear(self, rank: int, message: Mapping[str, Any], ranks: int) -> bool:
        """Hear that a rank has done its part; whether all of so many have, so that there is a new checkpoint."""
        version = message["saved"]
        saved = self._saved.setdefault(version, set())
        saved.add(rank)
        if len(saved) < ranks:
            return False
        assert self._phase is not None, "ranks were told to write"
        if self.own_disks:
            self._whole[version] = self._told
        elif self.folder_of(version).exists():  # of an iteration that is redone it is there already
            shutil.rmtree(unfinished(self.folder, version))
        else:
            finish(self.folder, self._manifest(self._phase, version))
        self.newest = version
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
