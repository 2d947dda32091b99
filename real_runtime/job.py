"""What is a rank asked to play? Plain data that travels as JSON."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from edgesim.model import Model, model_from_dict, model_to_dict
from edgesim.schedule import Schedule
from edgesim.workload import Workload
from real_runtime.data import DataSpec


def results_file(folder: str | Path, rank: int) -> Path:
    """Where a rank writes what it has after the last iteration; safetensors."""
    return Path(folder) / f"rank{rank}.safetensors"


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """Play a schedule for some iterations on real data.

    ``pause_s`` rests between iterations. ``results_folder`` receives what each rank has after the last iteration
    (:func:`results_file`): trained weights, by layer or block; of inference its logits and the tokens it chose. None
    keeps them nowhere. ``checkpoint`` is a local folder of weights as the library saves them; None draws random ones.
    """

    schedule: Schedule
    model: Model
    workload: Workload
    data: DataSpec
    iterations: int
    seed: int
    pause_s: float = 0.0
    results_folder: str | None = None
    checkpoint: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON data; the schedule travels as text with its hash."""
        rest = {
            "iterations": self.iterations,
            "seed": self.seed,
            "pause_s": self.pause_s,
            "results_folder": self.results_folder,
            "checkpoint": self.checkpoint,
        }
        nouns = {"model": model_to_dict(self.model), "workload": asdict(self.workload), "data": asdict(self.data)}
        return rest | nouns | {"schedule": self.schedule.to_text(), "hash": self.schedule.hash}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> "Job":
        """Read what :meth:`to_dict` wrote. Raises ValueError if the schedule's hash is not its text's."""
        schedule = Schedule.from_text(data["schedule"])
        if schedule.hash != data["hash"]:
            raise ValueError(f"the schedule that arrived has hash {schedule.hash[:12]}, sent was {data['hash'][:12]}")
        return cls(
            schedule=schedule,
            model=model_from_dict(data["model"]),
            workload=Workload(**data["workload"]),
            data=DataSpec(**data["data"]),
            iterations=data["iterations"],
            seed=data["seed"],
            pause_s=data["pause_s"],
            results_folder=data["results_folder"],
            checkpoint=data["checkpoint"],
        )
