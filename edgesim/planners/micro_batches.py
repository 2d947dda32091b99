"""How large should micro-batches be? Of all sizes that divide the batch, the one whose plan takes the fewest seconds.

A batch is the user's; how it is cut is not, as long as gradients are added up. Small micro-batches fill a pipeline and
fit in memory, large ones use a device better and send fewer messages. (Batch norms see one micro-batch at a time.)
"""

from collections.abc import Iterator
from dataclasses import replace

from edgesim.errors import InfeasibleError, OutOfMemoryError, PlanError, ProfileError
from edgesim.plan import Plan
from edgesim.planners.cost_models.pipeline_time import iteration_s
from edgesim.planners.planning_time import LateError
from edgesim.planners.problem import Planner, Problem, ask


def with_best_micro_batch(planner: Planner) -> Planner:
    """Return the planner that asks this one about every size of micro-batches, and gives the plan that it says is best.

    Judged are the seconds per iteration that the planner itself predicts; those of ``pipeline_time.py`` where it
    predicts none, because what it minimises is of one micro-batch. Of equals the workload's own size counts, then the
    largest. Where every size is refused, the first of them for memory says why, if any is.
    """

    def best(problem: Problem) -> Plan:
        return _best(planner, problem)

    return best


def divisors(number: int) -> Iterator[int]:
    """Yield what divides a number, the largest first.

    >>> list(divisors(12))
    [12, 6, 4, 3, 2, 1]
    """
    return (size for size in range(number, 0, -1) if number % size == 0)


def _best(planner: Planner, problem: Problem) -> Plan:
    own = problem.workload.micro_batch_samples
    found: list[tuple[float, Plan]] = []
    refused: PlanError | InfeasibleError | ProfileError | None = None
    for size in (own, *(size for size in divisors(problem.workload.batch_samples) if size != own)):
        asked = replace(problem, workload=replace(problem.workload, micro_batch_samples=size))
        try:
            plan = ask(planner, asked)
            if any(stage.divides_blocks for stage in plan.stages):
                raise PlanError(
                    f"micro-batches of another size are for ranks that share samples, they divide blocks in {plan} "
                    "(take planner.micro_batch=workload)"
                )
            found.append((iteration_s(asked, plan) if plan.predicted_s is None else plan.predicted_s, plan))
        except LateError:
            if not found:
                raise
            break  # with what there is
        except (PlanError, InfeasibleError, ProfileError) as error:
            if refused is None or (isinstance(error, OutOfMemoryError) and not isinstance(refused, OutOfMemoryError)):
                refused = error
    if not found:
        assert refused is not None, "every batch has a divisor"
        raise refused
    return min(found, key=lambda each: each[0])[1]
