"""How much less energy does a plan take that is made for energy, than the fastest plan with its clocks turned down?

For every cluster of the study and its models, at several rates: the fastest hybrid pipeline, proven, in all
combinations of power modes of its stages; and ``ilp_energy``'s front, whose plans choose stages, shares and modes
together. ``ilp_energy`` is asked within the seconds of the fastest and of the thriftiest scaled plan, and of each other
one that no plan of the front matches in both; what is saved over the remaining ones is at least what is said.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from typing import Any

from edgesim.errors import EdgesimError
from edgesim.planners.exact.energy.ilp_energy import energy_front, ilp_energy
from edgesim.planners.exact.pipelines.ilp_hybrid_pipeline import ilp_hybrid_pipeline
from edgesim.planners.exact.pipelines.search import SearchOptions
from experiments.analysis.placements import in_words
from experiments.configuration.command_line import composed
from experiments.configuration.setup import Setup, read_setup
from experiments.energy_study.scaling import Point, least_within, pareto, scaled
from experiments.energy_study.settings import FRONTS, Environment

POINTS = 6  # of a front, at most
ASKED = 2  # scaled plans, from the fastest to the thriftiest, within whose time the fewest joules are asked for
TIME_LIMIT_S = 20.0  # of one question
SLACK = 1e-9  # relative


@dataclass(frozen=True, slots=True, kw_only=True)
class Fronts:
    """Both fronts of an environment, by rising seconds; ``gap`` is the largest in the proofs of plans for energy."""

    environment: Environment
    setup: Setup
    scaled: Sequence[Point]
    planned: Sequence[Point]
    gap: float

    @property
    def dominates(self) -> bool:
        """Whether every scaled plan is matched by a planned one that takes neither more seconds nor more joules."""
        return all(saving >= -SLACK for saving in self.savings)

    @property
    def savings(self) -> list[float]:
        """The share of joules that planning saves over each scaled plan, in no more time; -1 where none is as fast."""
        return [_saving(self.planned, point) for point in self.scaled]


def _saving(planned: Sequence[Point], point: Point) -> float:
    least = least_within(planned, point.seconds)
    return -1.0 if least is None else 1 - least.joules / point.joules


def fronts_of(environment: Environment) -> Fronts | str:
    """Both fronts of an environment, or why there are none."""
    setup = read_setup(composed(*environment.words))
    problem, modes = setup.problem, setup.modes
    try:
        fastest = ilp_hybrid_pipeline(problem, time_limit_s=TIME_LIMIT_S)
    except EdgesimError as error:
        return str(error)
    turned_down = pareto(scaled(problem, fastest, modes))
    options = SearchOptions(time_limit_s=TIME_LIMIT_S)
    plans = list(energy_front(problem, POINTS, modes=modes, options=options))
    for point in _to_ask(turned_down, [Point.of(problem, plan, modes) for plan in plans]):
        plans.append(ilp_energy(problem, modes=modes, latency_s=point.seconds * (1 + SLACK), time_limit_s=TIME_LIMIT_S))
    gaps = [plan.proof.gap for plan in plans if plan.proof is not None and plan.proof.gap is not None]
    return Fronts(
        environment=environment,
        setup=setup,
        scaled=turned_down,
        planned=pareto(Point.of(problem, plan, modes) for plan in plans),
        gap=max(gaps, default=1.0),
    )


def _to_ask(turned_down: Sequence[Point], planned: Sequence[Point]) -> list[Point]:
    """Some scaled plans, evenly from the first to the last, and all that no planned one matches."""
    step = max(1, (len(turned_down) - 1) // (ASKED - 1)) if ASKED > 1 else 1
    chosen = [*turned_down[::step], turned_down[-1]]
    return [
        point
        for number, point in enumerate(turned_down)
        if point in chosen or _saving(planned, point) < -SLACK or number == 0
    ]


def rows_of(found: Fronts) -> Iterator[dict[str, Any]]:
    """A row per point of either front."""
    setup = found.setup
    for kind, points in (("scaled", found.scaled), ("planned", found.planned)):
        for point in points:
            used = point.plan.in_modes(setup.cluster, setup.modes)
            yield found.environment.where | {
                "front": kind,
                "makespan_s": point.seconds,
                "energy_j": point.joules,
                "energy_per_sample_j": point.joules / setup.workload.batch_samples,
                "saving_at_equal_time": _saving(found.planned, point) if kind == "scaled" else None,
                "placement": in_words(point.plan, [device.name for device in used.devices]),
            }


def summary_row(environment: Environment, found: Fronts | str) -> dict[str, Any]:
    """A row per environment: whether one front dominates the other, and what it saves."""
    if isinstance(found, str):
        return environment.where | {"status": "out_of_memory", "reason": found}
    return environment.where | {
        "status": "done",
        "scaled_plans": len(found.scaled),
        "planned_plans": len(found.planned),
        "dominates": found.dominates,
        "most_saved_at_equal_time": max(found.savings),
        "mean_saved_at_equal_time": sum(found.savings) / len(found.savings),
        "least_saved_at_equal_time": min(found.savings),
        "thriftiest_over_scaled": 1 - found.planned[-1].joules / found.scaled[-1].joules,
        "slowest_gap": found.gap,
        "reason": "",
    }


def tables(environments: Sequence[Environment] = FRONTS) -> Mapping[str, list[dict[str, Any]]]:
    """Rows of both tables, computed on all cores."""
    points: list[dict[str, Any]] = []
    summaries: list[dict[str, Any]] = []
    with ProcessPoolExecutor(max_workers=os.cpu_count(), mp_context=get_context("forkserver")) as pool:
        for rows, summary in pool.map(_both, environments):
            points += rows
            summaries.append(summary)
    return {"fronts": points, "front_summary": summaries}


def _both(environment: Environment) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    found = fronts_of(environment)
    return [] if isinstance(found, str) else list(rows_of(found)), summary_row(environment, found)
