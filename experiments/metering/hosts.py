"""Which meter reads which hosts of a run, and what did it read? As the configuration says, for all devices or some.

Hosts of their own have meters of their own: their agents read them. Emulated ones share this machine's.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol, cast

import numpy as np

from edgesim.cluster import Cluster
from edgesim.errors import MeterError
from edgesim.metered import Covers, MeterFacts, PowerLog, SyntheticMeter, TrueWatts
from edgesim.metered.activity import Activity
from edgesim.metered.joules import Window
from experiments.configuration.constructors import Config, build
from real_runtime.meters.by_name import as_told
from real_runtime.meters.meter import JobClock, LiveMeter, RecordedMeter
from real_runtime.meters.no_meter import NoMeter
from real_runtime.meters.sampling import sampling
from real_runtime.ssh.hosts import SshHosts
from real_runtime.ssh.inventory import Host
from real_runtime.testbeds.testbed import Testbed

Meter = LiveMeter | RecordedMeter | SyntheticMeter


class Sampling(Protocol):
    """What is read while the run lasts, here or on a host."""

    @property
    def facts(self) -> MeterFacts:
        """What is known of the meter."""

    @property
    def ranks(self) -> tuple[int, ...]:
        """Whose hosts it reads."""

    def log(self) -> PowerLog:
        """What was read so far."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HostMeter:
    """A meter, and the ranks whose hosts it reads together; ``is_far``: it hangs on a host that is not this machine."""

    meter: Meter
    ranks: tuple[int, ...]
    is_far: bool = False

    @property
    def facts(self) -> MeterFacts:
        """What is known of the meter; of a far one its host says it, while it is read (:attr:`Metering.facts`)."""
        assert not self.is_far, "its host knows"
        return self.meter.facts

    @property
    def is_live(self) -> bool:
        """Whether it is read while the run lasts."""
        return _is_live(self.meter)


def host_meters(cfg: Config, cluster: Cluster) -> tuple[HostMeter, ...]:
    """Return the meters of a configuration, without hosts that have none.

    Of hosts over SSH each has its own: the inventory's, or what ``meter`` and ``meters`` say instead. What covers a
    machine reads all emulated hosts at once, which live on it; what covers processes, and a synthetic meter, each by
    itself. Raises ValueError for a device or rank that the cluster lacks, MeterError for a meter that cannot be read
    here.
    """
    others: Mapping[str, Any] = build(cfg["meters"]) if cfg.get("meters") else {}
    names = [device.name for device in cluster.devices]
    if unknown := sorted(others.keys() - {*names, *map(str, range(len(names)))}):
        raise ValueError(
            f"meters are given for {unknown[0]!r}, cluster {cluster.name} has {', '.join(dict.fromkeys(names))} "
            "(say +meter@meters.NAME=... with one of these, or with the number of a rank)"
        )
    usual = build(cfg["meter"]) if cfg.get("meter") else None
    inventory = _inventory(cfg)
    own = [None if host is None else host.read_by for host in _first(inventory or [], len(names))]
    meter_of = [
        others.get(str(rank), others.get(name, usual or own[rank] or NoMeter())) for rank, name in enumerate(names)
    ]
    ranks_of: dict[str, tuple[Any, list[int]]] = {}  # by what the meter is
    for rank, meter in enumerate(meter_of):
        ranks_of.setdefault(repr(meter), (meter, []))[1].append(rank)
    found: list[HostMeter] = []
    for meter, ranks in ranks_of.values():
        if isinstance(meter, NoMeter):
            continue
        if inventory is not None and _is_live(meter):
            as_told(meter)  # refuses what does not travel, before anything starts
            found += [HostMeter(meter=meter, ranks=(rank,), is_far=True) for rank in ranks]
        elif isinstance(meter, SyntheticMeter) or (_is_live(meter) and meter.facts.covers is Covers.PROCESS):
            found += [HostMeter(meter=meter, ranks=(rank,)) for rank in ranks]
        else:
            found.append(_of_machine(meter, ranks, len(names)))
    return tuple(sorted(found, key=lambda each: each.ranks))


def _inventory(cfg: Config) -> list[Host] | None:
    """The hosts over SSH, in the order of ranks; None where hosts are emulated."""
    testbed = cfg.get("testbed")
    if not testbed or testbed.get("kind") != "ssh":
        return None
    return list(build(testbed).hosts.values())


def _first(hosts: Sequence[Host], ranks: int) -> list[Host | None]:
    """[rank] Its host; too few are refused when they are reached."""
    return [hosts[rank] if rank < len(hosts) else None for rank in range(ranks)]


def _is_live(meter: object) -> bool:
    # By its method: to ask a protocol is to ask for its facts, which a far meter does not know here (Python 3.11).
    return not (isinstance(meter, SyntheticMeter | NoMeter) or hasattr(meter, "log"))


def _of_machine(meter: Any, ranks: Sequence[int], hosts: int) -> HostMeter:
    """One meter for all of these. Raises ValueError where it reads the machine on which other hosts live as well."""
    if _is_live(meter) and len(ranks) < hosts:
        raise ValueError(
            f"{meter.facts.source} covers the {meter.facts.covers}, on which all {hosts} emulated hosts live: it "
            "cannot read some of them (say meter=... for all of them, or meter=cpu_time for each)"
        )
    return HostMeter(meter=meter, ranks=tuple(ranks))


def power_file(log: PowerLog) -> str:
    """The name of a power log's file: ``power_0.csv`` of rank 0, ``power_0-1-2.csv`` of three ranks' machine."""
    return f"power_{'-'.join(map(str, log.ranks))}.csv"


@dataclass(slots=True, kw_only=True)
class Metering:
    """The meters of a run that is going on, or has ended."""

    meters: Sequence[HostMeter]
    cluster: Cluster
    sampled: list[Sampling] = field(default_factory=list)

    @property
    def told(self) -> list[str]:
        """Which meter reads which ranks, for people."""
        known = [(each.ranks, each.facts) for each in self.sampled]
        known += [(each.ranks, each.facts) for each in self.meters if not each.is_live]
        return [
            f"meter of rank{'s' * (len(ranks) > 1)} {', '.join(map(str, ranks))}: {facts}"
            for ranks, facts in sorted(known, key=lambda each: each[0])
        ]

    def logs(self, activity: Callable[[int], Activity], windows: Sequence[Window]) -> tuple[PowerLog, ...]:
        """Return what was read: live by threads, by records of others, and reckoned for synthetic meters.

        ``activity`` is what a rank's host did in these windows, which only synthetic meters need to know.
        """
        clock, found = JobClock.now(), [each.log() for each in self.sampled]
        for each in self.meters:
            if isinstance(each.meter, SyntheticMeter):
                (rank,) = each.ranks
                watts = TrueWatts.of(self.cluster.devices[rank].power)
                found.append(each.meter.read_activity(activity(rank), windows, watts, rank))
            elif not each.is_live:
                found.append(_recorded(cast(RecordedMeter, each.meter), each.ranks, clock))
        return tuple(sorted(found, key=lambda log: log.ranks))


def _recorded(meter: RecordedMeter, ranks: tuple[int, ...], clock: JobClock) -> PowerLog:
    """What a record says; one that cannot be read has no readings and says why: the run that it goes with is done."""
    try:
        return meter.log(ranks, clock)
    except (MeterError, ValueError, OSError) as error:
        nothing = np.zeros(0)
        return PowerLog(facts=meter.facts, ranks=ranks, at_s=nothing, value=nothing, notes=(str(error),))


@contextmanager
def metering(meters: Sequence[HostMeter], testbed: Testbed) -> Iterator[Metering]:
    """Read live meters of a testbed's hosts until it is left.

    Raises MeterError where one cannot be read, ValueError for a machine in slow motion, which takes its joules in other
    seconds than the boards'; RunError where a host is lost.
    """
    with ExitStack() as stack:
        found = Metering(meters=meters, cluster=testbed.cluster)
        for each in meters:
            if testbed.spec.slow_motion > 1 and not isinstance(each.meter, SyntheticMeter):
                raise ValueError(
                    f"testbed.slow_motion={testbed.spec.slow_motion:g}: a meter reads this machine, which takes its "
                    "joules in other seconds than the boards' (testbed.slow_motion=1, or meter=synthetic)"
                )
            if each.is_live:
                found.sampled.append(stack.enter_context(_sampling(each, testbed)))
        yield found


def _sampling(of: HostMeter, testbed: Testbed) -> AbstractContextManager[Sampling]:
    """Read a live meter where it hangs."""
    meter = cast(LiveMeter, of.meter)
    if of.is_far:
        assert isinstance(testbed.hosts, SshHosts), "they are named by an inventory"
        (rank,) = of.ranks
        return testbed.hosts.far[rank].meter.sampling(meter, of.ranks)
    return sampling(meter, of.ranks, [testbed.coordinator.pids[rank] for rank in of.ranks])
