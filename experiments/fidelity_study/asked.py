"""What does the study ask? Its numbers and its cases, checked before anything starts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from omegaconf import DictConfig, OmegaConf

from edgesim.units import bit_per_s, si


class Part(StrEnum):
    """What a cluster's plans are used for; no cluster is in two parts."""

    CALIBRATION = "calibration"
    CONFORMAL = "conformal"
    TEST = "test"


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A model with a workload of which settings are drawn.

    Attributes:
        name: what tables call it.
        weight: how often it is drawn beside the others.
        layers: whether plans of whole layers are drawn: data, pipeline, hybrid_pipeline.
        blocks: whether plans of divided blocks are drawn: tensor, sequence, hybrid_model.
        words: the overrides that choose it.
        batches: samples of a batch and of a micro-batch, of which one pair is drawn.
        tokens: of which one count is drawn; none for models of images.
        new_tokens: of which one count is drawn; none where nothing is generated.
    """

    name: str
    weight: int
    layers: bool
    blocks: bool
    words: tuple[str, ...]
    batches: tuple[tuple[int, int], ...]
    tokens: tuple[int, ...] = ()
    new_tokens: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if not (self.layers or self.blocks):
            raise ValueError(f"fidelity_study: case {self.name!r} has neither layers nor blocks to draw plans of")
        if not self.batches or self.weight < 1:
            raise ValueError(f"fidelity_study: case {self.name!r} needs batches, and a weight of at least 1")

    @classmethod
    def of(cls, data: Mapping[str, Any]) -> "Case":
        """Read one of the configuration."""
        lists = {name: tuple(data[name]) for name in ("words", "tokens", "new_tokens") if name in data}
        batches = tuple((int(batch), int(micro)) for batch, micro in data["batches"])
        return cls(**{**data, **lists, "batches": batches})


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """The study's numbers, as conf/experiment/fidelity_study.yaml explains them."""

    folder: str
    journal: str
    seed: int
    limit_s: float | None
    clusters: Mapping[Part, int]
    settings: int
    plans: int
    hosts: tuple[int, ...]
    rates_bit_per_s: tuple[float, ...]
    fastest: tuple[float, float]
    ratio: float
    cores: float
    most_s: float
    skip_above_s: float
    runs: int
    run_s: float
    iterations: tuple[int, int]
    repeats: int
    rehearsals: int
    cases: tuple[Case, ...]

    def __post_init__(self) -> None:
        if not self.cases or not self.hosts or not self.rates_bit_per_s:
            raise ValueError("fidelity_study needs at least one of the cases, of hosts, and of rates")
        if not self.folder or not self.journal:
            raise ValueError("fidelity_study needs a folder for its results, and one for its journal")
        if min(self.hosts) < 2:
            raise ValueError(f"fidelity_study.hosts: plans are shared by 2 hosts or more, got {min(self.hosts)}")
        if not 0 < self.fastest[0] <= self.fastest[1] <= 1 or self.ratio < 1:
            raise ValueError(
                f"fidelity_study.fastest={list(self.fastest)} are shares of a core, the smaller first, and "
                f"ratio={self.ratio:g} is at least 1"
            )
        if not 1 <= self.iterations[0] <= self.iterations[1]:
            raise ValueError(f"fidelity_study.iterations: at least and at most, got {list(self.iterations)}")
        for name in ("settings", "plans", "runs", "repeats", "rehearsals"):
            if getattr(self, name) < 1:
                raise ValueError(f"fidelity_study.{name} must be at least 1, got {getattr(self, name)}")

    def iterations_of(self, simulated_s: float) -> int:
        """How many iterations of a plan a run counts."""
        least, most = self.iterations
        return min(most, max(least, round(self.run_s / simulated_s)))


def asked(cfg: DictConfig) -> Asked:
    """Read them from a configuration. Raises ValueError for what could not be played."""
    data: dict[str, Any] = dict(_plain(cfg.fidelity_study))
    rates: Sequence[str] = data.pop("rates")
    data["cases"] = tuple(map(Case.of, data["cases"]))
    data["clusters"] = {Part(part): int(count) for part, count in data["clusters"].items()}
    for name in ("hosts", "fastest", "iterations"):
        data[name] = tuple(data[name])
    return Asked(**data, rates_bit_per_s=tuple(bit_per_s(si(rate)) for rate in rates))


def _plain(node: DictConfig) -> Mapping[str, Any]:
    plain = OmegaConf.to_container(node, resolve=True)
    assert isinstance(plain, dict), "the study's settings are a mapping"
    return {str(key): value for key, value in plain.items()}
