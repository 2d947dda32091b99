"""How long does an iteration take that begins at some second of a job? Simulated once for all that nothing tells apart.

Where bandwidths and speeds stay as they are until it ends, it is simulated as if they always were so, and kept; so a
hundred thousand iterations cost what one costs. Where something changes meanwhile, or durations vary, it is simulated
by itself, from its second on.
"""

from collections.abc import Mapping
from dataclasses import replace
from math import inf

from edgesim.cluster import Cluster
from edgesim.model import Model
from edgesim.profile import Profile, of_blocks
from edgesim.scenario import Event, Scenario
from edgesim.scenario.steady import as_it_is, steady_until_s
from edgesim.schedule import Schedule
from edgesim.simulator.engine import simulate
from edgesim.trace import Trace

_MOST_WORLDS = 1024  # of a schedule, whose traces are kept


class Iterations:
    """The traces of a job's schedules, by the second at which they are played."""

    def __init__(
        self,
        cluster: Cluster,
        model: Model,
        profile: Profile,
        tokens: int,
        scenario: Scenario,
        profiles: Mapping[str, Profile],
    ) -> None:
        self.cluster, self.model, self.profile, self.tokens = cluster, model, profile, tokens
        self.profiles = profiles
        self.scenario = scenario.from_second(0.0)  # without who is lost, leaves or joins
        # By the schedule, which is kept with them, so that no other one has its place in memory.
        self._kept: dict[int, tuple[Schedule, dict[Scenario, Trace]]] = {}
        self._own: dict[int, tuple[Schedule, Model, Profile]] = {}  # by the schedule, where its model is not the job's

    def happens_too(self, *events: Event) -> None:
        """Add to what happens."""
        self.scenario = replace(self.scenario, events=(*self.scenario.events, *events))

    def at(
        self, schedule: Schedule, at_s: float, iteration: int = 0, model: Model | None = None
    ) -> tuple[Trace, float]:
        """Return the trace of a schedule that begins then, and until when it stays the same: ``at_s`` if it does not.

        The trace counts from its own beginning. ``model`` is what the schedule computes, if it is not the job's.
        """
        if model is not None and id(schedule) not in self._own:
            measured = self.profiles.get(model.name)
            self._own[id(schedule)] = (schedule, model, measured or of_blocks(self.profile, model))
        if not self.scenario.events:
            return self._as_it_is(schedule, self.scenario), inf
        later = self.scenario.from_second(at_s)
        world = as_it_is(later, len(self.cluster.devices))
        if world is not None:
            trace, until_s = self._as_it_is(schedule, world), at_s + steady_until_s(later)
            if at_s + trace.last_s <= until_s:
                return trace, until_s
        return self._simulated(schedule, replace(later, iteration=iteration)), at_s

    def _as_it_is(self, schedule: Schedule, world: Scenario) -> Trace:
        _, kept = self._kept.setdefault(id(schedule), (schedule, {}))
        if world not in kept:
            if len(kept) >= _MOST_WORLDS:
                kept.clear()
            kept[world] = self._simulated(schedule, world)
        return kept[world]

    def _simulated(self, schedule: Schedule, scenario: Scenario) -> Trace:
        _, model, profile = self._own.get(id(schedule), (schedule, self.model, self.profile))
        return simulate(
            schedule,
            cluster=self.cluster,
            model=model,
            profile=profile,
            tokens=self.tokens,
            scenario=scenario,
        )
