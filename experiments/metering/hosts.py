"""Which meter reads which hosts of a run, and what did it read? As the configuration says, for all devices or some."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from edgesim.cluster import Cluster
from edgesim.errors import MeterError
from edgesim.metered import Covers, MeterFacts, PowerLog, SyntheticMeter, TrueWatts
from edgesim.metered.activity import Activity
from edgesim.metered.joules import Window
from experiments.configuration.constructors import Config, build
from real_runtime.meters.meter import JobClock, LiveMeter, RecordedMeter
from real_runtime.meters.no_meter import NoMeter
from real_runtime.meters.sampling import Sampled, sampling
from real_runtime.testbeds.testbed import Testbed

Meter = LiveMeter | RecordedMeter | SyntheticMeter


@dataclass(frozen=True, slots=True, kw_only=True)
class HostMeter:
    """A meter, and the ranks whose hosts it reads together."""

    meter: Meter
    ranks: tuple[int, ...]

    @property
    def facts(self) -> MeterFacts:
        """What is known of the meter."""
        return self.meter.facts

    @property
    def is_live(self) -> bool:
        """Whether it is read while the run lasts."""
        return not isinstance(self.meter, RecordedMeter | SyntheticMeter)


def host_meters(cfg: Config, cluster: Cluster) -> tuple[HostMeter, ...]:
    """Return the meters of a configuration, without hosts that have none.

    What covers a machine reads all hosts at once that live on it, as emulated ones do; what covers processes, and a
    synthetic meter, each host by itself. Raises ValueError for a device or rank that the cluster lacks, MeterError for
    a meter that cannot be read here.
    """
    others: Mapping[str, Any] = build(cfg["meters"]) if cfg.get("meters") else {}
    names = [device.name for device in cluster.devices]
    if unknown := sorted(others.keys() - {*names, *map(str, range(len(names)))}):
        raise ValueError(
            f"meters are given for {unknown[0]!r}, cluster {cluster.name} has {', '.join(dict.fromkeys(names))} "
            "(say +meter@meters.NAME=... with one of these, or with the number of a rank)"
        )
    usual = build(cfg["meter"]) if cfg.get("meter") else NoMeter()
    ranks_of: dict[str, tuple[Any, list[int]]] = {}  # by what the meter is
    for rank, name in enumerate(names):
        meter = others.get(str(rank), others.get(name, usual))
        ranks_of.setdefault(repr(meter), (meter, []))[1].append(rank)
    found: list[HostMeter] = []
    for meter, ranks in ranks_of.values():
        if isinstance(meter, SyntheticMeter) or (_is_live(meter) and meter.facts.covers is Covers.PROCESS):
            found += [HostMeter(meter=meter, ranks=(rank,)) for rank in ranks]
        elif not isinstance(meter, NoMeter):
            found.append(_of_machine(meter, ranks, len(names)))
    return tuple(found)


def _is_live(meter: object) -> bool:
    return not isinstance(meter, RecordedMeter | SyntheticMeter | NoMeter)


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
    sampled: list[Sampled] = field(default_factory=list)

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
            elif isinstance(each.meter, RecordedMeter):
                found.append(_recorded(each.meter, each.ranks, clock))
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

    Raises MeterError where one cannot be read, ValueError where it would read something else: a machine in slow motion,
    which takes its joules in other seconds than the boards', or this machine in the place of hosts elsewhere.
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
                if not testbed.hosts.are_here:
                    raise ValueError(
                        f"{each.facts.source} would be read on this machine, and the hosts are elsewhere (read a meter "
                        "at their plugs: meter=wall_csv, or let tegrastats write a log there: meter=tegrastats_log)"
                    )
                assert not isinstance(each.meter, RecordedMeter | SyntheticMeter), "it is live"
                own = [testbed.coordinator.pids[rank] for rank in each.ranks]
                found.sampled.append(stack.enter_context(sampling(each.meter, each.ranks, own)))
        yield found
