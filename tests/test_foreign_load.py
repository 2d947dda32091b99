"""Is other load beside a measurement noticed, is what it disturbed measured again, and does the result say so?"""

import csv
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from fake_testbed import FakeTestbed, open_fake
from hydra.core.global_hydra import GlobalHydra
from rich.console import Console
from runtime_builders import BERT, CASES, data, three_hosts, workload

from edgesim.strategies.hybrid_pipeline import hybrid_pipeline
from edgesim.trace import Trace
from experiments import calibrate, demo, run, validate
from experiments.analysis.fidelity import from_csv
from experiments.collect import tidy
from experiments.configuration.command_line import composed, run_command
from experiments.configuration.setup import prepare
from experiments.execution import assignments
from experiments.execution.play import play
from experiments.planner_regret.report import setting_table
from experiments.planner_regret.rows import table
from experiments.sweeps.rows import facts
from real_runtime.assignment import Assignment
from real_runtime.execution import Execution, Heard, Iteration
from real_runtime.other_load.foreign_load import LoadWatch, Sample, foreign_share, load_is_known, watching
from real_runtime.testbeds.opening import open_testbed
from real_runtime.testbeds.repeating import Retries, disturbance, least_disturbed, undisturbed
from real_runtime.testbeds.spec import TestbedSpec

TINY = ("model=bert_tiny_bytes", "workload.batch_samples=8", "workload.micro_batch_samples=4")
needs_linux = pytest.mark.skipif(not load_is_known(), reason="the kernel does not tell what processes use")


# --- what the counters say ---


def samples(*counted: tuple[float, float]) -> list[Sample]:
    return [Sample(at_s=at_s, foreign_s=foreign_s) for at_s, foreign_s in counted]


def test_the_share_is_other_programs_time_over_the_time_of_all_processors() -> None:
    recorded = samples((100.0, 7.0), (105.0, 9.0), (110.0, 9.4))
    assert foreign_share(recorded, 100.0, 110.0, cores=2) == pytest.approx(0.12)
    assert foreign_share(recorded, 100.0, 110.0, cores=64) == pytest.approx(
        0.00375
    )  # there, they are hardly in the way


def test_load_before_and_after_an_iteration_does_not_count_and_between_samples_it_is_even() -> None:
    recorded = samples((100.0, 7.0), (110.0, 17.0), (120.0, 17.0), (130.0, 37.0))
    assert foreign_share(recorded, 110.0, 120.0, cores=2) == 0.0
    assert foreign_share(recorded, 108.0, 112.0, cores=2) == pytest.approx(0.25)
    assert foreign_share(recorded, 101.0, 102.0, cores=2) == pytest.approx(0.5)


@pytest.mark.parametrize(("start_s", "end_s"), [(99.0, 105.0), (105.0, 111.0), (105.0, 105.0)])
def test_a_time_that_was_not_watched_is_refused(start_s: float, end_s: float) -> None:
    with pytest.raises(ValueError, match=f"load was not watched from {start_s:g} to {end_s:g} s"):
        foreign_share(samples((100.0, 7.0), (110.0, 8.0)), start_s, end_s, cores=2)


# --- what is measured again ---


def assignment(iterations: int) -> Assignment:
    plan = CASES[0].plan(BERT)
    schedule = hybrid_pipeline(plan, BERT, workload(BERT))
    return Assignment(
        schedule=schedule,
        model=BERT,
        workload=workload(BERT),
        data=data(BERT),
        iterations=iterations,
        seed=0,
        results_folder="kept",
    )


def played(*iterations: tuple[float, float]) -> Execution:
    """Iterations of so many seconds, disturbed so much; the first warms up."""
    schedule = assignment(1).schedule
    n = len(schedule)
    traces = tuple(
        Trace(schedule=schedule, start_s=(0.0,) * n, end_s=(s,) * n, player="measured") for s, _ in iterations
    )
    losses = tuple(float(place) for place in range(len(iterations)))
    shares = tuple(share for _, share in iterations)
    return Execution(traces=traces, losses=losses, disturbed=shares, late=(0.0,) * len(shares))


def test_a_machine_that_is_too_slow_for_its_hosts_says_so() -> None:
    """Measured anew it would be as slow: what helps is slow motion, in which each computation has more time."""
    kept = played((1.0, 0.0), (1.0, 0.0))
    said = "computing took longer than on the devices, by 31 % of an iteration (set a larger testbed.slow_motion)"
    assert said in disturbance(replace(kept, late=(0.3, 0.32)))
    assert disturbance(replace(kept, late=(0.02, 0.04))) == ""


def test_disturbed_iterations_are_played_again_and_the_less_disturbed_are_kept() -> None:
    plays = iter(
        [
            played((9.0, 0.5), (1.0, 0.0), (2.0, 0.3), (3.0, 0.25)),
            played((9.0, 0.5), (1.1, 0.1), (3.5, 0.4)),
            played((9.0, 0.0), (1.2, 0.0), (2.5, 0.1)),
        ]
    )
    asked: list[Assignment] = []
    told: list[Iteration] = []

    def player(assignment: Assignment, *, heard: Heard) -> Execution:
        asked.append(assignment)
        execution = next(plays)
        each = zip(execution.traces, execution.losses, execution.disturbed, strict=True)
        for number, (trace, loss, share) in enumerate(each):
            heard(Iteration(number=number, trace=trace, loss=loss, disturbed=share))
        return execution

    kept = undisturbed(player, assignment(4), Retries(2), heard=told.append)
    assert [each.iterations for each in asked] == [4, 3, 3]  # each has an iteration that warms up
    assert [each.results_folder for each in asked] == ["kept", None, None]
    assert [trace.makespan_s for trace in kept.traces] == [1.0, 1.2, 2.5]
    assert kept.disturbed == (0.0, 0.0, 0.1)
    assert kept.losses == (1.0, 2.0, 3.0)
    assert kept.discarded == (0.3, 0.4, 0.1, 0.25)
    assert [(each.number, each.again) for each in told] == [
        *((number, False) for number in range(4)),
        *((number, True) for number in (2, 3, 2, 3)),
    ]
    assert [each.loss for each in told] == [0.0, 1.0, 2.0, 3.0, 2.0, 3.0, 2.0, 3.0]
    said = disturbance(kept)
    assert "played again beside other load (up to 40 % of the processors): 4 iterations" in said
    assert "1 of 3 iterations disturbed by other load (up to 10 % of the processors)" in said


def test_what_nobody_disturbed_is_played_once_and_nothing_is_said() -> None:
    plays = iter([played((9.0, 0.5), (1.0, 0.0))])
    kept = undisturbed(lambda _, heard: next(plays), assignment(2), Retries(5))
    assert [trace.makespan_s for trace in kept.traces] == [1.0]
    assert disturbance(kept) == ""


def test_a_timing_is_taken_again_until_one_is_undisturbed_and_else_the_best_is_kept() -> None:
    first = iter([("a", 0.3), ("b", 0.0), ("c", 0.0)])
    assert least_disturbed(lambda: next(first), Retries(5)) == ("b", 0.0)
    second = iter([("a", 0.5), ("b", 0.2), ("c", 0.3)])
    assert least_disturbed(lambda: next(second), Retries(2)) == ("b", 0.2)


def test_a_load_that_lasts_is_looked_at_twice_and_then_nothing_is_measured_again_until_it_is_gone() -> None:
    tries = iter([("a", 0.3), ("b", 0.2), ("c", 0.4), ("d", 0.0), ("e", 0.3), ("f", 0.0)])
    retries = Retries(5)
    kept = [least_disturbed(lambda: next(tries), retries) for _ in range(4)]
    assert kept == [("b", 0.2), ("c", 0.4), ("d", 0.0), ("f", 0.0)]
    beside_load = iter([played((9.0, 0.5), (1.0, 0.4), (2.0, 0.3)), played((9.0, 0.5), (1.1, 0.3), (2.1, 0.35))])
    assert undisturbed(lambda _, heard: next(beside_load), assignment(3), retries).disturbed == (0.3, 0.3)
    assert retries.lasting


# --- what results say ---


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Calls a command on a testbed that is disturbed for 14 % of the time."""
    for module in (assignments, calibrate, demo, validate):
        monkeypatch.setattr(module, "open_testbed", open_fake)
    monkeypatch.setattr(FakeTestbed, "disturbed", 0.14)

    def call(task: Callable[..., object], *words: str, experiment: str | None = None) -> None:
        GlobalHydra.instance().clear()
        monkeypatch.setattr(sys, "argv", ["command", f"results={tmp_path}", *words])
        run_command(task, about="about", experiment=experiment)

    return call


def in_one_line(text: str) -> str:
    return " ".join(text.split())


def test_a_disturbed_run_says_so_on_the_screen_and_in_its_metrics(
    command: Callable[..., None], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    command(run.run, *TINY, "execute=true", "iterations=3")
    out = in_one_line(capfd.readouterr().out)
    assert "played again beside other load (up to 14 % of the processors): 3 iterations" in out
    assert "† 3 of 3 iterations disturbed by other load (up to 14 % of the processors)" in out
    (metrics,) = (tmp_path / "runs").glob("*/metrics.json")
    assert json.loads(metrics.read_text())["disturbed"] == [0.14] * 3


def test_a_simulated_run_knows_nothing_of_other_load(command: Callable[..., None], tmp_path: Path) -> None:
    command(run.run, *TINY)
    (metrics,) = (tmp_path / "runs").glob("*/metrics.json")
    assert "disturbed" not in json.loads(metrics.read_text())


def test_a_run_that_was_executed_without_a_calibration_says_so_beside_its_numbers(
    command: Callable[..., None], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    command(run.run, *TINY, "execute=true", "iterations=1")
    warning = "warning: simulated with links that are assumed and seconds that are estimated, not measured"
    assert warning in in_one_line(capfd.readouterr().out)
    command(run.run, *TINY)
    assert "warning: simulated" not in in_one_line(capfd.readouterr().out)
    command(calibrate.calibrate_command, *TINY, "calibration.samples=[1,2,4]", "calibration.name=here")
    profile, network = (tmp_path / "profiles" / f"here.{kind}.json" for kind in ("profile", "network"))
    words = ("profile=measured", f"profile.path={profile}", f"network.calibrated={network}")
    command(run.run, *TINY, "execute=true", "iterations=1", *words)
    assert "warning: simulated" not in in_one_line(capfd.readouterr().out)


@pytest.mark.usefixtures("command")
def test_the_row_of_a_measured_run_in_a_table_says_how_far_it_was_disturbed() -> None:
    import pandas as pd

    cfg = composed(*TINY, "execute=true", "iterations=2")
    row = facts(play(cfg, prepare(cfg)))
    assert row["measured.disturbed"] == 0.14
    both = tidy(pd.DataFrame([row | {"study": "s", "status": "done", "reason": "", "overrides": "[]"}]))
    shares = dict(zip(both["player"], both["disturbed"], strict=True))
    assert shares["measured"] == 0.14
    assert pd.isna(shares["simulated"])


def test_a_disturbed_calibration_says_so_in_its_source(
    command: Callable[..., None], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    command(calibrate.calibrate_command, *TINY, "calibration.samples=[1,4]")
    said = "2 of 2 timings disturbed by other load (up to 14 % of the processors)"
    assert f"warning: {said}: calibrate again beside less load" in in_one_line(capfd.readouterr().out)
    (profile,) = (tmp_path / "profiles").glob("*.profile.json")
    assert f"{said}: measure again" in profile.read_text()


def test_the_demonstration_marks_what_was_disturbed(
    command: Callable[..., None], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    command(demo.demo, *TINY, "calibration.samples=[1,2,4]", experiment="demo")
    assert "† data: " in capfd.readouterr().out
    written = (tmp_path / "demo" / "table.md").read_text()
    assert written.count("† ") >= 6  # behind each measured time, and below the table
    assert "† hybrid: 2 of 2 iterations disturbed by other load (up to 14 % of the processors)" in written


def test_a_validation_marks_the_plans_that_were_disturbed_and_old_tables_are_still_read(
    command: Callable[..., None], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    words = ("calibration.samples=[1,8]", "validation.rates=[{rate: 100 Mbit/s, iterations: 2}]")
    command(validate.validate, *words, experiment="validation")
    assert "plans disturbed by other load (up to 14 % of the processors)" in in_one_line(capfd.readouterr().out)
    text = (tmp_path / "validation" / "fake_100mbit.csv").read_text()
    assert {entry.disturbed for entry in from_csv(text)} == {0.14}
    lines = list(csv.reader(text.splitlines()))
    place = lines[0].index("disturbed")
    old = "\n".join(",".join(line[:place] + line[place + 1 :]) for line in lines[:2])
    assert [entry.disturbed for entry in from_csv(old)] == [None]


def test_the_table_of_measured_regrets_marks_the_plans_that_were_disturbed() -> None:
    known = {
        "bandwidth_bit_per_s": 1e8,
        "batch_samples": 16,
        "micro_batch_samples": 4,
        "planners": "pac",
        "placement": "all on r0",
        "simulated_s": 2.0,
        "status": "done",
    }
    plans = table([known | {"measured_s": 2.0, "disturbed": 0.14}, known | {"measured_s": 3.0, "disturbed": 0.0}])
    shown = Console(width=200)
    with shown.capture() as capture:
        shown.print(setting_table(plans))
    assert capture.get().count("†") == 2  # behind the first plan's seconds, and below
    assert "1 of 2 plans disturbed by other load (up to 14 % of the processors)" in capture.get()


# --- load that is really there ---


@contextmanager
def spinning(processes: int) -> Iterator[list[int]]:
    """Processes that take all the processor time that they get; their ids."""
    with ExitStack() as stack:
        pids = []
        for _ in range(processes):
            process = subprocess.Popen([sys.executable, "-c", "while True: pass"])
            stack.callback(process.wait)
            stack.callback(process.kill)
            pids.append(process.pid)
        yield pids


@needs_linux
def test_a_process_is_other_load_unless_it_is_our_own() -> None:
    with spinning(2) as (mine, other), watching([mine]) as one, watching([mine, other]) as both:
        begin_s = time.monotonic()
        time.sleep(0.8)
        end_s = time.monotonic()
    assert one is not None
    assert both is not None
    # Both watches see whatever else runs here; the difference is what the other process got.
    assert one.share(begin_s, end_s) - both.share(begin_s, end_s) > 0.1 / one.cores


@needs_linux
def test_a_program_that_starts_and_ends_meanwhile_counts() -> None:
    with watching([]) as watch:
        begin_s = time.monotonic()
        with spinning(1):
            time.sleep(0.6)
        time.sleep(0.3)
        end_s = time.monotonic()
    assert watch is not None
    assert watch.share(begin_s, end_s) > 0.1 / watch.cores


class SampledWhileRead(list[Sample]):
    """Samples to which another thread adds one whenever somebody has read them to their end."""

    def __iter__(self) -> Iterator[Sample]:
        yield from list(super().__iter__())
        self.append(Sample(at_s=self[-1].at_s + 1.0, foreign_s=self[-1].foreign_s))


def test_a_sample_that_is_added_while_the_share_is_read_does_no_harm() -> None:
    watch = LoadWatch([])
    watch.samples, watch.cores = SampledWhileRead(samples((100.0, 7.0), (110.0, 8.0))), 2
    assert watch.share(100.0, 110.0) == pytest.approx(0.05)


@needs_linux
@pytest.mark.slow
@pytest.mark.xdist_group("testbed")
def test_an_execution_beside_planted_load_is_marked() -> None:
    spec = TestbedSpec(kind="loopback", deadline_s=60, disturbed_above=0.2 / (os.cpu_count() or 1))  # of one core
    with open_testbed(spec, three_hosts()) as testbed, spinning(1):
        execution = undisturbed(testbed.execute, replace(assignment(2), results_folder=None), Retries(1))
    assert min(execution.disturbed) > spec.disturbed_above
    assert len(execution.discarded) == 1
    assert "1 of 1 iterations disturbed by other load" in disturbance(execution)
