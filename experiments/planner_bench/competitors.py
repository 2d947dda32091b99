"""Who plans? The planners that declare to be in the bench, in the order of its rows."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from experiments.configuration.planners import Kind, Plans, declared_planners


@dataclass(frozen=True, slots=True, kw_only=True)
class Competitor:
    """A planner with its options and the strategy that plays its plans, as overrides of the configuration.

    ``folders`` hold further configuration files, in which its own may be.
    """

    name: str
    plans: Plans
    kind: Kind
    overrides: tuple[str, ...]
    folders: tuple[str, ...] = ()


def competitors(folders: Sequence[str | Path] = ()) -> list[Competitor]:
    """All of them: of pipelines first, then by kind and by place. Raises ValueError if two have one name."""
    entries = [(declared, entry) for declared in declared_planners(folders) for entry in declared.bench]
    plans, kinds = list(Plans), list(Kind)
    entries.sort(key=lambda pair: (plans.index(pair[1].plans), kinds.index(pair[0].kind), pair[1].place))
    names = [entry.name for _, entry in entries]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(f"two planners are called {twice[0]!r} in the bench (give one of them another name)")
    return [
        Competitor(
            name=entry.name,
            plans=entry.plans,
            kind=declared.kind,
            overrides=entry.overrides,
            folders=tuple(map(str, folders)),
        )
        for declared, entry in entries
    ]
