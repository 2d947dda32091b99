"""When is a cache worth its disk? Jobs with and without one: epochs, bandwidth, disks and precision of what is kept."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from edgesim.cached_outputs import Storage, kept_bytes
from edgesim.cached_training.phases import CachedTraining
from edgesim.cluster import Cluster
from edgesim.job import Phase
from edgesim.units import si
from experiments.configuration.command_line import composed
from experiments.configuration.setup import Prepared, Setup, prepare
from experiments.pac.settings import PAC, PAC_MICRO_BATCH, SYSTEMS, TASKS, nanos

_MODELS = ("T5-Base", "BART-Large")
_RATES = ("250 Mbit/s", "500 Mbit/s", "1000 Mbit/s")
_DISKS = ("2 MB/s", "5 MB/s", "10 MB/s", "20 MB/s", "40 MB/s", "80 MB/s", "160 MB/s", "320 MB/s", "640 MB/s")
_EPOCHS = (2, 3, 5, 10)
_GIB = si("1 GiB")


@dataclass(frozen=True, slots=True, kw_only=True)
class Worth:
    """A cluster and a cache, and what it changes.

    Attributes:
        disk_gib: what the device with most writes in the first epoch.
        filling_s: of an iteration that fills the cache, computed_s of one without any, cached_s of one from it.
        redistribution_s: once.
        pays_after_epochs: epochs, in fractions, after which the job is faster; infinite where it never is.
        saved_in_N: the share of time that it saves in so many epochs; negative where it costs time.
    """

    model: str
    bandwidth_bit_per_s: float
    disk_bytes_per_s: float
    storage: str
    disk_gib: float
    filling_s: float
    computed_s: float
    cached_s: float
    redistribution_s: float
    iterations: int
    pays_after_epochs: float
    saved_in_2: float
    saved_in_3: float
    saved_in_5: float
    saved_in_10: float


def worths() -> Iterator[Worth]:
    """Every cell; the plan of the first epoch is PAC's, which knows no disk."""
    for model in _MODELS:
        for rate in _RATES:
            words = nanos(model, micro_batch=PAC_MICRO_BATCH[model])
            prepared = prepare(composed(*SYSTEMS[PAC], *words, f"network.rate={rate}"))
            for disk in _DISKS:
                for storage in Storage:
                    yield worth(prepared, model=model, rate=rate, disk_bytes_per_s=si(disk), storage=storage)


def worth(prepared: Prepared, *, model: str, rate: str, disk_bytes_per_s: float, storage: Storage) -> Worth:
    """Compare epochs of the first task with such disks."""
    iterations = -(-TASKS[0].samples // prepared.setup.workload.batch_samples)
    setup = replace(prepared.setup, cluster=_with_disks(prepared.setup.cluster, disk_bytes_per_s))
    training = CachedTraining(problem=setup.problem, first=prepared.plan, iterations=iterations, storage=storage)
    filling, cached = training.phases(training.evenly(), epochs=2)
    filling_s, computed_s = _seconds(setup, filling), setup.simulate(prepared.schedule).makespan_s
    later = replace(setup, model=training.later.model, profile=training.later.profile)
    cached_s = _seconds(later, cached)
    moved_s = setup.simulate(cached.arrival.schedule).makespan_s if cached.arrival is not None else 0.0

    def saved(epochs: int) -> float:
        with_it = iterations * (filling_s + (epochs - 1) * cached_s) + moved_s
        return 1 - with_it / (iterations * epochs * computed_s)

    more_s, less_s = iterations * (filling_s - computed_s) + moved_s, iterations * (computed_s - cached_s)
    return Worth(
        model=model,
        bandwidth_bit_per_s=8 * si(rate),
        disk_bytes_per_s=disk_bytes_per_s,
        storage=str(storage),
        disk_gib=_most_written(prepared, iterations, storage) / _GIB,
        filling_s=filling_s,
        computed_s=computed_s,
        cached_s=cached_s,
        redistribution_s=moved_s,
        iterations=iterations,
        pays_after_epochs=1 + more_s / less_s if less_s > 0 else float("inf"),
        **{f"saved_in_{epochs}": saved(epochs) for epochs in _EPOCHS},
    )


def _with_disks(cluster: Cluster, bytes_per_s: float) -> Cluster:
    devices = tuple(replace(device, disk_bytes_per_s=bytes_per_s) for device in cluster.devices)
    return replace(cluster, devices=devices)


def _seconds(setup: Setup, phase: Phase) -> float:
    return setup.simulate(phase.schedule).makespan_s


def _most_written(prepared: Prepared, iterations: int, storage: Storage) -> float:
    plan, workload = prepared.plan, prepared.setup.workload
    return max(
        iterations
        * plan.micro_batches
        * kept_bytes(
            prepared.setup.model, stage.layers, samples=max(stage.samples), tokens=workload.tokens, storage=storage
        )
        for stage in plan.stages
    )
