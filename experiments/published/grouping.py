"""Does our PAC planner group Jetson Nanos as PAC's does? Figure 10 of its paper: devices per stage, 2 to 8 Nanos.

The workload is that of the paper's scaling figure: as many samples in a batch as devices, one micro-batch, 128 tokens,
parallel adapters without a cache. The devices are ``conf/cluster/pac.yaml``, calibrated with Fig. 3 and 8a alone.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from time import perf_counter

from edgesim.plan import Plan
from edgesim.planners.literature.pac import pac
from edgesim.planners.problem import Problem
from experiments.configuration.command_line import composed
from experiments.configuration.setup import nouns
from experiments.published.claims import MODELS, PAC, TOKENS, published

ITEM = "Fig. 10"


@dataclass(frozen=True, slots=True, kw_only=True)
class Grouping:
    """Devices per stage, as ``2-2``."""

    model: str
    nanos: int
    published: str
    planned: str
    planning_s: float


def groupings() -> Iterator[Grouping]:
    """Every published grouping, and ours."""
    table = published()
    for row in table[(table["source"] == PAC) & (table["item"] == ITEM)].to_dict("records"):
        nanos = int(str(row["setting"]).split()[0])
        problem = scaling_problem(str(row["model"]), nanos)
        began_s = perf_counter()
        plan = pac(problem)
        yield Grouping(
            model=str(row["model"]),
            nanos=nanos,
            published=str(row["value"]),
            planned=devices_per_stage(plan),
            planning_s=perf_counter() - began_s,
        )


def scaling_problem(title: str, nanos: int) -> Problem:
    """A model of the paper on so many Nanos."""
    cfg = composed(
        f"model={MODELS[title]}",
        "finetuning=parallel_adapters",
        "cluster=pac",
        f"cluster.count={nanos}",
        "workload.purpose=fine_tune",
        f"workload.batch_samples={nanos}",
        f"workload.micro_batch_samples={nanos}",
        f"workload.tokens={TOKENS}",
    )
    return nouns(cfg).problem


def devices_per_stage(plan: Plan) -> str:
    """``4-4``: two stages of four."""
    return "-".join(str(len(stage.ranks)) for stage in plan.stages)
