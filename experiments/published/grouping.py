"""Do our planners divide a model among Jetson Nanos as published? Figures 10 and 9b of PAC's paper, 2 to 8 Nanos.

Figure 10 has devices per stage, figure 9b the weights of the device with most. Equal groups may hide different cuts:
with a decoder of one token, decoder layers take hardly any time here, so the last stage gets many of them.

The workload is that of the paper's scaling figure: as many samples in a batch as devices, one micro-batch, 128 tokens,
parallel adapters without a cache. The devices are ``conf/cluster/pac.yaml``, whose speed was derived from figures 3 and
8a: from the full fine-tuning of both models.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from time import perf_counter

from edgesim.plan import Plan
from edgesim.planners.literature.eco_fl import eco_fl
from edgesim.planners.literature.eddl import eddl
from edgesim.planners.literature.pac import pac
from edgesim.planners.problem import Planner, Problem, ask
from edgesim.units import si
from experiments.configuration.command_line import composed
from experiments.configuration.setup import read_setup
from experiments.published.claims import FILLS_CACHE, MODELS, PAC, TOKENS, Claim, published, technique_constants
from experiments.published.constants import Constant, ConstantOrigin, Row

GROUPING, WEIGHTS = "Fig. 10", "Fig. 9b"
ITEMS = (WEIGHTS,)  # of the claims
_GIB = si("1 GiB")
_PLANNERS: Mapping[str, Planner] = {"PAC": pac, "Eco-FL": eco_fl, "EDDL": partial(eddl, shares="even")}
_SPEED = Constant(
    name="speed of PAC's Jetson Nano",
    origin=ConstantOrigin.READ,
    rows=frozenset(
        Row(PAC, item, title, "Full", metric)
        for title in ("T5-Base", "BART-Large")
        for item, metrics in (
            ("Fig. 3", ("forward", "backward")),
            ("Fig. 8a", ("forward per sample", "total per sample")),
        )
        for metric in metrics
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Grouping:
    """Devices per stage, as ``2-2``, and the planned cut: layers, and GiB of weights per device, stage by stage."""

    model: str
    nanos: int
    published: str
    planned: str
    planned_layers: str
    planned_weights_gib: str
    planning_s: float


def groupings() -> Iterator[Grouping]:
    """Every published grouping, and ours."""
    table = published()
    for row in table[(table["source"] == PAC) & (table["item"] == GROUPING)].to_dict("records"):
        nanos = _nanos(str(row["setting"]))
        problem = scaling_problem(str(row["model"]), nanos)
        began_s = perf_counter()
        plan = ask(pac, problem)
        yield Grouping(
            model=str(row["model"]),
            nanos=nanos,
            published=str(row["value"]),
            planned=_joined(len(stage.ranks) for stage in plan.stages),
            planned_layers=_joined(stage.layers[1] - stage.layers[0] for stage in plan.stages),
            planned_weights_gib=_joined(f"{weights:.3f}" for weights in weights_gib(plan, problem)),
            planning_s=perf_counter() - began_s,
        )


def claims() -> Iterator[Claim]:
    """The weights of the device with most, of every planner and number of devices that was published."""
    table = published()
    for row in table[(table["source"] == PAC) & (table["item"] == WEIGHTS)].to_dict("records"):
        problem = scaling_problem(str(row["model"]), _nanos(str(row["setting"])))
        plan = ask(_PLANNERS[str(row["method"])], problem)
        cut = _joined(stage.layers[1] - stage.layers[0] for stage in plan.stages)
        yield Claim(
            row=Row(PAC, WEIGHTS, str(row["model"]), str(row["method"]), f"{row['metric']}, {row['setting']}"),
            unit=str(row["unit"]),
            published=float(row["value"]),
            predicted=max(weights_gib(plan, problem)),
            constants=(_SPEED, *technique_constants(FILLS_CACHE)),
            note=f"layers per stage {cut}",
        )


def weights_gib(plan: Plan, problem: Problem) -> tuple[float, ...]:
    """What a device of each stage holds of the model's weights, in GiB."""
    return tuple(
        sum(layer.parameter_bytes for layer in problem.model.layers[slice(*stage.layers)]) / _GIB
        for stage in plan.stages
    )


def _nanos(setting: str) -> int:
    return int(setting.split()[0])


def _joined(parts: Iterable[object]) -> str:
    return "-".join(str(part) for part in parts)


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
    return read_setup(cfg).problem
