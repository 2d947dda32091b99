"""What is a candidate stage, and what does it cost? A table with a column for each number, a row for each candidate."""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgesim.planners.exact.pipelines.candidate_links import Floats, Ints, Loads


@dataclass(frozen=True, slots=True, kw_only=True)
class Columns(Loads):
    """[candidate] what each is and costs; seconds per micro-batch, but ``ending_s`` once per iteration.

    Its messages and links are ``Loads``, [candidate] here. ``replicas`` is [candidate, kind]. What moves
    once beside the iterations (``OneTimeCosts`` of ``milp.py``) lasts as long as its longest ``one_time_s``, and as the
    sum of every resource's ``one_time_shared_s`` [candidate, resource].

    Per iteration: ``beside_s`` is what the objective counts beside time, ``latest_s`` the longest iteration of a plan
    that has the candidate, ``channel_s`` what it takes of a shared channel in all; 0, infinite and 0 unless asked.
    """

    start: Ints
    stop: Ints
    position: Ints
    group: Ints
    split: Ints
    depth: Ints
    forward_s: Floats
    backward_s: Floats
    ending_s: Floats
    replicas: Ints
    one_time_s: Floats
    one_time_shared_s: Floats
    beside_s: Floats
    latest_s: Floats
    channel_s: Floats

    def __len__(self) -> int:
        return len(self.start)

    @property
    def both_s(self) -> Floats:
        """Seconds of the forward and the backward pass."""
        return self.forward_s + self.backward_s

    @property
    def cost_s(self) -> Floats:
        """What the objective counts of each."""
        return self.both_s + self.beside_s

    @property
    def way_s(self) -> Floats:
        """What the objective counts of each, with the messages over the boundary behind it at their least."""
        return self.cost_s + self.sent_s + self.taken_back_s

    def take(self, which: Ints | NDArray[np.bool_]) -> "Columns":
        """Some of the candidates."""
        return replace(self, **{field.name: getattr(self, field.name)[which] for field in fields(self)})

    @classmethod
    def joined(cls, parts: Sequence["Columns"], *, kinds: int) -> "Columns":
        """The candidates of all parts, of so many kinds of devices."""
        if parts:
            return cls(**{f.name: np.concatenate([getattr(part, f.name) for part in parts]) for f in fields(cls)})
        empty: dict[str, Any] = {field.name: np.zeros(0, dtype=np.int64) for field in fields(cls)}
        tables = {"replicas": np.zeros((0, kinds), dtype=np.int64), "one_time_shared_s": np.zeros((0, 0))}
        return cls(**empty | tables)
