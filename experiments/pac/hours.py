"""How long does every system fine-tune every model for every task? Each cell's job is planned and simulated."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass

from edgesim.errors import EdgesimError
from edgesim.job import Activity, JobTrace, measure_job
from edgesim.simulator import simulate_job
from edgesim.units import si
from experiments.asteroid.terms import terms_of
from experiments.configuration.command_line import composed
from experiments.configuration.setup import Prepared, prepare
from experiments.jobs.asked import job_of, read_job
from experiments.pac.settings import PROVEN, TASKS, Cell, Task, cells, words

_HOUR_S = si("1 h")
_GIB = si("1 GiB")


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A job, or why there is none.

    Attributes:
        iteration_s: of the first epoch, cached_iteration_s of those from the cache.
        computing_s: of the whole job; the rank computes that computes longest.
        all_reduce_s: it does not compute, but takes part in an all-reduce.
        waiting_s: neither: bubbles of a pipeline, messages, and the disk.
        moving_s: redistribution, with what hosts need for it.
        peak_gib: of the device that needs most, before there is a cache and after.
    """

    model: str
    system: str
    technique: str
    task: str
    epochs: int
    status: str
    hours: float | None = None
    iteration_s: float | None = None
    cached_iteration_s: float | None = None
    computing_s: float | None = None
    all_reduce_s: float | None = None
    waiting_s: float | None = None
    moving_s: float | None = None
    peak_gib: float | None = None
    cached_peak_gib: float | None = None
    devices_per_stage: str = ""
    micro_batch: int | None = None
    plan: str = ""
    proof: str = ""
    reason: str = ""


def hours(chosen: Sequence[Cell] | None = None, tasks: Sequence[Task] = TASKS) -> Iterator[Row]:
    """Rows of cells, task by task; where one cannot be planned, no task can."""
    for cell in cells() if chosen is None else chosen:
        for task in tasks:
            yield row_of(cell, task)


def row_of(cell: Cell, task: Task) -> Row:
    """Plan a job and simulate it."""
    where = {**cell._asdict(), "task": task.name, "epochs": task.epochs}
    cfg = composed(*words(cell, task))
    try:
        prepared = prepare(cfg)
        job = job_of(cfg, spec := read_job(cfg), prepared)
    except EdgesimError as error:
        return Row(**where, status="out of memory", reason=str(error))
    setup = prepared.setup
    nouns = {"cluster": setup.cluster, "model": setup.model, "workload": setup.workload}
    trace = simulate_job(job, **nouns, profile=setup.profile, host_costs=spec.host_costs)
    peaks = [max(peak) / _GIB for peak in measure_job(trace, **nouns).peak_bytes]
    training = list(trace.of(Activity.TRAINING))
    return Row(
        **where,
        status="done",
        hours=trace.end_s / _HOUR_S,
        iteration_s=training[0].seconds / training[0].count,
        cached_iteration_s=training[1].seconds / training[1].count if len(training) > 1 else None,
        **_terms(trace, len(setup.cluster.devices)),
        peak_gib=peaks[0],
        cached_peak_gib=peaks[1] if len(peaks) > 1 else None,
        **_planned(cell, prepared),
    )


def _planned(cell: Cell, prepared: Prepared) -> dict[str, object]:
    plan = prepared.plan
    gap = plan.proof.gap if plan.proof is not None and cell.system == PROVEN else None
    return {
        "devices_per_stage": "-".join(str(len(stage.ranks)) for stage in plan.stages),
        "micro_batch": plan.micro_batch_samples,
        "plan": str(plan),
        "proof": "" if gap is None else f"job time within {gap:.1g}",
    }


def _terms(trace: JobTrace, ranks: int) -> dict[str, float]:
    total = {"computing_s": 0.0, "all_reduce_s": 0.0, "waiting_s": 0.0}
    for span in trace.of(Activity.TRAINING):
        assert span.trace is not None, "whole iterations are kept"
        for name, seconds in asdict(terms_of(span.trace, ranks)).items():
            total[name] += span.count * seconds
    return total | {"moving_s": trace.end_s - trace.seconds(Activity.TRAINING)}
