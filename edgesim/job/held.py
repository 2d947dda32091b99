"""What does every rank hold, by layer and version? The state that a job carries from phase to phase."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from edgesim.plan import Plan

Layers = tuple[int, int]


@dataclass(frozen=True, slots=True, order=True, kw_only=True)
class Copy:
    """A rank's copy of consecutive layers: their weights and the optimiser's state after ``version`` iterations."""

    rank: int
    layers: Layers
    version: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """All copies that there are. Version 0 of all layers is everybody's: drawn by a seed, or read from a file."""

    copies: tuple[Copy, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "copies", tuple(sorted(set(self.copies))))

    @classmethod
    def of_plan(cls, plan: Plan, version: int) -> "Held":
        """What ranks hold that have trained a plan up to this version."""
        return cls(copies=tuple(copies_of(plan, version)))

    def with_copies(self, more: Iterable[Copy]) -> "Held":
        """These and more copies."""
        return Held(copies=(*self.copies, *more))

    def without(self, ranks: Iterable[int]) -> "Held":
        """What is left when these ranks are gone."""
        gone = set(ranks)
        return Held(copies=tuple(copy for copy in self.copies if copy.rank not in gone))

    def of_ranks(self, ranks: Iterable[int]) -> "Held":
        """The copies of these ranks."""
        some = set(ranks)
        return Held(copies=tuple(copy for copy in self.copies if copy.rank in some))

    def of_version(self, version: int) -> "Held":
        """The copies of one version."""
        return Held(copies=tuple(copy for copy in self.copies if copy.version == version))

    def holders(self, layer: int, version: int) -> tuple[int, ...]:
        """Who has a layer in this version; nobody is named for version 0, which needs no holder."""
        return tuple(
            dict.fromkeys(
                copy.rank
                for copy in self.copies
                if copy.version == version and copy.layers[0] <= layer < copy.layers[1]
            )
        )

    def covers(self, plan: Plan, version: int) -> bool:
        """Whether all ranks of a plan hold the layers of their stages in this version."""
        return not version or all(
            rank in self.holders(layer, version)
            for stage in plan.stages
            for layer in range(*stage.layers)
            for rank in stage.ranks
        )

    def newest(self, layers: int) -> int:
        """The newest version in which somebody holds each of so many layers; 0 where there is no other."""
        versions = sorted({copy.version for copy in self.copies}, reverse=True)
        return next((v for v in versions if all(self.holders(layer, v) for layer in range(layers))), 0)


def copies_of(plan: Plan, version: int) -> Iterator[Copy]:
    """Yield the copy that each rank of a plan has of its stage's layers."""
    for stage in plan.stages:
        for rank in stage.ranks:
            yield Copy(rank=rank, layers=stage.layers, version=version)
