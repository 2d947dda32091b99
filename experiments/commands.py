"""Which commands are there, and what does this user type for each? ``edgesim run``, or ``python -m experiments.run``.

The same modules either way. Texts in the code name modules; whoever started ``edgesim`` reads its own words instead.
"""

import argparse
import atexit
import os
import re
import select
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from real_runtime.control.interruptions import terminable

NAME = "edgesim"


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """One word after ``edgesim``.

    Attributes:
        name: the word.
        module: that it stands for; it has a ``main`` that reads ``sys.argv``.
        says: what it does, in a line.
        takes_overrides: whether its words are overrides of the configuration, and so can be completed.
    """

    name: str
    module: str
    says: str
    takes_overrides: bool = False


RUN, SWEEP = "experiments.run", "sweep"
COMMANDS = (
    Command(
        name="run", module=RUN, says="plan and simulate one run; execute=true plays it as well", takes_overrides=True
    ),
    Command(name=SWEEP, module=RUN, says="run every combination of choices, into one table", takes_overrides=True),
    Command(name="plan", module="experiments.plan", says="plan only, with the plan's proof", takes_overrides=True),
    Command(
        name="demo",
        module="experiments.demo",
        says="three emulated devices: calibrate, plan, simulate, execute",
        takes_overrides=True,
    ),
    Command(
        name="testbed",
        module="experiments.testbed",
        says="check: look at the hosts of a physical testbed; lab: raise some here to try it out",
        takes_overrides=True,
    ),
    Command(
        name="calibrate",
        module="experiments.calibrate",
        says="time a testbed's blocks and links",
        takes_overrides=True,
    ),
    Command(
        name="autopilot",
        module="experiments.autopilot",
        says="calibrate, plan, execute, compare; measure again what is off",
        takes_overrides=True,
    ),
    Command(
        name="validate",
        module="experiments.validate",
        says="compare both players over many plans",
        takes_overrides=True,
    ),
    Command(
        name="validate-pac",
        module="experiments.validate_pac",
        says="compare both players over jobs with an activation cache",
        takes_overrides=True,
    ),
    Command(
        name="validate-jobs",
        module="experiments.validate_jobs",
        says="compare both players over jobs that lose devices",
        takes_overrides=True,
    ),
    Command(
        name="fidelity",
        module="experiments.fidelity",
        says="errors of validated workloads, by workload and kind of task",
    ),
    Command(
        name="fidelity-study",
        module="experiments.fidelity_study",
        says="play plans drawn at random, and say how near the simulator is",
        takes_overrides=True,
    ),
    Command(
        name="fit-device",
        module="experiments.fit_device",
        says="fit a device's efficiency to what was timed",
        takes_overrides=True,
    ),
    Command(
        name="trace",
        module="real_runtime.tracing.trace_model",
        says="count the layers of your own PyTorch module",
    ),
    Command(name="collect", module="experiments.collect", says="a sweep's runs as a tidy table"),
    Command(name="tables", module="experiments.tables", says="a table for a paper, Markdown or LaTeX"),
    Command(name="figures", module="experiments.figures", says="draw figures from tables"),
    Command(name="compare", module="experiments.compare", says="what differs between two runs or tables"),
    Command(name="explain", module="experiments.explain", says="why one run takes longer than another, or its time"),
    Command(name="report", module="experiments.report", says="a run, a sweep or a job as one page for a browser"),
    Command(name="bench", module="experiments.planner_bench", says="compare all planners on many problems"),
    Command(
        name="regret",
        module="experiments.planner_regret",
        says="measure whether the simulator chooses the fastest plan",
        takes_overrides=True,
    ),
    Command(name="published", module="experiments.published", says="compare predictions with published numbers"),
    Command(name="galaxy", module="experiments.galaxy", says="sum up Galaxy's studies"),
    Command(name="asteroid", module="experiments.asteroid", says="sum up Asteroid's studies"),
    Command(
        name="asteroid-recovery",
        module="experiments.asteroid.recovery",
        says="jobs that lose devices, under every policy",
    ),
    Command(name="pac", module="experiments.pac", says="play PAC's studies beside what was published"),
    Command(
        name="pac-measured",
        module="experiments.pac.measured",
        says="measure what techniques of fine-tuning take here, beside what is predicted",
    ),
    Command(
        name="pac-learning",
        module="experiments.pac.learning",
        says="how well a model learns with parallel adapters, beside other techniques",
    ),
    Command(
        name="energy-study",
        module="experiments.energy_study",
        says="joules of every way to share training, beside published findings",
    ),
    Command(name="reproduce", module="experiments.reproduce", says="which kept numbers moved?"),
    Command(name="conf", module="experiments.console.conf", says="list, find and copy configuration files"),
    Command(name="energy", module="experiments.metering", says="joules that meters read, and which meters work here"),
    Command(name="env", module="real_runtime.show_env", says="describe this machine, for a bug report"),
)
_MODULES = re.compile(
    "python -m (" + "|".join(sorted((re.escape(each.module) for each in COMMANDS), reverse=True)) + r")(?![\w.]\w)"
)


def as_typed(text: str) -> str:
    """A text that names our modules as commands, in the words of the command that was started."""
    if Path(sys.argv[0]).name != NAME:
        return text
    names = {each.module: each.name for each in reversed(COMMANDS)}  # of two with one module, the first
    return _MODULES.sub(lambda found: f"{NAME} {names[found[1]]}", text).replace(f"{NAME} run -m ", f"{NAME} {SWEEP} ")


_INTERRUPTED, _TERMINATED = 128 + signal.SIGINT, 128 + signal.SIGTERM  # as a shell tells of them


class _ToldExit(SystemExit):
    """An end of which the user has been told."""


@contextmanager
def ending_in_words(what_then: str = "") -> Iterator[None]:
    """While a command runs: SIGTERM cleans up as Ctrl-C does, and either ends it with one line and its own exit code.

    ``what_then`` says what is left to do, behind the word for what happened. Once Python itself ends, all is done and
    said, so that neither is heard any more: Python gives them back to the kernel on its way out, which would kill it.
    """
    atexit.register(_hear_no_more)
    try:
        with terminable():
            yield
    except BaseException as error:
        behind = interruption_behind(error)
        if behind is None:
            raise
        by_hand = isinstance(behind, KeyboardInterrupt)
        print(f"{'interrupted' if by_hand else 'terminated'}{what_then}", file=sys.stderr)
        raise _ToldExit(_INTERRUPTED if by_hand else _TERMINATED) from None


def interruption_behind(error: BaseException) -> KeyboardInterrupt | SystemExit | None:
    """The Ctrl-C or SIGTERM that this is, or while whose clean-up it came; of one that was told already, none.

    A library that is torn out of the middle of a step may stumble over its own half-made state as it cleans up: what
    it says then is of no use to anybody.
    """
    each: BaseException | None = error
    while each is not None:
        if isinstance(each, _ToldExit):
            return None
        if isinstance(each, KeyboardInterrupt) or (isinstance(each, SystemExit) and each.code == _TERMINATED):
            return each
        each = each.__context__
    return None


def _hear_no_more() -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)


_OF_SIGPIPE = 141  # how a shell tells of a program that ended because nobody read on


@contextmanager
def reader_may_leave() -> Iterator[None]:
    """While a command runs: it ends without a word once nobody reads what it says, as behind ``| head``."""
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:
        if not nobody_reads():
            raise
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # where the rest goes when Python ends
        sys.exit(_OF_SIGPIPE)


def nobody_reads() -> bool:
    """Whether the standard output is a pipe whose other end was closed."""
    try:
        poll = select.poll()
        poll.register(sys.stdout.fileno(), 0)
        return any(event & select.POLLERR for _, event in poll.poll(0))
    except (OSError, ValueError):  # it is no file, or closed
        return False


def command_parser(module: str, about: str | None, **more: Any) -> argparse.ArgumentParser:
    """A parser that says what was typed, and the module's docstring as it is set."""
    return argparse.ArgumentParser(
        prog=as_typed(f"python -m {module}"),
        description=as_typed(about or ""),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        **more,
    )
