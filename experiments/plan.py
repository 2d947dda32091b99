"""Where would everything live? Plan a run, and neither simulate nor execute nor write it.

    python -m experiments.plan strategy=hybrid_pipeline planner=ilp_hybrid_pipeline
    python -m experiments.plan method=galaxy model=bert_large cluster=galaxy_f workload=request

Prints what is planned for, the plan, what its planner minimised and how far that is proven from the best. A planner
that judges plans in the simulator does so here too. Overrides are those of a run, which keeps its plan as plan.json.
"""

from omegaconf import DictConfig
from rich.console import Console

from experiments.analysis.predictions import prediction
from experiments.analysis.promised import side_by_side
from experiments.configuration.cache import Cache
from experiments.configuration.command_line import run_command
from experiments.run import Screen, planned
from experiments.tables.plan import plan_table


def plan(cfg: DictConfig) -> None:
    """Plan, and say how good the plan is known to be."""
    console = Console()
    prepared = planned(cfg, Cache(), Screen(console))
    promised = prediction(prepared.setup.problem, prepared.plan, prepared.strategy)
    console.print(plan_table(side_by_side(prepared.plan, promised, ())))


def main() -> None:
    """Plan what the command line says."""
    run_command(plan, about=__doc__)


if __name__ == "__main__":
    main()
