"""How does a cluster come up? Hosts, emulated here or reached over SSH, and a rank on each, as fast as its device."""

import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from importlib.util import find_spec

from edgesim.cluster import Cluster, Device, Topology
from edgesim.errors import RunError
from edgesim.model import BlockKind
from edgesim.units import show
from real_runtime.control.coordinator import Coordinator
from real_runtime.control.evidence import Patience
from real_runtime.control.forking.client import RANK, fork_server
from real_runtime.control.interruptions import held_back, terminable
from real_runtime.control.rank_process import on_this_machine
from real_runtime.data import DataSpec
from real_runtime.pacing import MATRIX_FLOP
from real_runtime.ssh.hosts import ssh_hosts
from real_runtime.ssh.inventory import described, hosts_for
from real_runtime.testbeds import cgroups, loopback, netns
from real_runtime.testbeds.connecting import dilation, joins
from real_runtime.testbeds.core_speed import core_flop_per_s
from real_runtime.testbeds.shaping import nic_rates
from real_runtime.testbeds.spec import TestbedSpec
from real_runtime.testbeds.testbed import Choice, Testbed

# Share of the machine's cores that hosts may ask for together: the rest carries the network and the system.
_CORES_SHARE = 0.8

_FAR_GRACE_S = 2.0  # in which a host tells how its rank ended, over a line that may be slow

_LIBRARIES = ("torch", "transformers")  # that it loads, and we do not

logger = logging.getLogger(__name__)


@contextmanager
def open_testbed(spec: TestbedSpec, cluster: Cluster, data: DataSpec | None = None) -> Iterator[Testbed]:
    """Start a rank on every host; end and remove everything on leaving, also after an error or Ctrl-C.

    ``data`` is what ranks are to learn from, None where they only time things. Raises ValueError where the machine
    cannot emulate the cluster, hosts do not fit it, or would learn from different texts; RunError where ranks do not
    come up, ModuleNotFoundError without what they load.
    """
    with terminable(), ExitStack() as stack:
        yield _over_ssh(spec, cluster, stack, data) if spec.kind == "ssh" else _emulated(spec, cluster, stack)


def _over_ssh(spec: TestbedSpec, cluster: Cluster, stack: ExitStack, data: DataSpec | None) -> Testbed:
    """Ranks on hosts of their own."""
    _refuse_other_topologies(cluster)
    chosen, ranks = hosts_for(spec.hosts, cluster), len(cluster.devices)
    if spec.fractions is not None and len(spec.fractions) != ranks:
        raise ValueError(f"testbed: {len(spec.fractions)} fractions for {ranks} devices")
    hosts = stack.enter_context(ssh_hosts(chosen, spec.reaching, data))
    patience = replace(patience_of(spec), grace_s=_FAR_GRACE_S)
    with held_back():
        coordinator = Coordinator(hosts.start, ranks, patience=patience, called=hosts.called)
        stack.callback(coordinator.close)
    choice = Choice(kind="ssh", why=described(chosen))
    testbed = Testbed(spec, cluster, coordinator, hosts, choice)
    coordinator.ask(joins(testbed, range(ranks)))
    testbed.fractions = spec.fractions or (1.0,) * ranks
    coordinator.ask({rank: dilation(testbed, rank) for rank in range(ranks)})
    return testbed


def _emulated(spec: TestbedSpec, cluster: Cluster, stack: ExitStack) -> Testbed:
    """Ranks on hosts that this machine emulates."""
    for library in _LIBRARIES:
        if find_spec(library) is None:
            raise ModuleNotFoundError(f"No module named {library!r}", name=library)
    _refuse_other_topologies(cluster)
    if spec.fractions is not None:
        core_fractions(spec, cluster, None)  # refuses those that do not fit this machine
    ranks = len(cluster.devices)
    choice = choose(spec.kind)
    rates = nic_rates(cluster, spec.slow_motion)
    server = fork_server(RANK)  # loads while the hosts are made
    hosts: netns.NetnsHosts | loopback.LoopbackHosts = (
        stack.enter_context(netns.hosts(rates)) if choice.kind == "netns" else stack.enter_context(loopback.hosts())
    )
    groups = (
        stack.enter_context(cgroups.groups(ranks, throttle=spec.cpu_quota))
        if spec.cpu_quota or (spec.memory_limit and cgroups.available())
        else None
    )
    server.wait_until_ready()
    with held_back():
        coordinator = Coordinator(
            on_this_machine(server, [hosts.namespaces(rank) for rank in range(ranks)]),
            ranks,
            patience=patience_of(spec),
            group_oom_kills=lambda rank: 0 if groups is None else groups[rank].oom_kills(),
        )
        stack.callback(coordinator.close)
    testbed = Testbed(spec, cluster, coordinator, hosts, choice)
    coordinator.ask(joins(testbed, range(ranks)))
    _emulate_speed(testbed, groups)
    return testbed


def _refuse_other_topologies(cluster: Cluster) -> None:
    if cluster.network.topology is not Topology.SWITCHED:
        raise ValueError(
            f"the testbeds have switched networks, cluster {cluster.name} has topology {cluster.network.topology}"
        )


def patience_of(spec: TestbedSpec) -> Patience:
    """How long ranks may be silent: a quota keeps their threads from running, which looks like a lock that is held."""
    patience = Patience(deadline_s=spec.deadline_s)
    return replace(patience, silent_s=max(patience.silent_s, spec.deadline_s)) if spec.cpu_quota else patience


def _emulate_speed(testbed: Testbed, groups: Sequence[cgroups.Cgroup] | None) -> None:
    """Give each rank its device's speed and memory. Raises ValueError, RunError."""
    spec, devices, coordinator = testbed.spec, testbed.cluster.devices, testbed.coordinator
    flop_per_s = core_flop_per_s(coordinator, spec.disturbed_above) if spec.fractions is None else None
    testbed.fractions = core_fractions(spec, testbed.cluster, flop_per_s)
    if groups is not None:
        confine = testbed.confine = partial(_confine, testbed, groups)
        for rank in range(len(devices)):
            confine(rank)  # now that they are up: start-up is never throttled
    coordinator.ask({rank: dilation(testbed, rank) for rank in range(len(devices))})


def _confine(testbed: Testbed, groups: Sequence[cgroups.Cgroup], rank: int) -> None:
    """Put a rank's process into its cgroup."""
    spec, group = testbed.spec, groups[rank]
    if spec.cpu_quota:
        group.limit_cpu(testbed.fractions[rank])
    if spec.memory_limit:
        group.limit_memory(int(testbed.cluster.devices[rank].memory_bytes))
    group.add(testbed.coordinator.ranks[rank].pid)


def core_fractions(spec: TestbedSpec, cluster: Cluster, machine_flop_per_s: float | None) -> tuple[float, ...]:
    """Each host's share of one core: what was asked for, or by the FLOP/s of this machine's own.

    Raises ValueError if this machine is too slow or too small.
    """
    if spec.fractions is not None and len(spec.fractions) != len(cluster.devices):
        raise ValueError(f"testbed: {len(spec.fractions)} fractions for {len(cluster.devices)} devices")
    if spec.fractions is not None:
        wanted, core = spec.fractions, ""
    else:
        assert machine_flop_per_s is not None, "without fractions a core is timed"
        wanted = tuple(_sustained_flop_per_s(device) / machine_flop_per_s for device in cluster.devices)
        core = f"{show(machine_flop_per_s, 'FLOP/s')} each, "
    fractions = tuple(fraction / spec.slow_motion for fraction in wanted)
    cores = _CORES_SHARE * (len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)
    need = max(max(fractions), sum(fractions) / cores) * spec.slow_motion
    if need > spec.slow_motion:
        raise ValueError(
            f"testbed: the hosts ask for {', '.join(f'{f:.2f}' for f in fractions)} of a core "
            f"({core}{cores:g} cores to share): "
            f"set testbed.slow_motion={need * 1.05:.2g} or more"
        )
    return fractions


def _sustained_flop_per_s(device: Device) -> float:
    """The rate that the device sustains in a matrix product like the one that measures this machine."""
    return device.flop_per_s * device.efficiency_at(BlockKind.MLP, MATRIX_FLOP)


def choose(kind: str) -> Choice:
    """The testbed to use and why. Raises RunError if the one asked for does not work here."""
    if kind == "loopback":
        return Choice(kind="loopback", why="as asked: plain processes, messages paced in user space")
    problem = netns.problem()
    if problem is None:
        why = ", as asked" if kind == "netns" else ": the best that works here"
        return Choice(kind="netns", why=f"a network namespace per host{why}")
    if kind == "netns":
        raise RunError(f"testbed netns does not work here: {problem} (use testbed=loopback)")
    logger.info("netns does not work here: %s", problem)
    return Choice(kind="loopback", why=f"namespaces do not work here: {problem}")
