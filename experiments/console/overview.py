"""What can be typed? All commands a line each, the nouns with their choices, and a few lines to begin with."""

from textwrap import fill

from experiments.commands import COMMANDS, NAME
from experiments.configuration.places import CONF

_WIDTH = 110
_EXAMPLES = """
  edgesim demo                                                    # simulated and executed, side by side
  edgesim run strategy=pipeline network.rate="20 Mbit/s"
  edgesim run method=galaxy model=bert_large cluster=galaxy_f workload=request
  edgesim plan strategy=hybrid_pipeline planner=ilp_hybrid_pipeline
  edgesim sweep strategy=data,pipeline "network.rate=20 Mbit/s,100 Mbit/s" sweep.name=mine
  edgesim conf copy cluster/demo                                  # a file of your own to edit
"""


def overview() -> str:
    """The page of ``edgesim --help``."""
    width = max(len(command.name) for command in COMMANDS)
    commands = "\n".join(f"  {command.name:<{width}}  {command.says}" for command in COMMANDS)
    return f"""usage: {NAME} COMMAND ...

How fast, how large and how hungry is this way of sharing a model among these devices?

commands (each has its own --help):
{commands}

choices, as GROUP=NAME after a command that runs or plans; every value is an override too (KEY=VALUE):
{_nouns()}

examples:{_EXAMPLES}
Results go to results/ where you stand. Completion in bash: eval "$({NAME} -sc install=bash)"
"""


def _nouns() -> str:
    groups = {group: choices(group) for group in groups_of_conf()}
    width = max(map(len, groups))
    return "\n".join(
        fill(
            ", ".join(names),
            width=_WIDTH,
            initial_indent=f"  {group:<{width}}  ",
            subsequent_indent=" " * (width + 4),
            break_on_hyphens=False,
        )
        for group, names in groups.items()
    )


def groups_of_conf() -> list[str]:
    """The groups of our configuration files."""
    return sorted(path.name for path in CONF.iterdir() if path.is_dir())


def choices(group: str) -> list[str]:
    """The names of a group's files."""
    return sorted(path.stem for path in (CONF / group).glob("*.yaml"))
