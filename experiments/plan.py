"""Where would everything live? Plan a run, and neither execute nor write it.

    python -m experiments.plan strategy=hybrid_pipeline planner=ilp_hybrid_pipeline
    python -m experiments.plan method=galaxy model=bert_large cluster=galaxy_f workload=request
    python -m experiments.plan -m strategy=data,pipeline         # every combination: which plan is the fastest?

Prints what is planned for, the plan, what its planner minimised and how far that is proven from the best. A planner
that judges plans in the simulator does so here too. Where plans were executed beside the profile (validate), the plan
is simulated, with the interval that they give it; of several plans, which are always simulated, also how likely each is
the fastest. Overrides are those of a run, which keeps its plan as plan.json.
"""

import sys
from collections.abc import Sequence
from functools import partial
from uuid import uuid4

from omegaconf import DictConfig
from rich.console import Console

from edgesim.intervals import kind_of
from edgesim.metrics import Metrics
from experiments.analysis.predictions import prediction
from experiments.analysis.promised import side_by_side
from experiments.commands import as_typed
from experiments.configuration.cache import Cache
from experiments.configuration.command_line import USERS, run_command, sentence, told
from experiments.configuration.setup import Prepared, prepare
from experiments.intervals.rival_plans import RivalPlan, plans_table
from experiments.run import Screen, planned
from experiments.sweeps.grid import Composer, Overrides, composer_of, parse
from experiments.sweeps.rows import foretold
from experiments.sweeps.sweep import checked, hydra_sweeps, sweep_arguments
from experiments.tables.plan import plan_table


def plan(cfg: DictConfig) -> None:
    """Plan, and say how good the plan is known to be."""
    console = Console()
    prepared = planned(cfg, Cache(), Screen(console))
    promised = prediction(prepared.setup.problem, prepared.plan, prepared.strategy)
    interval = prepared.setup.interval(0.0)  # whether there is one does not depend on the seconds
    metrics = () if interval.interval is None else (_simulated(prepared),)
    for each in metrics:
        interval = prepared.setup.interval(each.makespan_s)
    console.print(plan_table(side_by_side(prepared.plan, promised, metrics), as_typed(str(interval))))


def plans(arguments: Sequence[str]) -> int:
    """Plan every combination of choices, and say which plan is the fastest; the exit code is 1 if one has no plan."""
    help_wanted, overrides, folders = sweep_arguments(arguments)
    if help_wanted:
        print(as_typed(__doc__ or ""))
        return 0
    console, cache = Console(), Cache()
    wanted, call = parse(overrides, folders), uuid4().hex
    checked(wanted, call)
    rivals = [_rival(composer_of(wanted, call), words, cache, Screen(console)) for words in wanted.runs]
    console.print(plans_table(rivals))
    return int(any(each.failure for each in rivals))


def _rival(composer: Composer, words: Overrides, cache: Cache, screen: Screen) -> RivalPlan:
    """The plan of these words, which is told at once."""
    choices = {key.lstrip("+"): value for key, _, value in (word.partition("=") for word in words)}
    name = ", ".join(words) or "the plan"
    try:
        prepared = prepare(composer(words), cache)
        simulated_s = _simulated(prepared).makespan_s
    except USERS as error:
        screen.tell(f"{name}: no plan: {sentence(error)}")
        return RivalPlan(choices=choices, failure=sentence(error))
    screen.tell(f"{name}: {prepared.plan}")
    interval = prepared.setup.interval(simulated_s)
    return RivalPlan(
        choices=choices,
        simulated_s=simulated_s,
        interval=interval,
        known=prepared.setup.validated.residuals,
        kind=kind_of(prepared.setup.workload),
        columns=foretold(prepared.setup, interval),
    )


def _simulated(prepared: Prepared) -> Metrics:
    return prepared.setup.measure(prepared.setup.simulate(prepared.schedule))


def main() -> None:
    """Plan what the command line says; with -m every combination of its choices."""
    arguments = sys.argv[1:]
    if {"-m", "--multirun"} & set(arguments) and not hydra_sweeps(arguments):
        sys.exit(told(partial(plans, arguments)))
    run_command(plan, about=__doc__)


if __name__ == "__main__":
    main()
