"""What is executed? A schedule on the configured data; the first iteration warms up and is not counted."""

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path

from omegaconf import DictConfig

from edgesim.metered import PowerLog, TraceOnClock
from edgesim.metered.activity import activity_of
from edgesim.profile import Profile
from edgesim.scenario import NOTHING_HAPPENS, Scenario
from edgesim.schedule import Schedule
from edgesim.trace import Trace
from experiments.configuration.constructors import build
from experiments.configuration.setup import Prepared, Setup, nominal_cluster, refuse_to_execute
from experiments.execution.listener import Listener
from experiments.metering.hosts import Metering, host_meters, metering
from real_runtime.activation_cache.place import CachePlace
from real_runtime.assignment import Assignment
from real_runtime.data import DataSpec, refuse_other_data
from real_runtime.execution import Execution, Heard, unheard
from real_runtime.saving.places import refuse_place, saving
from real_runtime.sources import refuse_unusable
from real_runtime.testbeds.opening import open_testbed
from real_runtime.testbeds.repeating import disturbance, undisturbed
from real_runtime.testbeds.testbed import Testbed


def make_assignment(
    cfg: DictConfig,
    setup: Setup,
    schedule: Schedule,
    iterations: int,
    *,
    epoch_iterations: int | None = None,
    cache: CachePlace | None = None,
) -> Assignment:
    """An assignment of one iteration more than is counted. Raises ValueError if the model cannot read the data.

    ``cache`` is where outputs are kept, where the configuration does not say it.
    """
    if cfg.get("job") is not None and any(b.tied_exchanged for layer in setup.model.layers for b in layer.blocks):
        raise ValueError(
            f"a job moves layers one by one, and {setup.model.name} trains copies of weights that its layers share "
            "(finetuning=full or a technique that freezes them, or execute=false)"
        )
    data: DataSpec = build(cfg.data)
    refuse_other_data(setup.model, data)
    refuse_to_execute(setup, in_job=cfg.get("job") is not None)
    assignment = Assignment(
        schedule=schedule,
        model=setup.model,
        workload=setup.workload,
        data=data,
        iterations=iterations + 1,
        seed=cfg.seed,
        checkpoint=cfg.checkpoint,
        epoch_iterations=epoch_iterations,
        cache=cache_place(cfg) or cache,
    )
    refuse_unusable(assignment)
    return assignment


def cache_place(cfg: DictConfig) -> CachePlace | None:
    """Where ranks keep what frozen layers put out; None where nobody says."""
    if cfg.activations is None:
        return None
    return CachePlace(folder=cfg.activations, storage=cfg.strategy.cache.storage)


def execute(
    testbed: Testbed,
    assignment: Assignment,
    rehearsed: Profile | None = None,
    *,
    scenario: Scenario = NOTHING_HAPPENS,
    heard: Heard = unheard,
) -> Execution:
    """The iterations that count, each under the scenario; those that other load disturbed are played again.

    ``heard`` hears of all.
    """
    play = partial(testbed.execute, rehearsed=rehearsed, scenario=scenario)
    return undisturbed(play, assignment, testbed.retries, heard=heard)


def execute_once(cfg: DictConfig, prepared: Prepared, listener: Listener) -> Execution:
    """The iterations of one run that count, on a testbed that opens for it; who listens hears which, and of each.

    What was trained is saved where the configuration says so.
    """
    assignment = make_assignment(cfg, prepared.setup, prepared.schedule, cfg.iterations)
    target = None if cfg.save_weights is None else Path(cfg.save_weights)
    if target is not None:
        if "technique" in assignment.model.hyper:
            raise ValueError(
                f"save_weights={target} keeps whole models, and {assignment.model.name} trains what is beside one "
                "(leave save_weights out, or finetuning=full)"
            )
        refuse_place(target)
    meters = host_meters(cfg, prepared.setup.cluster)
    with open_testbed(build(cfg.testbed), nominal_cluster(cfg), build(cfg.data)) as testbed:
        listener.tell(testbed.description)
        work = assignment.workload
        if 2 in (work.weight_bytes, work.activation_bytes, work.kv_bytes):
            listener.tell("numbers of 2 bytes are BF16: kept and sent so, and computed with in FP32")
        rehearsed = testbed.rehearse(assignment, repeats=cfg.rehearsals) if cfg.rehearsals else None
        with nullcontext(assignment) if target is None else saving(assignment, target) as played:
            scenario = prepared.setup.scenario
            with metering(meters, testbed) as read:
                for said in read.told:
                    listener.tell(said)
                execution = execute(testbed, played, rehearsed, scenario=scenario, heard=listener.measured)
            execution = replace(execution, power=_logs(read, on_the_clock(execution.traces)))
        if said := disturbance(execution):
            listener.tell(said)
    if target is not None:
        listener.tell(f"trained weights are in {target}: checkpoint={target} goes on from there")
    return execution


def _logs(read: Metering, traces: Sequence[TraceOnClock]) -> tuple[PowerLog, ...]:
    return read.logs(lambda rank: activity_of(traces, [rank]), [each.window_s for each in traces])


def on_the_clock(traces: Sequence[Trace]) -> list[TraceOnClock]:
    """Measured traces where they are on the machine's clock, in the order in which they were played."""
    played = [TraceOnClock(trace=trace, began_s=trace.began_s) for trace in traces if trace.began_s is not None]
    return sorted(played, key=lambda each: each.began_s)
