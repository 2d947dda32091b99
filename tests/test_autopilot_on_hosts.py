"""Does the autopilot repair a planted miscalibration, without regret against a plan from scratch?

On emulated hosts, and over SSH on hosts with an sshd each.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import ssh_lab
from omegaconf import DictConfig
from ssh_lab import lab

from edgesim.profile import Profile
from experiments.autopilot.rounds import Round, rounds_until_nothing_is_off
from experiments.calibrate import calibrate, progress_bar
from experiments.configuration.command_line import composed
from experiments.configuration.constructors import build
from experiments.configuration.planners import build_planner
from experiments.configuration.setup import read_setup, read_strategy
from real_runtime.testbeds import netns
from real_runtime.testbeds.opening import open_testbed
from real_runtime.testbeds.spec import TestbedSpec

PROBLEMS = {"netns": netns.problem(), "ssh": ssh_lab.problem()}
pytestmark = [
    pytest.mark.soak,
    pytest.mark.netns,
    pytest.mark.timeout(900),
    pytest.mark.xdist_group("ssh"),
]
KINDS = [
    pytest.param(kind, marks=pytest.mark.skipif(problem is not None, reason=str(problem)))
    for kind, problem in PROBLEMS.items()
]
FACTOR, SLOWER, REGRET = 1.4, "demo-medium", 0.03
WORDS = (
    "testbed.fractions=[0.5,0.45,0.2]",
    "workload.batch_samples=16",
    "workload.micro_batch_samples=4",
    "strategy=hybrid_pipeline",
    "planner=ilp_hybrid_pipeline",
    "calibration.samples=[1,2,4]",
    "calibration.repeats=4",
    "iterations=4",  # a host charges the least that work took so far: the more micro-batches, the less that moves
    "autopilot.tolerances.computing=0.15",
)


def as_it_was(profile: Profile) -> Profile:
    """A calibration of before one of the devices became slower."""
    points = (
        replace(point, seconds=point.seconds / FACTOR) if point.device == SLOWER else point for point in profile.points
    )
    return replace(profile, points=tuple(points))


@contextmanager
def spec_of(kind: str, cfg: DictConfig, folder: Path) -> Iterator[TestbedSpec]:
    """The testbed of this kind, over SSH with an inventory of hosts that are up meanwhile."""
    spec: TestbedSpec = build(cfg.testbed)
    if kind != "ssh":
        yield spec
        return
    with lab(folder, 3, mbit_per_s=100.0, ahead_s=(0.05, -0.05, 0.0)) as made:
        yield replace(spec, hosts=made.hosts(), reaching=made.reaching())
        assert made.nothing_is_left(20) == []


@pytest.mark.parametrize("kind", KINDS)
def test_a_device_that_is_slower_since_its_calibration_is_repaired_in_one_loop(kind: str, tmp_path: Path) -> None:
    cfg = composed(f"testbed={kind}", *WORDS)
    nominal, strategy = read_setup(cfg), read_strategy(cfg)
    with (
        spec_of(kind, cfg, tmp_path) as spec,
        open_testbed(spec, nominal.cluster) as testbed,
        progress_bar() as progress,
    ):
        truth = nominal.calibrated(*calibrate(testbed, nominal, cfg.calibration, progress))
        stale = truth.calibrated(as_it_was(truth.profile), truth.cluster.network)
        heard: list[Round] = []
        outcome = rounds_until_nothing_is_off(cfg, stale, testbed, progress, heard.append)
    first, second = heard[:2]
    assert list(outcome.rounds) == heard
    assert SLOWER in first.again.devices
    off = {each.kind: each.error for each in first.off if nominal.cluster.devices[each.place[0]].name == SLOWER}
    assert off.keys() >= {"F", "B"}
    assert all(error < -0.15 for error in off.values())  # 1 / 1.4 - 1 is -0.29
    assert SLOWER not in second.again.devices
    from_scratch = truth.plan(build_planner(cfg), strategy)
    regret = truth.seconds(second.run.plan, strategy) / truth.seconds(from_scratch, strategy) - 1
    assert regret <= REGRET
