"""A whole job from the command line: what is asked, what is kept, and what is refused in one sentence."""

import csv
import json
import sys
from collections.abc import Callable
from itertools import pairwise
from math import inf
from pathlib import Path

import job_builders
import pytest
from hydra.core.global_hydra import GlobalHydra

from edgesim.job import JobTrace
from edgesim.job.job_perfetto import job_to_perfetto
from edgesim.plan import Depth
from edgesim.scenario import Join, Loss, Moment, Scenario, poisson_losses
from experiments import run
from experiments.analysis.job_spans import AWAY, IDLE, RECOVERS, TRAINS, rank_rows, span_rows
from experiments.configuration.command_line import composed, run_command
from experiments.configuration.setup import prepare
from experiments.jobs.asked import depth_of, first_plan, job_of, read_job

TINY = ("model=bert_tiny_bytes", "workload.batch_samples=8", "workload.micro_batch_samples=4", "+job=asteroid")
LOST = ("scenario=lost_device", "scenario.events.loss.when.at_s=1 s", "strategy=hybrid_pipeline")
Command = Callable[..., int]


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Command:
    """Calls the command as the shell would, with results in a temporary folder; returns its exit code."""

    def call(*words: str) -> int:
        GlobalHydra.instance().clear()
        monkeypatch.setattr(sys, "argv", ["command", f"results={tmp_path}", *words])
        try:
            run_command(run.run, about="about")
        except SystemExit as ended:
            return int(ended.code or 0)
        return 0

    return call


def table(path: Path) -> list[dict[str, str]]:
    with path.open() as file:
        return list(csv.DictReader(file))


def test_a_job_leaves_everything_about_itself_in_one_folder(command: Command, tmp_path: Path) -> None:
    assert command(*TINY, *LOST, "job.iterations=60", "job.planning_s=10 ms") == 0
    (folder,) = (tmp_path / "runs").iterdir()
    assert {path.name for path in folder.iterdir()} == {
        "config.yaml",
        "job.json",
        "network.json",
        "plan.json",
        "ranks.csv",
        "spans.csv",
        "timeline.pdf",
        "timeline.png",
        "trace.perfetto.json",
        "versions.json",
    }
    (job,) = json.loads((folder / "job.json").read_text())["jobs"]
    assert (job["player"], job["iterations"]) == ("simulated", 60)
    assert job["recoveries"][0]["change"] == "lost: rank 1"
    spans = table(folder / "spans.csv")
    trained = sum(int(row["count"]) - int(row["redone"]) for row in spans if row["activity"] == "training")
    assert trained == 60
    assert {row["does"] for row in table(folder / "ranks.csv") if row["rank"] == "1"} == {"trains", "away"}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["job.iterations=0"], "job.iterations: expected a whole number of at least 1"),
        (["job/recovery=havy"], "havy"),
        (["job/recovery=none", *LOST], "the job ends after"),
        (["method=hetpipe"], "a job goes on after losses with data, pipeline, hybrid_pipeline"),
        (["save_weights=x", "execute=true"], "save_weights=x: a job keeps its weights as checkpoints"),
        (["job.resume=x"], "job.resume=x is of a real job's checkpoints"),
        (["job.checkpoints=x", "execute=true"], "say how often: job.safety.checkpoint_every=10"),
        (["execute=true", "scenario=jitter"], "the testbed cannot play a scenario in which durations vary"),
        (["workload=request", "workload.tokens=16"], "only training can go back to a version"),
    ],
)
def test_what_no_job_can_do_is_refused_in_one_sentence(
    command: Command, tmp_path: Path, capfd: pytest.CaptureFixture[str], words: list[str], said: str
) -> None:
    assert command(*TINY, *words) == 2
    error = capfd.readouterr().err
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    assert said in error
    assert not list(tmp_path.glob("runs/*"))


# --- from a cache ---

CACHED = (
    *("+job=pac", "model=bert_tiny_bytes", "job.samples=30", "network.rate=100 Mbit/s"),
    *("workload.batch_samples=8", "workload.micro_batch_samples=4"),
)


@pytest.mark.parametrize("planner", ["pac", "ilp_two_phases"])
def test_a_job_with_a_cache_has_a_redistribution_between_its_phases(
    command: Command, tmp_path: Path, planner: str
) -> None:
    samples = ("planner.samples=30",) if planner == "ilp_two_phases" else ()
    assert command(*CACHED, "method=pac", f"planner={planner}", *samples) == 0
    (folder,) = (tmp_path / "runs").iterdir()
    (job,) = json.loads((folder / "job.json").read_text())["jobs"]
    assert job["iterations"] == 3 * 4  # of 30 samples each, the last batch counts as a whole one
    spans = [(row["activity"], row["count"]) for row in table(folder / "spans.csv") if row["activity"] == "training"]
    assert spans == [("training", "4"), ("training", "8")] or spans == [("training", "12")]
    assert planner != "pac" or len(spans) == 2


@pytest.mark.parametrize("iteration", [2, 9], ids=["first epoch", "later epoch"])
def test_a_job_with_a_cache_goes_on_after_a_loss_and_fills_in_what_went_with_the_device(
    command: Command, tmp_path: Path, iteration: int
) -> None:
    at = ("scenario.events.loss.when.at_s=null", f"+scenario.events.loss.when.iteration={iteration}")
    assert command(*CACHED, "method=pac", "job/recovery=lightweight", "scenario=lost_device", *at) == 0
    (folder,) = (tmp_path / "runs").iterdir()
    (job,) = json.loads((folder / "job.json").read_text())["jobs"]
    assert job["iterations"] == 3 * 4
    assert job["seconds_by_activity"]["refill"] > 0


def test_epochs_without_a_cache_are_one_phase(command: Command, tmp_path: Path) -> None:
    assert command(*CACHED, "method=eco_fl", "finetuning=lora", "workload.cache=false") == 0
    (folder,) = (tmp_path / "runs").iterdir()
    assert [row["count"] for row in table(folder / "spans.csv")] == ["12"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["method=eco_fl", "finetuning=lora"], "has no parallel adapters"),
        (["method=pac", "job.iterations=5"], "either iterations or the samples of an epoch"),
        (["method=pac", "job.samples=0"], "job.samples: expected a whole number of at least 1"),
        (["method=pac", "planner=ilp_two_phases"], "planner.samples=3668 and job.samples=30 are of the same epoch"),
    ],
)
def test_what_no_job_with_a_cache_can_do_is_refused_in_one_sentence(
    command: Command, capfd: pytest.CaptureFixture[str], words: list[str], said: str
) -> None:
    assert command(*CACHED, *words) == 2
    error = capfd.readouterr().err
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    assert said in error


# --- who takes part ---


def test_whoever_joins_later_takes_no_part_in_the_first_plan() -> None:
    cfg = composed(*TINY, "scenario=joins", "strategy=hybrid_pipeline", "planner=asteroid")
    prepared = prepare(cfg)
    spec = read_job(cfg)
    assert spec.members_of(prepared.setup.cluster, prepared.setup.scenario) == (1, 2)
    job = job_of(cfg, spec, prepared)
    assert set(job.phases[0].plan.ranks) <= {1, 2}
    assert first_plan(cfg, prepared, (0, 1, 2)) is prepared.plan


def test_who_is_lost_before_it_joins_again_is_there_from_the_beginning() -> None:
    events = (Join(rank=1, when=Moment(at_s=9)), Loss(rank=1, when=Moment(at_s=4)))
    cfg = composed(*TINY)
    spec, cluster = read_job(cfg), prepare(cfg).setup.cluster
    assert spec.members_of(cluster, Scenario(events=tuple(reversed(events)))) == (0, 1, 2)


@pytest.mark.parametrize("depth", list(Depth))
def test_the_depth_of_a_plan_is_the_one_that_it_was_made_with(depth: Depth) -> None:
    setup = job_builders.a_setup(3, micro_batches=8)
    plan = job_builders.replaced_depth(setup, depth)
    assert depth_of(plan) is depth


# --- losses by chance ---


def drawn(**changed: object) -> list[Loss | Join]:
    fields = {"seed": 1, "mean_between_s": 10.0, "until_s": 10_000.0, "ranks": range(4)}
    return list(poisson_losses(**fields | changed))  # type: ignore[arg-type]


def losses(events: list[Loss | Join]) -> list[Loss]:
    return [event for event in events if isinstance(event, Loss)]


def at_s(event: Loss | Join) -> float:
    assert event.when.at_s is not None
    return event.when.at_s


def test_losses_come_as_often_as_they_should_and_hit_all_devices_alike() -> None:
    lost = losses(drawn(returns_after_s=0.001))
    assert len(lost) == pytest.approx(1000, rel=0.1)
    for rank in range(4):
        assert sum(loss.rank == rank for loss in lost) == pytest.approx(250, rel=0.2)


def test_the_same_seed_draws_the_same_and_another_one_others() -> None:
    assert drawn() == drawn()
    assert drawn() != drawn(seed=2)


def test_a_shorter_time_draws_the_beginning_of_a_longer_one() -> None:
    shorter, longer = (losses(drawn(until_s=until_s, returns_after_s=5)) for until_s in (100.0, 1000.0))
    assert longer[: len(shorter)] == shorter


def test_who_does_not_come_back_is_lost_once_and_somebody_is_always_left() -> None:
    lost = [loss.rank for loss in losses(drawn(returns_after_s=inf, at_least=2))]
    assert len(lost) == len(set(lost)) == 2


def test_who_is_away_is_not_lost_and_comes_back_after_its_time() -> None:
    events, away = drawn(mean_between_s=1.0, returns_after_s=3.0, until_s=500.0), set[int]()
    for event in sorted(events, key=at_s):
        assert (event.rank in away) == isinstance(event, Join)
        away ^= {event.rank}
        assert len(away) < 4


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"mean_between_s": 0.0}, "mean_between_s must be finite and positive, got 0"),
        ({"until_s": inf}, "until_s must be finite, got inf"),
        ({"returns_after_s": 0.0}, "returns_after_s must be positive, got 0"),
        ({"at_least": 5}, "at_least must be from 1 to 4"),
    ],
)
def test_losses_that_cannot_be_drawn_are_refused(changed: dict[str, object], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        drawn(**changed)


# --- tables and pictures of a job ---


@pytest.fixture(scope="module")
def played() -> tuple[JobTrace, object]:
    """Rank 1 of four is lost at 1 s; rank 3 has no work before."""
    setup = job_builders.a_setup(4)
    job = job_builders.a_job(setup, job_builders.pipeline(setup, 0, 1, 2))
    return job_builders.played(setup, job, job_builders.killed(1, 1.0)), job


def test_every_rank_does_one_thing_at_a_time_from_the_beginning_to_the_end(played: tuple[JobTrace, object]) -> None:
    trace, job = played
    rows = list(rank_rows([trace], job, 4))  # type: ignore[arg-type]
    for rank in range(4):
        mine = [row for row in rows if row.rank == rank]
        assert mine[0].start_s == 0
        assert all(one.end_s == other.start_s for one, other in pairwise(mine))
        assert mine[-1].end_s == trace.end_s
    assert [row.does for row in rows if row.rank == 1] == [TRAINS, AWAY, AWAY]
    assert [row.does for row in rows if row.rank == 0] == [TRAINS, RECOVERS, TRAINS]
    assert rows[3].does == IDLE


def test_the_rows_of_spans_hold_every_iteration_and_their_rates(played: tuple[JobTrace, object]) -> None:
    trace, _ = played
    rows = list(span_rows([trace]))
    training = [row for row in rows if row.activity == "training"]
    samples = sum(row.samples_per_s * (row.end_s - row.start_s) for row in training)
    assert samples == pytest.approx(trace.batch_samples * sum(row.count for row in training))
    assert all(row.samples_per_s == 0 for row in rows if row.activity != "training")


def test_a_jobs_picture_names_phases_and_faults_and_shows_tasks_where_they_were(
    played: tuple[JobTrace, object],
) -> None:
    trace, _ = played
    events = json.loads(job_to_perfetto([trace]))["traceEvents"]
    (fault,) = [event for event in events if event["ph"] == "i"]
    assert (fault["name"], fault["ts"]) == ("lost: rank 1", 1e6)
    spans = [event for event in events if event["ph"] == "X" and event["cat"] == "job"]
    names = [event["name"] for event in spans]
    assert "training 0 to 9" in names
    assert "recovery 1: lost: rank 1" in names
    assert {"lost work", "detection", "re-planning", "reconnection"} <= set(names)
    tasks = [event for event in events if event["ph"] == "X" and event["cat"] != "job"]
    for span in trace.spans:
        if span.trace is not None:
            inside = [task for task in tasks if span.start_s * 1e6 - 1 <= task["ts"] <= span.end_s * 1e6 + 1]
            assert len(inside) >= len(list(span.trace.schedule))


def test_backups_are_sent_as_often_as_they_may_take_of_the_time() -> None:
    """A share of a thousandth is less than every tenth iteration's backups take; with null they are sent as asked."""
    asked = [*TINY, "strategy=pipeline", "planner=even"]
    seldom, as_asked, never = (
        periods(*asked, *more)
        for more in (["job.replicate_within=0.001"], ["job.replicate_within=null"], ["job.safety.replicate_every=null"])
    )
    assert as_asked == 10
    assert seldom is not None
    assert seldom > 10
    assert never is None


def periods(*words: str) -> int | None:
    cfg = composed(*words)
    return job_of(cfg, read_job(cfg), prepare(cfg)).safety.replicate_every
