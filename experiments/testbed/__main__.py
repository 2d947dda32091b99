"""Look at the hosts of a physical testbed before anything runs there, all in one table; or raise some to try it out.

    python -m experiments.testbed check testbed=lab --config-dir my_conf
    python -m experiments.testbed lab cluster=four_hosts      # on this machine (root), until Ctrl-C

For each host of the inventory: whether it is reached, its host key, versions, memory, clock, network interface, swap
and governor; and below, what disturbs measurements there, with the command that mends it. It ends with code 1 where a
host cannot be used. docs/testbed.md leads from empty SD cards to the first validated plan.

A lab has a host in a network namespace for each device of the cluster, with its line rate, and an sshd, a host key and
files of its own; its inventory is RESULTS/lab/testbed/lab.yaml.
"""

import sys

from omegaconf import DictConfig
from rich.console import Console

from experiments.commands import as_typed
from experiments.configuration.command_line import run_command
from experiments.configuration.constructors import build
from experiments.testbed.raising import raise_lab
from experiments.testbed.table import host_table
from real_runtime.ssh.checking import checked
from real_runtime.testbeds.spec import TestbedSpec


def check(cfg: DictConfig) -> None:
    """Look, and say what was found."""
    spec: TestbedSpec = build(cfg.testbed)
    if not spec.hosts:
        raise ValueError(
            f"testbed.hosts is empty: testbed {spec.kind} names no hosts to look at (say testbed=NAME, of a file like "
            "conf/testbed/ssh.yaml with your hosts; docs/testbed.md)"
        )
    reports = checked(list(spec.hosts.items()), spec.reaching)
    console = Console()
    console.print(host_table(reports))
    for report in reports:
        for warning in report.warnings:
            console.print(f"{report.name}: {warning}", soft_wrap=True, markup=False, highlight=False)
    failures = [report.failure for report in reports if report.failure]
    for failure in failures:
        print(failure, file=sys.stderr)
    if failures:
        sys.exit(1)


VERBS = {"check": check, "lab": raise_lab}


def main() -> None:
    """Do what the first word says, with the other words as overrides."""
    words = sys.argv[1:]
    if not {"--help", "-h"} & set(words):
        if not words or words[0] not in VERBS:
            given = f"got {words[0]!r}" if words else "nothing is said"
            print(
                as_typed(f"python -m experiments.testbed: say one of {', '.join(VERBS)} first, {given}"),
                file=sys.stderr,
            )
            sys.exit(2)
        del sys.argv[1]
    run_command(VERBS.get(words[0], check), about=__doc__)


if __name__ == "__main__":
    main()
