"""What is a rank asked to play? Plain data that travels as JSON."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from edgesim.errors import reading
from edgesim.model import Model, model_from_dict, model_to_dict
from edgesim.schedule import Schedule
from edgesim.workload import Workload
from real_runtime.activation_cache.place import CachePlace
from real_runtime.data import DataSpec

_MOST = 2**62  # of an iteration or a seed


def results_file(folder: str | Path, rank: int) -> Path:
    """Where a rank writes what it has after the last iteration; safetensors."""
    return Path(folder) / f"rank{rank}.safetensors"


@dataclass(frozen=True, slots=True, kw_only=True)
class Assignment:
    """Play a schedule for some iterations on real data.

    ``pause_s`` rests between iterations. ``results_folder`` receives what each rank has after the last iteration
    (:func:`results_file`): trained weights, by layer or block; of inference its logits and the tokens it chose. None
    keeps them nowhere. ``checkpoint`` is a local folder of weights as the library saves them; None draws random ones.
    After ``epoch_iterations`` the same samples are drawn again; None: never. ``cache`` says where outputs of frozen
    layers are kept, if the schedule has them kept.
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
    epoch_iterations: int | None = None
    cache: CachePlace | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON data; the schedule travels as text with its hash."""
        rest = {
            "iterations": self.iterations,
            "seed": self.seed,
            "pause_s": self.pause_s,
            "results_folder": self.results_folder,
            "checkpoint": self.checkpoint,
            "epoch_iterations": self.epoch_iterations,
            "cache": None if self.cache is None else asdict(self.cache),
        }
        nouns = {"model": model_to_dict(self.model), "workload": asdict(self.workload), "data": asdict(self.data)}
        return rest | nouns | {"schedule": self.schedule.to_text(), "hash": self.schedule.hash}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> "Assignment":
        """Read what :meth:`to_dict` wrote; it may have come from anybody.

        Raises ValueError for what it cannot have written, and if the schedule's hash is not its text's.
        """
        with reading("what arrived", "assignment", written_by="a coordinator"):
            _refuse_scalars(data)
            schedule = Schedule.from_text(data["schedule"])
            if schedule.hash != data["hash"]:
                raise ValueError(
                    f"the schedule that arrived has hash {schedule.hash[:12]}, sent was {data['hash'][:12]}"
                )
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
                epoch_iterations=data["epoch_iterations"],
                cache=None if data["cache"] is None else CachePlace(**data["cache"]),
            )


def _refuse_scalars(data: dict[str, Any]) -> None:
    """Raise ValueError for a number or a name that no assignment has."""
    counts = {"iterations": data["iterations"], "seed": data["seed"], "epoch_iterations": data["epoch_iterations"] or 0}
    for name, value in counts.items():
        if type(value) is not int or abs(value) > _MOST:
            raise ValueError(f"{name} is no whole number up to {_MOST}")
    if not isinstance(data["pause_s"], int | float) or not 0 <= data["pause_s"] < _MOST:
        raise ValueError("pause_s is no number of seconds")
    for name in ("schedule", "hash", "results_folder", "checkpoint"):
        may_lack = name in ("results_folder", "checkpoint")
        if not isinstance(data[name], str) and not (may_lack and data[name] is None):
            raise ValueError(f"{name} is no text")
