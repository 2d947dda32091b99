"""Calibrate a testbed: time the blocks of the model and the links, and keep both.

    python -m experiments.calibrate testbed=netns
    python -m experiments.calibrate testbed=loopback model=mobilenet_v2 workload=images calibration.repeats=10
    python -m experiments.calibrate testbed=netns "calibration.samples=[]"      # links only; no profile is written

Writes results/profiles/<name>.profile.json (seconds per block, device, sample count) and <name>.network.json (rates and
latencies). Use them with: python -m experiments.run profile=measured profile.path=... network.calibrated=...
"""

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from statistics import median

from omegaconf import DictConfig
from rich.progress import Progress

from edgesim.cluster import Cluster, Network, Origin
from edgesim.profile import Point, Profile, leave_one_out_error
from edgesim.units import mbit_per_s
from experiments.commands import as_typed
from experiments.configuration.command_line import run_command
from experiments.configuration.constructors import build
from experiments.configuration.setup import Setup, read_setup
from experiments.execution.calibration import Calibration
from experiments.progress import ProgressReport
from real_runtime.testbeds.foreign_load import sourced, told
from real_runtime.testbeds.opening import open_testbed
from real_runtime.testbeds.testbed import Testbed


def calibrate_command(cfg: DictConfig) -> None:
    """Open the testbed, measure, write, and say how well the profile predicts itself."""
    found, folder = calibrated(cfg, progress_bar()), Path(cfg.results) / "profiles"
    found.save(folder)
    network, profile = found.files(folder)
    print(f"network: {describe(found.network)}")
    use = f"network.calibrated={network}"
    if found.profile.points:
        print(found.profile)
        use = f"profile=measured profile.path={profile} {use}"
    print(as_typed(f"Use it: python -m experiments.run {use}"))


def calibrated(cfg: DictConfig, progress: Progress) -> Calibration:
    """What is found on a testbed that opens for it."""
    setup = read_setup(cfg)
    with open_testbed(build(cfg.testbed), setup.cluster) as testbed, progress:
        progress.console.print(testbed.description, soft_wrap=True)
        profile, network = calibrate(testbed, setup, cfg.calibration, progress)
        name = cfg.calibration.name or testbed_name(testbed, setup.cluster)
    return Calibration(name=name, profile=profile, network=network)


def calibrate(testbed: Testbed, setup: Setup, settings: DictConfig, progress: Progress) -> tuple[Profile, Network]:
    """Blocks at every sample count, then links."""
    points: list[Point] = []
    if load := busy():
        progress.console.print(f"[yellow]warning: {load}: what is measured now will be off[/yellow]", soft_wrap=True)
    task = progress.add_task("timing blocks", total=len(settings.samples) + 1)
    for count in settings.samples:
        progress.update(task, description=f"timing blocks, {count} samples")
        points += testbed.profile_layers(setup.model, setup.workload, samples=[count], repeats=settings.repeats)
        progress.advance(task)
    progress.update(task, description="timing links")
    network = testbed.measure_network()
    progress.update(task, description="calibrated", advance=1)
    timings, messages = told(testbed.disturbed_timings, "timings"), told(testbed.disturbed_messages, "messages")
    for said in filter(None, (timings, messages)):
        progress.console.print(f"[yellow]warning: {said}: calibrate again beside less load[/yellow]", soft_wrap=True)
    source = sourced(f"{testbed.name}, layers within {settings.repeats} whole passes", timings)
    return Profile(model=setup.model.name, origin=Origin.MEASURED, source=source, points=merged(points)), network


def progress_bar() -> Progress:
    """What is done, how much of it, for how long, and how long still."""
    return ProgressReport()


def busy() -> str | None:
    """In words, that other programs keep this machine's cores busy; None if they do not or nothing is known."""
    if not hasattr(os, "getloadavg") or (load := os.getloadavg()[0]) <= (cores := os.cpu_count() or 1):
        return None
    return f"this machine is busy (load {load:.1f} on {cores} cores)"


def merged(points: Sequence[Point]) -> tuple[Point, ...]:
    """One point per entry, the median where an entry was timed more than once (updates are, at every sample count)."""
    seconds: dict[Point, list[float]] = {}
    for point in points:
        seconds.setdefault(replace(point, seconds=0.0), []).append(point.seconds)
    return tuple(replace(key, seconds=median(values)) for key, values in seconds.items())


def leave_one_out(profile: Profile) -> str:
    """The median error of guessing a sample count from its neighbours, for people."""
    error = leave_one_out_error(profile.points)
    return "unknown (needs three sample counts)" if error is None else f"{error:.1%}"


def describe(network: Network) -> str:
    """Goodput and latency of the slowest pair."""
    pairs = [(a, b) for a in range(network.ranks) for b in range(network.ranks) if a != b]
    slowest = min(network.goodput_bytes_per_s(a, b) for a, b in pairs)
    latency_s = max(network.latency_s[a][b] for a, b in pairs)
    return f"goodput {mbit_per_s(slowest):.3g} Mbit/s, latency {latency_s * 1e3:.3g} ms (slowest pair)"


def testbed_name(testbed: Testbed, cluster: Cluster) -> str:
    """Kind and line rate: ``netns_100mbit``."""
    return f"{testbed.name}_{mbit_per_s(cluster.network.slowest_bytes_per_s):g}mbit"


def main() -> None:
    """Do what the command line says."""
    run_command(calibrate_command, about=__doc__)


if __name__ == "__main__":
    main()
