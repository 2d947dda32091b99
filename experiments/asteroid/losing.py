"""What comes of a training at paper scale under a policy, when a scenario takes devices from it?"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from omegaconf import DictConfig

from edgesim.errors import EdgesimError
from edgesim.job import JobMetrics, JobTrace, measure_job
from edgesim.scenario import Scenario
from edgesim.simulator import simulate_job
from experiments.configuration.constructors import build
from experiments.configuration.setup import Prepared, prepare
from experiments.jobs.asked import JobSpec, job_of, read_job


@dataclass(frozen=True, kw_only=True)
class Losing:
    """A configuration that is planned, and the policies, by name, under which its job is played."""

    cfg: DictConfig
    prepared: Prepared
    spec: JobSpec
    policies: Mapping[str, Any]

    @classmethod
    def of(cls, cfg: DictConfig, policies: Mapping[str, Any]) -> "Losing":
        """The job of a configuration, planned once."""
        return cls(cfg=cfg, prepared=prepare(cfg), spec=read_job(cfg), policies=policies)

    @property
    def where(self) -> dict[str, Any]:
        """What identifies its rows."""
        setup = self.prepared.setup
        return {
            "cluster": setup.cluster.name,
            "model": setup.model.name,
            "iteration_s": self.iteration_s,
            "plan": str(self.prepared.plan),
        }

    @property
    def ranks(self) -> tuple[int, ...]:
        """Who trains."""
        return tuple(sorted(self.prepared.plan.ranks))

    @cached_property
    def iteration_s(self) -> float:
        """An iteration that nothing disturbs, with what hosts need from one to the next."""
        return self.prepared.setup.simulate(self.prepared.schedule).makespan_s + self.spec.host_costs.between_s

    def named(self, rank: int) -> str:
        """A device, and its stage."""
        stages = self.prepared.plan.stages
        stage = next(s for s, each in enumerate(stages) if rank in each.ranks)
        alone = "alone" if len(stages[stage].ranks) == 1 else "replicated"
        device = self.prepared.setup.cluster.devices[rank].name
        return f"rank {rank} ({device}), stage {stage} of {len(stages)}, {alone}"

    def undisturbed(self, iterations: int) -> JobMetrics:
        """The job in which nothing happens, and nothing is done against it."""
        safety = replace(self.spec.safety, replicate_every=None, checkpoint_every=None)
        return self._simulated(replace(self.spec, iterations=iterations, safety=safety), Scenario())[1]

    def played(self, policy: str, scenario: Scenario, iterations: int) -> tuple[JobTrace, JobMetrics] | EdgesimError:
        """What comes of the job; or why it could not go on."""
        spec = replace(self.spec, iterations=iterations, recovery=build(self.policies[policy]))
        if policy != "restart":  # the others need none
            spec = replace(spec, safety=replace(spec.safety, checkpoint_every=None))
        else:
            spec = replace(spec, safety=replace(spec.safety, replicate_every=None))
        try:
            return self._simulated(spec, scenario)
        except EdgesimError as error:
            return error

    def _simulated(self, spec: JobSpec, scenario: Scenario) -> tuple[JobTrace, JobMetrics]:
        setup = replace(self.prepared.setup, scenario=scenario)
        job = job_of(self.cfg, spec, replace(self.prepared, setup=setup))
        nouns: Mapping[str, Any] = {"cluster": setup.cluster, "model": setup.model, "workload": setup.workload}
        trace = simulate_job(
            job,
            **nouns,
            profile=setup.profile,
            host_costs=spec.host_costs,
            scenario=scenario,
            planning_s=spec.planning_s,
        )
        return trace, measure_job(trace, **nouns)
