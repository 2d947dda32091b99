"""Does the autopilot find what is off, measure that alone again, and come to the plan that is made from scratch?"""

import json
import shlex
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fake_testbed import FakeTestbed
from hydra.core.global_hydra import GlobalHydra

from edgesim.cluster import Cluster, Origin
from edgesim.profile import Point, estimate
from edgesim.strategies import Strategy
from experiments.autopilot import __main__ as command_module
from experiments.autopilot.deviations import deviations
from experiments.autopilot.remeasuring import Again
from experiments.autopilot.report import ROUNDS, report_markdown, round_rows
from experiments.autopilot.rounds import Outcome, rounds_until_nothing_is_off
from experiments.autopilot.tolerances import Means, Tolerances
from experiments.calibrate import progress_bar
from experiments.configuration.command_line import composed, run_command
from experiments.configuration.network_file import save_network
from experiments.configuration.planners import ConfiguredPlanner, build_planner
from experiments.configuration.setup import Setup, prepare, read_setup, read_strategy
from experiments.explain.reading import read_side

SLOWER = 1.4
WORDS = (
    "model=bert_small_bytes",
    "workload.batch_samples=8",
    "workload.micro_batch_samples=4",
    "strategy=hybrid_pipeline",
    "planner=ilp_hybrid_pipeline",
    "iterations=1",
)
TOLERANCES = Tolerances(computing=0.1, links=0.2, disks=0.2)
Command = Callable[..., int]


def slower(cluster: Cluster, rank: int, factor: float = SLOWER) -> Cluster:
    """The cluster with one device that computes all the longer by a factor: its FLOP/s and its memory are slower."""
    devices = list(cluster.devices)
    device = devices[rank]
    devices[rank] = replace(
        device,
        flop_per_s=device.flop_per_s / factor,
        memory_bytes_per_s=device.memory_bytes_per_s / factor,
    )
    return replace(cluster, devices=tuple(devices))


def measured(setup: Setup, cluster: Cluster) -> Setup:
    """Nouns whose calibration is that of a cluster."""
    made = estimate(setup.model, cluster.devices, samples=range(1, 5), tokens=setup.workload.tokens)
    profile = replace(made, origin=Origin.MEASURED, source="planted", estimates=None)
    return setup.calibrated(profile, replace(cluster.network, origin=Origin.MEASURED))


def flown(setup: Setup, testbed: FakeTestbed, *words: str) -> Outcome:
    cfg = composed(*WORDS, *words)
    return rounds_until_nothing_is_off(cfg, setup, testbed, progress_bar(), lambda each: None)  # type: ignore[arg-type]


def planner() -> tuple[ConfiguredPlanner, Strategy]:
    cfg = composed(*WORDS)
    return build_planner(cfg), read_strategy(cfg)


def kept(setup: Setup, folder: Path) -> tuple[str, ...]:
    """The overrides that name a calibration, once it is written."""
    setup.profile.save(folder / "kept.profile.json")
    save_network(folder / "kept.network.json", setup.cluster.network)
    return (
        "profile=measured",
        f"profile.path={folder / 'kept.profile.json'}",
        f"network.calibrated={folder / 'kept.network.json'}",
    )


@pytest.fixture(scope="module")
def setup() -> Setup:
    return read_setup(composed(*WORDS))


@pytest.fixture(scope="module")
def believed(setup: Setup) -> Setup:
    """Planned with a calibration of hosts as they were: the fastest alone computes it all."""
    return measured(setup, setup.cluster)


@pytest.fixture(scope="module")
def repaired(setup: Setup, believed: Setup) -> tuple[Outcome, FakeTestbed]:
    """The fastest device takes 1.4 times as long since, and what comes of it."""
    testbed = FakeTestbed(setup.cluster, truth=slower(setup.cluster, 0), noise=0.0)
    return flown(believed, testbed), testbed


def test_a_device_that_is_slower_since_is_repaired_in_one_loop_without_regret(
    setup: Setup, repaired: tuple[Outcome, FakeTestbed]
) -> None:
    outcome, testbed = repaired
    before, after = outcome.rounds
    assert before.again == Again(devices=frozenset({"demo-fast"}))
    assert set(testbed.timed) == {"demo-fast"}
    assert outcome.holds
    assert before.run.plan.stages != after.run.plan.stages

    from_scratch = measured(setup, testbed.truth)
    assert after.known.setup.profile.points != before.known.setup.profile.points
    assert after.run.plan.stages == from_scratch.plan(*planner()).stages
    least_s = from_scratch.seconds(after.run.plan, planner()[1])
    assert after.measured_s == pytest.approx(least_s)
    assert after.measured_s < before.measured_s


def test_the_error_of_what_takes_longer_is_that_of_its_factor(repaired: tuple[Outcome, FakeTestbed]) -> None:
    before, after = repaired[0].rounds
    assert {each.kind: each.error for each in before.off} == pytest.approx(dict.fromkeys("FB", 1 / SLOWER - 1))
    (update,) = (each for each in before.deviations if each.kind == "UPDATE")
    assert update.error == pytest.approx(1 / SLOWER - 1)
    assert update.part < 0.05
    assert not update.is_off
    assert [each.error for each in after.deviations] == pytest.approx([0.0] * len(after.deviations), abs=1e-9)


def test_proofs_of_both_plans_stand_in_the_report(repaired: tuple[Outcome, FakeTestbed]) -> None:
    rows = round_rows(repaired[0].rounds)
    assert [row[ROUNDS.index("proof")] for row in rows] == ["optimal", "optimal"]
    assert [row[ROUNDS.index("off")] for row in rows] == ["demo-fast", "nothing"]
    said = report_markdown(repaired[0])
    assert "After 2 rounds: nothing is off by more than its tolerance." in said
    assert "the plan has changed" in said
    assert "| B | 0 demo-fast | 10% |" in said


def test_where_nothing_is_off_nothing_is_measured_again(setup: Setup, believed: Setup) -> None:
    testbed = FakeTestbed(setup.cluster, noise=0.0)
    outcome = flown(believed, testbed)
    assert len(outcome.rounds) == 1
    assert outcome.holds
    assert testbed.timed == []


def test_without_a_kept_calibration_all_is_measured_first(setup: Setup) -> None:
    testbed = FakeTestbed(setup.cluster, truth=slower(setup.cluster, 0), noise=0.0)
    outcome = flown(setup, testbed, "calibration.samples=[1,2,4]")
    assert [each.measured for each in outcome.rounds] == ["all"]
    assert set(testbed.timed) == {device.name for device in setup.cluster.devices}
    assert outcome.holds


def test_links_that_are_slower_since_are_measured_again_and_no_device_is(setup: Setup) -> None:
    """Messages between the two halves take half as long again, by a network that is slower for all."""
    cluster = slower(setup.cluster, 0)
    network = cluster.network
    rates = tuple(tuple(rate / 1.5 for rate in row) for row in network.bytes_per_s)
    testbed = FakeTestbed(cluster, truth=replace(cluster, network=replace(network, bytes_per_s=rates)), noise=0.0)
    outcome = flown(measured(setup, cluster), testbed)
    assert [each.again for each in outcome.rounds] == [Again(links=True), Again()]
    off = outcome.rounds[0].off
    assert {(each.kind, each.place) for each in off} == {("SEND activation", (1, 0)), ("SEND gradient", (0, 1))}
    assert {each.means for each in off} == {Means.LINKS}
    assert [each.error for each in off] == pytest.approx([1 / 1.5 - 1] * 2, abs=0.01)  # but for the latency
    assert testbed.timed == []


class Throttled(FakeTestbed):
    """Hosts that are as fast as they were while they are timed, and slower when they work together."""

    def profile_layers(self, *arguments: Any, **named: Any) -> list[Point]:
        truth, self.truth = self.truth, self.cluster
        points = super().profile_layers(*arguments, **named)
        self.truth = truth
        return points


def test_what_stays_off_is_measured_again_once_and_told(setup: Setup, believed: Setup) -> None:
    testbed = Throttled(setup.cluster, truth=slower(setup.cluster, 0), noise=0.0)
    outcome = flown(believed, testbed)
    assert len(outcome.rounds) == 2
    assert not outcome.holds
    assert outcome.ended.startswith("demo-fast was measured again and stays off: this is not a question of calibration")


def test_a_limit_of_loops_is_told(setup: Setup, believed: Setup) -> None:
    testbed = FakeTestbed(setup.cluster, truth=slower(setup.cluster, 0), noise=0.0)
    outcome = flown(believed, testbed, "autopilot.loops=0")
    assert len(outcome.rounds) == 1
    assert outcome.ended == "demo-fast is still off after autopilot.loops=0"


def test_a_collective_is_of_all_its_members(setup: Setup, believed: Setup) -> None:
    """From when the last of them is ready, so that none is blamed for whom it waits for."""
    cfg = composed(*WORDS, "strategy=data", "planner=even")
    strategy = read_strategy(cfg)
    schedule = strategy(believed.plan(build_planner(cfg), strategy), believed.model, believed.workload)
    trace = believed.simulate(schedule)
    later = replace(believed, cluster=replace(slower(setup.cluster, 2), network=believed.cluster.network))
    slow = replace(later, profile=measured(setup, later.cluster).profile).simulate(schedule)
    found = {(each.kind, each.place): each for each in deviations(trace, [slow], TOLERANCES)}
    assert found["ALL_REDUCE", (0, 1, 2)].error == pytest.approx(0.0, abs=1e-9)
    assert {place for (kind, place), each in found.items() if each.is_off} == {(2,)}


@pytest.mark.parametrize("value", [0, 1, -0.1])
def test_a_tolerance_that_means_nothing_is_refused(value: float) -> None:
    with pytest.raises(ValueError, match=r"autopilot.tolerances.links must lie between 0 and 1, got"):
        Tolerances(computing=0.1, links=value, disks=0.1)


# --- the command ---


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, setup: Setup) -> Command:
    """Calls it as the shell would, on hosts of which the fastest is slower than it was."""

    @contextmanager
    def opened(spec: object, cluster: Cluster, data: object) -> Iterator[FakeTestbed]:
        yield FakeTestbed(cluster, truth=slower(cluster, 0), noise=0.0)

    monkeypatch.setattr(command_module, "open_testbed", opened)

    def call(*words: str) -> int:
        GlobalHydra.instance().clear()
        monkeypatch.setattr(sys, "argv", ["command", *WORDS, f"results={tmp_path}", *words])
        try:
            run_command(command_module.autopilot, about="about")
        except SystemExit as ended:
            return int(ended.code or 0)
        return 0

    return call


def test_before_and_after_lie_in_one_folder_as_runs_that_can_be_explained(
    command: Command, tmp_path: Path, believed: Setup, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command(*kept(believed, tmp_path)) == 0
    (folder,) = (tmp_path / "autopilot").iterdir()
    assert {path.name for path in folder.iterdir()} == {"report.md", "report.html", "rounds.json", "round_1", "round_2"}
    rounds = json.loads((folder / "rounds.json").read_text())
    assert [each["measured_again"] for each in rounds] == ["demo-fast", "nothing"]
    said = capsys.readouterr().out
    assert "Use the last calibration: python -m experiments.run profile=measured" in said
    for number, each in enumerate(rounds, start=1):
        side = read_side(folder / f"round_{number}")
        assert side.unknown == ""
        assert side.world is not None
        assert side.world.setup.profile.hash == each["profile"]
        assert side.trace.makespan_s == pytest.approx(each["measured_s"])
        assert side.world.trace().makespan_s == pytest.approx(each["simulated_s"])
    again = shlex.split((folder / "round_2" / "command.txt").read_text())
    assert again[:2] == ["edgesim", "run"]
    cfg = composed(*[word for word in again[2:] if word != "execute=true"])
    assert prepare(cfg).plan.stages == side.world.plan.stages


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["strategy=tensor", "planner=even_blocks"], "the autopilot times whole layers, and tensor divides them"),
        (["+job=asteroid"], "the autopilot plays single iterations"),
        (["save_weights=here", "execute=true"], "the autopilot trains only to measure"),
        (["scenario=jitter"], "the testbed cannot play a scenario in which durations vary"),
        (["autopilot.loops=-1"], "autopilot.loops"),
        (["autopilot.tolerances.links=2"], "autopilot.tolerances.links must lie between 0 and 1, got 2"),
    ],
)
def test_what_it_cannot_do_is_refused_before_anything_starts(
    command: Command, tmp_path: Path, capfd: pytest.CaptureFixture[str], words: list[str], told: str
) -> None:
    assert command(*words) == 2
    assert told in capfd.readouterr().err
    assert list(tmp_path.iterdir()) == []
