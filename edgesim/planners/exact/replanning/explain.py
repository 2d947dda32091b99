"""Why can no pipeline be migrated to within the budget? The quickest migration, and who receives longest in it."""

from edgesim.plan import Plan
from edgesim.planners.cost_models.migration import Holdings, moving_s, received_bytes
from edgesim.units import show


def why_not_within(budget_s: float, survivors: Holdings, quickest: Plan) -> str:
    """Return one sentence for people; ``quickest`` is the plan that takes the least time to migrate to."""
    problem, received = survivors.problem, received_bytes(survivors, quickest)
    download_s = survivors.transfers.download_s
    rank = max(received, key=lambda r: (received[r] * download_s(r), -r))
    device = problem.cluster.devices[rank]
    return (
        f"no pipeline of {problem.model.name} can be migrated to within {show(budget_s, 's')}: the quickest takes "
        f"{show(moving_s(survivors, quickest), 's')}, in which rank {rank} ({device.name}) receives "
        f"{show(received[rank], 'B')} (raise budget_s)"
    )
