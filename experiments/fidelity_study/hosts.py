"""On which hosts do a drawn cluster's plans run? Emulated by the testbed, or of a lab with an sshd each."""

import contextlib
from collections.abc import Iterator
from dataclasses import replace

from edgesim.errors import RunError
from edgesim.scratch import scratch_folder
from edgesim.units import mbit_per_s, si
from experiments.fidelity_study.draws import DrawnCluster
from experiments.testbed.lab import lab, problem
from real_runtime.testbeds.spec import TestbedSpec

_AHEAD_S = 0.05  # of ours, or behind, host by host: clocks of boards differ too


def refuse_unfit(spec: TestbedSpec) -> None:
    """Raise ValueError for hosts that are not as they are drawn, RunError where a lab cannot be raised."""
    if spec.hosts:
        raise ValueError(
            "fidelity_study: clusters are drawn, and the hosts of an inventory are what they are (testbed=ssh raises "
            "a lab on this machine for each cluster; or validate your own: python -m experiments.validate)"
        )
    if spec.kind == "ssh" and (why := problem()) is not None:
        raise RunError(f"no lab of hosts with sshd can be raised here: {why} (use testbed=netns)")


@contextlib.contextmanager
def hosts_of(on: DrawnCluster, spec: TestbedSpec) -> Iterator[TestbedSpec]:
    """The testbed of a cluster, as fast as was drawn; over SSH its hosts are there as long as this lasts."""
    spec = replace(spec, fractions=on.fractions)
    if spec.kind != "ssh":
        yield spec
        return
    rates = [mbit_per_s(on.rate_bit_per_s * si("1 bit/s"))] * len(on.fractions)
    ahead_s = [(-1) ** rank * _AHEAD_S for rank in range(len(rates))]
    with scratch_folder() as folder, lab(folder, len(rates), mbit_per_s=rates, ahead_s=ahead_s) as raised:
        reaching = replace(spec.reaching, ssh_config=str(raised.folder / "config"))
        yield replace(spec, hosts=raised.hosts(), reaching=reaching)
