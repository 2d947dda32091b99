"""Which clusters and settings are drawn? By the seed alone, so that a study goes on as it began, on any machine."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from omegaconf import DictConfig

from edgesim.cluster import Cluster, Network, Origin
from edgesim.intervals import WorkKind, kind_of
from edgesim.units import si
from experiments.configuration.command_line import composed
from experiments.configuration.constructors import estimated
from experiments.configuration.places import CODE
from experiments.configuration.setup import Setup, read_setup
from experiments.fidelity_study.asked import Asked, Case, Part
from experiments.fidelity_study.drawn_plans import OF_BLOCKS, OF_LAYERS, DrawnPlan, drawn_plans

CORE_FLOP_PER_S = 90e9  # assumed: of a core of this kind of machine; only which plans are drawn depends on it
_LATENCY_S, _GOODPUT = 1e-4, 0.956  # assumed: as conf/cluster/demo.yaml
_FEWEST_PLANS = 4  # of a setting, or another one is drawn
_TRIES = 10
_MODULES = CODE / "docs" / "templates"  # where the traced module is


@dataclass(frozen=True, slots=True, kw_only=True)
class DrawnCluster:
    """Hosts and their network.

    Attributes:
        number: in the order in which clusters are played.
        part: what its plans are used for.
        fractions: [rank] the speed of each host as a fraction of a core.
        rate_bit_per_s: of every NIC, each way.
    """

    number: int
    part: Part
    fractions: tuple[float, ...]
    rate_bit_per_s: float

    @property
    def cluster(self) -> Cluster:
        """The hosts: demo-fast's memory and watts, and speeds in proportion to their fractions."""
        like = _read(()).cluster.devices[0]
        devices = tuple(
            replace(like, name=f"host-{rank}", flop_per_s=fraction * CORE_FLOP_PER_S, source="drawn")
            for rank, fraction in enumerate(self.fractions)
        )
        network = Network.switched(
            transmit_bytes_per_s=[self.rate_bit_per_s * si("1 bit/s")] * len(devices),
            latency_s=_LATENCY_S,
            goodput=_GOODPUT,
            origin=Origin.ASSUMED,
            source="Ethernet at its line rate",
        )
        return Cluster(name=f"drawn-{self.number}", devices=devices, network=network)


@dataclass(frozen=True, slots=True, kw_only=True)
class DrawnSetting:
    """A model with a workload on a cluster, and the plans that are executed there."""

    on: DrawnCluster
    number: int
    case: str
    words: tuple[str, ...]
    kind: WorkKind
    plans: tuple[DrawnPlan, ...]

    @property
    def key(self) -> str:
        """Its name among all."""
        return f"{self.on.number:02d}_{self.number}"


def drawn_clusters(asked: Asked) -> list[DrawnCluster]:
    """All clusters, the parts evenly mixed, so that a study that is cut short has some of each."""
    counts = {part: count for part, count in asked.clusters.items() if count}
    places = [((i + 0.5) / count, part) for part, count in counts.items() for i in range(count)]
    return [_cluster(asked, number, part) for number, (_, part) in enumerate(sorted(places))]


def _cluster(asked: Asked, number: int, part: Part) -> DrawnCluster:
    random = np.random.default_rng([asked.seed, number])
    hosts = int(random.choice(asked.hosts))
    fastest = random.uniform(*asked.fastest)
    speeds = [fastest, *(fastest / asked.ratio ** random.uniform(0, 1, hosts - 1))]
    share = min(1.0, asked.cores / sum(speeds))
    fractions = tuple(round(float(each * share), 3) for each in random.permutation(speeds))
    rate = float(random.choice(asked.rates_bit_per_s))
    return DrawnCluster(number=number, part=part, fractions=fractions, rate_bit_per_s=rate)


def drawn_settings(asked: Asked, clusters: Sequence[DrawnCluster]) -> Iterator[DrawnSetting]:
    """The settings of all clusters, in the order in which they are played.

    Of each part every case gets its turn: the one that was drawn least for its weight so far comes next.
    """
    drawn = {part: Counter[str]() for part in Part}
    for cluster in clusters:
        for number in range(asked.settings):
            yield _setting(asked, cluster, number, drawn[cluster.part])


def _setting(asked: Asked, on: DrawnCluster, number: int, drawn: Counter[str]) -> DrawnSetting:
    random = np.random.default_rng([asked.seed, on.number, 1 + number])
    turns = sorted(random.permutation(len(asked.cases)), key=lambda i: _turn(asked.cases[i], drawn))
    for _ in range(_TRIES):
        for turn in turns:
            case = asked.cases[turn]
            words = _words(case, random)
            setup = setup_of(words, on.cluster)
            strategies = (*(OF_LAYERS if case.layers else ()), *(OF_BLOCKS if case.blocks else ()))
            plans = drawn_plans(setup, strategies, random, count=asked.plans, most_s=asked.most_s)
            if len(plans) >= min(_FEWEST_PLANS, asked.plans):
                drawn[case.name] += 1
                kind = kind_of(setup.workload)
                return DrawnSetting(on=on, number=number, case=case.name, words=words, kind=kind, plans=tuple(plans))
    raise ValueError(
        f"fidelity_study: no case has {_FEWEST_PLANS} plans within most_s={asked.most_s:g} on {on.cluster} (raise it)"
    )


def _turn(case: Case, drawn: Counter[str]) -> float:
    return (drawn[case.name] + 0.5) / case.weight


def _words(case: Case, random: np.random.Generator) -> tuple[str, ...]:
    batch, micro = case.batches[random.integers(len(case.batches))]
    sizes = {"batch_samples": batch, "micro_batch_samples": micro}
    sizes |= {name: int(random.choice(known)) for name in ("tokens", "new_tokens") if (known := getattr(case, name))}
    return (*case.words, *(f"workload.{name}={size}" for name, size in sizes.items()))


def setup_of(words: Sequence[str], cluster: Cluster) -> Setup:
    """The nouns of a setting on a cluster, with estimated seconds: a profile and a network are measured later."""
    setup = _read(tuple(words))
    known = estimated(model=setup.model, cluster=cluster, workload=setup.workload)
    return replace(setup, cluster=cluster, profile=known)


def configuration_of(words: Sequence[str]) -> DictConfig:
    """The configuration of a setting."""
    cfg: DictConfig = composed(*words, folders=[str(_MODULES)])
    return cfg


@lru_cache(maxsize=100)
def _read(words: tuple[str, ...]) -> Setup:
    return read_setup(configuration_of(words))
