"""How many samples per second do 2 to 8 Nanos train, one each? Figure 9a of PAC's paper, as played and with overlap."""

from collections.abc import Iterator
from dataclasses import dataclass

from experiments.configuration.command_line import composed
from experiments.configuration.setup import prepare
from experiments.pac.behind import iteration_s
from experiments.pac.settings import ECO_FL, EDDL, PAC, nanos
from experiments.published.claims import published

ITEM = "Fig. 9a"
# As many samples in a batch as devices: a micro-batch of all where devices share it, of one each in a pipeline.
_WORDS = {EDDL: ("method=eddl_even",), ECO_FL: ("method=eco_fl",), PAC: ("method=pac",)}
PLAIN, BEHIND = "as its schedule", "all-reduce behind the next backbone pass"


@dataclass(frozen=True, slots=True, kw_only=True)
class Throughput:
    """Samples per second of a system on so many Nanos, published, and predicted by one player."""

    model: str
    system: str
    nanos: int
    player: str
    published: float
    predicted: float
    devices_per_stage: str
    plan: str

    @property
    def error(self) -> float:
        """As a share of what is published."""
        return self.predicted / self.published - 1


def throughputs() -> Iterator[Throughput]:
    """Every published one, and ours."""
    table = published()
    for row in table[table["item"] == ITEM].to_dict("records"):
        model, system, count = str(row["model"]), str(row["method"]), int(str(row["setting"]).split()[0])
        micro_batch = 1 if system == ECO_FL else count
        words = nanos(model, count=count, batch=count, micro_batch=micro_batch)
        prepared = prepare(composed(*_WORDS[system], "finetuning=parallel_adapters", *words))
        plan, setup = prepared.plan, prepared.setup
        seconds = {PLAIN: setup.simulate(prepared.schedule).makespan_s}
        if len(plan.stages) == 1:
            seconds[BEHIND] = iteration_s(plan, setup)
        for player, each_s in seconds.items():
            yield Throughput(
                model=model,
                system=system,
                nanos=count,
                player=player,
                published=float(row["value"]),
                predicted=count / each_s,
                devices_per_stage="-".join(str(len(stage.ranks)) for stage in plan.stages),
                plan=str(plan),
            )
