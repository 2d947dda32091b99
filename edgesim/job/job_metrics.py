"""What did a job mean? Time, samples, energy, bytes and memory as folds over its trace, whoever played it.

Definitions, for a job that ends at T, of iterations of S samples:

    trained_samples     S x iterations that count: each once, however often it was played
    redone_samples      S x iterations that had been done before, and were lost with who held them
    discarded_samples   S x iterations that a loss ended before their commit
    goodput             trained_samples / T
    energy              of traces as energy.py says, times their count; all devices idle for the rest of T, for nobody
                        knows whether one that is gone is switched off
    bytes               that ranks put on the wire in what was played to its end, by payload; a ring's by its operation
    peak_bytes          of a rank between two recoveries, and of each model that is trained there: that of its
                        iterations, and the copies that it keeps beside:
                        its own snapshot, and what it backs up, where backups are sent or a recovery has just been
"""

from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from itertools import groupby
from typing import Any

from edgesim.cluster import Cluster
from edgesim.computing_power import ComputingPower
from edgesim.energy import STATES, energy_by_state_j, wire_bytes
from edgesim.footprint import Footprints
from edgesim.job.job_trace import Activity, JobSpan, JobTrace, Resumption
from edgesim.memory import carried_bytes
from edgesim.model import Model
from edgesim.schedule import Op, Payload
from edgesim.trace import RankSpans, Trace
from edgesim.workload import Workload

Traces = Sequence[tuple[Trace, int]]  # every trace once, and how often it was played


@dataclass(frozen=True, slots=True, kw_only=True)
class RecoveryMetrics:
    """How a job went on after a change: seconds by what it was at, and samples per second of training.

    ``pause_s`` is from the change until training goes on; rates are None where nothing was trained.
    """

    change: str
    says: str
    at_s: float
    pause_s: float
    detection_s: float
    planning_s: float
    reconnection_s: float
    migration_s: float
    refill_s: float
    restart_s: float
    waiting_s: float
    redone_iterations: int
    samples_per_s_before: float | None
    samples_per_s_after: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class JobMetrics:
    """The figures of a job; ``peak_bytes`` are by rank, for each plan in turn; joules are of all devices."""

    player: str
    end_s: float
    iterations: int
    trained_samples: int
    redone_samples: int
    discarded_samples: int
    goodput_samples_per_s: float
    seconds_by_activity: dict[str, float]
    recoveries: tuple[RecoveryMetrics, ...]
    energy_by_state_j: dict[str, float]
    energy_j: float
    bytes_by_payload: dict[str, int]
    peak_bytes: tuple[tuple[float, ...], ...]

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for JSON."""
        return asdict(self)


def measure_job(trace: JobTrace, *, cluster: Cluster, model: Model, workload: Workload) -> JobMetrics:
    """Compute the metrics of a job's trace. Raises ValueError for one that takes no time."""
    if not trace.end_s > 0:
        raise ValueError(f"nothing to measure: {len(trace.spans)} spans of a job take {trace.end_s:g} s")
    working = list(trace.of(Activity.TRAINING, Activity.MIGRATION, Activity.REFILL))
    parts, played = _between_recoveries(trace), _played(working)
    training = list(trace.of(Activity.TRAINING))
    redone = sum(span.redone for span in training)
    iterations = sum(span.count for span in training) - redone
    trained = {id(span.trace): span.model or model for span in working}
    energy = _energy_by_state_j(played, trace.end_s, cluster, trained, workload.tokens)
    return JobMetrics(
        player=trace.player,
        end_s=trace.end_s,
        iterations=iterations,
        trained_samples=iterations * trace.batch_samples,
        redone_samples=redone * trace.batch_samples,
        discarded_samples=len(list(trace.of(Activity.LOST))) * trace.batch_samples,
        goodput_samples_per_s=iterations * trace.batch_samples / trace.end_s,
        seconds_by_activity={str(activity): trace.seconds(activity) for activity in Activity},
        recoveries=tuple(
            _recovery(resumption, parts[i], parts[i + 1], trace.batch_samples)
            for i, resumption in enumerate(trace.resumptions)
        ),
        energy_by_state_j=energy,
        energy_j=sum(energy.values()),
        bytes_by_payload=_bytes_by_payload(played),
        peak_bytes=tuple(
            _peak_bytes(
                spans, cluster, own or model, workload, recovered=i > 0 and trace.resumptions[i - 1].version > 0
            )
            for i, part in enumerate(parts)
            for own, spans in _by_model(part)
        ),
    )


def _between_recoveries(trace: JobTrace) -> list[list[JobSpan]]:
    """The spans until training goes on after a change, and those behind the last one."""
    resumed_s = [resumption.resumed_s for resumption in trace.resumptions]
    parts: list[list[JobSpan]] = [[] for _ in range(len(resumed_s) + 1)]
    for span in trace.spans:
        parts[bisect_right(resumed_s, span.start_s)].append(span)
    return parts


def _played(spans: Iterable[JobSpan]) -> Traces:
    traces, counts = dict[int, Trace](), Counter[int]()
    for span in spans:
        if span.trace is not None:
            traces[id(span.trace)] = span.trace
            counts[id(span.trace)] += span.count
    return [(trace, counts[number]) for number, trace in traces.items()]


def _recovery(
    resumption: Resumption, before: Sequence[JobSpan], after: Sequence[JobSpan], batch_samples: int
) -> RecoveryMetrics:
    def seconds(activity: Activity) -> float:
        return sum(span.seconds for span in before if span.activity is activity)

    return RecoveryMetrics(
        change=str(resumption.change),
        says=resumption.says,
        at_s=resumption.change.at_s,
        pause_s=resumption.resumed_s - resumption.change.at_s,
        detection_s=seconds(Activity.DETECTION),
        planning_s=seconds(Activity.PLANNING),
        reconnection_s=seconds(Activity.REGROUPING),
        migration_s=seconds(Activity.MIGRATION),
        refill_s=seconds(Activity.REFILL),
        restart_s=seconds(Activity.RESTART),
        waiting_s=seconds(Activity.WAITING),
        redone_iterations=resumption.done - resumption.version,
        samples_per_s_before=_samples_per_s(before, batch_samples),
        samples_per_s_after=_samples_per_s(after, batch_samples),
    )


def _samples_per_s(spans: Sequence[JobSpan], batch_samples: int) -> float | None:
    training = [span for span in spans if span.activity is Activity.TRAINING]
    seconds = sum(span.seconds for span in training)
    return batch_samples * sum(span.count for span in training) / seconds if seconds > 0 else None


def _energy_by_state_j(
    played: Traces, end_s: float, cluster: Cluster, trained: Mapping[int, Model], tokens: int
) -> dict[str, float]:
    """``trained`` is the model of each trace, by its identity."""
    energy = dict.fromkeys(STATES, 0.0)
    power_of = cache(lambda number: ComputingPower(cluster.devices, models[number], tokens))
    models = {id(model): model for model in trained.values()}
    for rank, device in enumerate(cluster.devices):
        rest_s = end_s
        for trace, count in played:
            rest_s -= count * trace.makespan_s
            own = trace.of_rank(rank)
            by_state = energy_by_state_j(
                own,
                device.power,
                trace.makespan_s,
                last_s=trace.last_s,
                computing=power_of(id(trained[id(trace)])),
            )
            for state, joules in by_state.items():
                energy[state] += count * joules
        energy["waiting"] += device.power.idle_w * rest_s
        energy["static"] += device.power.static_w * rest_s
    return energy


def _bytes_by_payload(played: Traces) -> dict[str, int]:
    total: dict[str, int] = defaultdict(int)
    for trace, count in played:
        for spans in trace.ranks:
            for kind, often in spans.counts():
                if nbytes := wire_bytes(kind):
                    total[str(kind.payload or kind.op).lower()] += nbytes * often * count
    return dict(total)


def _by_model(part: Sequence[JobSpan]) -> list[tuple[Model | None, list[JobSpan]]]:
    """What was trained in a part, apart where another model follows; one entry without spans where nothing was."""
    training = (span for span in part if span.activity is Activity.TRAINING)
    found = [(spans[0].model, spans) for spans in (list(run) for _, run in groupby(training, lambda s: id(s.model)))]
    return found or [(None, [])]


def _peak_bytes(
    training: Sequence[JobSpan], cluster: Cluster, model: Model, workload: Workload, *, recovered: bool
) -> tuple[float, ...]:
    """[rank] what it holds at most in these iterations."""
    traces = [trace for trace, _ in _played(training)]
    footprints = Footprints(model, workload)
    backups = [_backed_up_bytes(traces, rank) for rank in range(len(cluster.devices))]
    keeps = recovered or any(backups)
    peaks = []
    for rank, device in enumerate(cluster.devices):
        spans = [trace.of_rank(rank) for trace in traces]
        held = max((footprints.peak_bytes(own, device) for own in spans), default=0.0)
        kept = max((_state_bytes(own, model, workload) for own in spans), default=0.0) if keeps else 0.0
        peaks.append(held + kept + backups[rank])
    return tuple(peaks)


def _backed_up_bytes(traces: Sequence[Trace], rank: int) -> float:
    """What a rank receives of backups in an iteration that sends them."""

    def received(spans: RankSpans) -> float:
        counts = spans.counts()
        return sum(k.nbytes * often for k, often in counts if k.op is Op.RECV and k.payload is Payload.WEIGHTS)

    return max((received(trace.of_rank(rank)) for trace in traces), default=0.0)


def _state_bytes(spans: RankSpans, model: Model, workload: Workload) -> float:
    """The state of the layers that a rank updates, once."""
    layers = {layer for kind in spans.kinds if kind.op is Op.UPDATE for layer in range(*kind.layers)}
    return sum(carried_bytes(model.layers[layer], workload) for layer in sorted(layers))
