"""Which idle watts does every plan draw, and which does a device add by working? All ranks count, or those that work.

What the board around a module always draws is among them.
Where all ranks count and boards idle alike in all their modes, nothing is added, and energy is linear in a plan.
"""

from dataclasses import dataclass

from edgesim.planners.exact.energy.power_modes import ModeExpansion


@dataclass(frozen=True, slots=True, kw_only=True)
class IdleWatts:
    """The idle watts of a plan are at least ``always_w``, and at least ``offset_w`` plus what its devices add.

    Attributes:
        always_w: what every plan draws at least.
        added_w: [kind] what each working device adds.
        offset_w: 0, or less where ``added_w`` counts again what is in ``always_w``.
        least_w: [board] in the mode with the lowest idle watts.
    """

    always_w: float
    added_w: tuple[float, ...]
    offset_w: float
    least_w: tuple[float, ...]

    @classmethod
    def of(cls, modes: ModeExpansion, *, idle_devices: bool) -> "IdleWatts":
        """Return the idle watts of all plans in these modes."""
        idle_w = [modes.expanded.cluster.devices[kind[0]].power.always_w for kind in modes.kinds]
        of_type = [
            min(w for w, own in zip(idle_w, modes.type_of, strict=True) if own == t) for t in range(len(modes.types))
        ]
        type_of_board = {board: t for t, boards in enumerate(modes.types) for board in boards}
        boards = enumerate(modes.original.cluster.devices)  # those of no type never work
        least_w = tuple(
            of_type[type_of_board[rank]] if rank in type_of_board else board.power.always_w for rank, board in boards
        )
        if not idle_devices:
            return cls(always_w=min(idle_w), added_w=tuple(idle_w), offset_w=-min(idle_w), least_w=least_w)
        added_w = tuple(w - of_type[t] for w, t in zip(idle_w, modes.type_of, strict=True))
        return cls(always_w=sum(least_w), added_w=added_w, offset_w=0.0, least_w=least_w)

    @property
    def spread(self) -> bool:
        """Whether plans differ in what they draw idle."""
        return any(self.added_w)
