"""Which scenarios can emulated hosts not play? Those that a real machine has of itself, or that only a job outlives."""

from edgesim.scenario import Join, Leave, Loss, LossKind, Scenario, Slowdown


def refuse_for_iterations(scenario: Scenario) -> None:
    """Raise ValueError for a scenario that no testbed plays in single iterations, naming what happens."""
    if scenario.membership:
        raise ValueError(
            f"{scenario.membership[0]}: only a job can go on after that (say +job=..., or take another scenario)"
        )
    refuse_for_jobs(scenario)


def refuse_for_jobs(scenario: Scenario) -> None:
    """Raise ValueError for a scenario that no testbed plays at all, naming what happens."""
    if scenario.jitter is not None:
        raise ValueError(
            f"the testbed cannot play a scenario in which {scenario.jitter}: on a real machine they do of themselves "
            "(leave jitter out, or set execute=false)"
        )


def refuse_on_boards(scenario: Scenario, *, in_job: bool) -> None:
    """Raise ValueError for what cannot be done to hosts of their own: their cables and rates are not ours to change.

    A job's ranks are killed, stopped and slowed down there; single iterations have no second that is one for all.
    """
    for event in scenario.events:
        link_down = isinstance(event, Loss) and event.kind is LossKind.LINK_DOWN
        if link_down or not (in_job and isinstance(event, Loss | Join | Leave | Slowdown)):
            raise ValueError(
                f"hosts over SSH cannot play a scenario in which {event} (testbed=netns, or pull the cable by hand)"
            )


def refuse_under_quota(scenario: Scenario) -> None:
    """Raise ValueError for a scenario that hosts cannot play whose speed a quota holds, naming what happens."""
    for event in scenario.events:
        if isinstance(event, Slowdown):
            raise ValueError(
                f"the testbed cannot play a scenario in which {event}: a quota holds its hosts, and stays as it is "
                "(leave testbed.cpu_quota off, or set execute=false)"
            )
