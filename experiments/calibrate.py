"""Calibrate a testbed: time the blocks of the model, the links and the disks, and keep all of it.

    python -m experiments.calibrate testbed=netns
    python -m experiments.calibrate testbed=loopback model=mobilenet_v2 workload=images calibration.repeats=10
    python -m experiments.calibrate testbed=netns "calibration.samples=[]"      # links only; no profile is written
    python -m experiments.calibrate power=true meter=synthetic   # watts too, fitted to what a meter of each host reads

Writes results/profiles/<name>.profile.json (seconds per block, device, sample count), <name>.network.json (rates and
latencies) and <name>.disks.json (what disks read and write). Use them with: python -m experiments.run profile=measured
profile.path=... network.calibrated=... disks=...

With power=true also results/fitted/device/<device>_metered.yaml: a device like the one it is named after, with fitted
watts. Use it with: python -m experiments.run --config-dir results/fitted device@devices.NAME=<device>_metered
"""

import os
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import median

from omegaconf import DictConfig
from rich.progress import Progress

from edgesim.cluster import Cluster, DiskRates, Network, Origin
from edgesim.computing_power import ComputingPower
from edgesim.model import Model
from edgesim.plan import Plan, Stage
from edgesim.profile import Point, Profile, leave_one_out_error
from edgesim.strategies.hybrid_pipeline import hybrid_pipeline
from edgesim.units import mbit_per_s, show
from edgesim.workload import Purpose, Workload
from experiments.commands import as_typed
from experiments.configuration.command_line import run_command
from experiments.configuration.constructors import build
from experiments.configuration.setup import Setup, read_setup
from experiments.execution.assignments import make_assignment
from experiments.execution.calibration import Calibration
from experiments.metering.hosts import HostMeter, host_meters
from experiments.metering.power_calibration import DevicePower, calibrate_power, refuse_meters, save_power
from experiments.metering.power_calibration import told as told_power
from experiments.metering.protocol import Protocol
from experiments.progress import ProgressReport
from real_runtime.assignment import Assignment
from real_runtime.other_load.foreign_load import sourced, told
from real_runtime.testbeds.disks import measured_disks
from real_runtime.testbeds.opening import open_testbed
from real_runtime.testbeds.testbed import Testbed


def calibrate_command(cfg: DictConfig) -> None:
    """Open the testbed, measure, write, and say how well the profile predicts itself."""
    found, folder = calibrated(cfg, progress_bar()), Path(cfg.results) / "profiles"
    found.save(folder)
    for each in found.power:
        print(f"{told_power(each)}\n  written: {save_power(each, Path(cfg.results) / 'fitted')}")
    network, profile = found.files(folder)
    print(f"network: {describe(found.network)}")
    for disk in found.disks:
        print(f"disk of {described(disk)}")
    use = f"network.calibrated={network} disks={found.disks_file(folder)}"
    if found.profile.points:
        print(found.profile)
        use = f"profile=measured profile.path={profile} {use}"
    print(as_typed(f"Use it: python -m experiments.run {use}"))


def calibrated(cfg: DictConfig, progress: Progress) -> Calibration:
    """What is found on a testbed that opens for it."""
    setup = read_setup(cfg)
    meters = host_meters(cfg, setup.cluster) if cfg.power else ()
    refuse_meters(meters, asked=cfg.power)
    with open_testbed(build(cfg.testbed), setup.cluster) as testbed, progress:
        progress.console.print(testbed.description, soft_wrap=True)
        profile, network = calibrate(testbed, setup, cfg.calibration, progress)
        disks = measured_disks(testbed, cfg.calibration.disk_folder)
        power = _power(cfg, testbed, setup, progress, meters) if cfg.power else []
        name = cfg.calibration.name or testbed_name(testbed, setup.cluster)
    return Calibration(name=name, profile=profile, network=network, disks=disks, power=power)


def _power(
    cfg: DictConfig, testbed: Testbed, setup: Setup, progress: Progress, meters: Sequence[HostMeter]
) -> list[DevicePower]:
    computing = ComputingPower(setup.cluster.devices, setup.model, setup.workload.tokens)
    return calibrate_power(_protocol(cfg, testbed, setup, progress), meters, computing)


def _protocol(cfg: DictConfig, testbed: Testbed, setup: Setup, progress: Progress) -> Protocol:
    """What hosts do while a meter reads them: the configured model on each alone, few samples at a time and many."""
    task = progress.add_task("reading power", total=None)

    def alone(rank: int, samples: int, micro_batches: int, forward: bool) -> Assignment:
        """One rank computes all layers."""
        workload = replace(
            setup.workload,
            batch_samples=samples * micro_batches,
            micro_batch_samples=samples,
            new_tokens=0,
            purpose=Purpose.INFER if forward else setup.workload.purpose,
        )
        stage = Stage(layers=(0, len(setup.model.layers)), ranks=(rank,), samples=(samples,), in_flight=1)
        plan = Plan(
            model=setup.model.name,
            stages=(stage,),
            micro_batches=micro_batches,
            micro_batch_samples=samples,
            planner="one rank alone",
        )
        schedule = hybrid_pipeline(plan, setup.model, workload)
        return make_assignment(cfg, replace(setup, workload=workload), schedule, 1)

    counts = sorted(cfg.calibration.samples) or [setup.workload.micro_batch_samples]
    return Protocol(
        testbed=testbed,
        computes=alone,
        samples=sorted({counts[0], counts[len(counts) // 2], counts[-1]}),
        segment_s=cfg.calibration.segment_s,
        disk_folder=cfg.calibration.disk_folder,
        tells=lambda what: progress.update(task, description=f"reading power, {what}"),
    )


def calibrate(testbed: Testbed, setup: Setup, settings: DictConfig, progress: Progress) -> tuple[Profile, Network]:
    """Blocks at every sample count, then links."""
    if load := busy():
        progress.console.print(f"[yellow]warning: {load}: what is measured now will be off[/yellow]", soft_wrap=True)
    task = progress.add_task("timing blocks", total=len(settings.samples) + 1)

    def begins(count: int) -> None:
        progress.update(task, description=f"timing blocks, {count} samples", advance=count != settings.samples[0])

    profile = timed(testbed, setup.model, setup.workload, settings.samples, settings.repeats, begins=begins)
    progress.update(task, description="timing links", advance=bool(settings.samples))
    network = testbed.measure_network()
    progress.update(task, description="calibrated", advance=1)
    timings, messages = told(testbed.disturbed_timings, "timings"), told(testbed.disturbed_messages, "messages")
    for said in filter(None, (timings, messages)):
        progress.console.print(f"[yellow]warning: {said}: calibrate again beside less load[/yellow]", soft_wrap=True)
    return profile, network


def timed(
    testbed: Testbed,
    model: Model,
    workload: Workload,
    samples: Sequence[int],
    repeats: int,
    *,
    ranks: Collection[int] | None = None,
    begins: Callable[[int], object] = lambda count: None,
) -> Profile:
    """The seconds of a model's layers on every host, or on these ``ranks``, at these counts of samples.

    ``begins`` hears of each count.
    """
    points: list[Point] = []
    for count in samples:
        begins(count)
        points += testbed.profile_layers(model, workload, samples=[count], repeats=repeats, ranks=ranks)
    how = f"{testbed.name}, layers within {repeats} whole passes or more"
    source = sourced(how, told(testbed.disturbed_timings, "timings"))
    return Profile(model=model.name, origin=Origin.MEASURED, source=source, points=merged(points))


def progress_bar() -> Progress:
    """What is done, how much of it, for how long, and how long still."""
    return ProgressReport()


def busy() -> str | None:
    """In words, that other programs keep this machine's cores busy; None if they do not or nothing is known."""
    if not hasattr(os, "getloadavg") or (load := os.getloadavg()[0]) <= (cores := os.cpu_count() or 1):
        return None
    return f"this machine is busy (load {load:.1f} on {cores} cores)"


def merged(points: Sequence[Point]) -> tuple[Point, ...]:
    """One point per entry, the median where an entry was timed more than once (updates are, at every sample count).

    Of these all repeats are kept.
    """
    same: dict[Point, list[Point]] = {}
    for point in points:
        same.setdefault(replace(point, seconds=0.0, repeats=()), []).append(point)
    return tuple(
        replace(
            key,
            seconds=median(point.seconds for point in mine),
            repeats=tuple(ratio for point in mine for ratio in point.repeats),
        )
        for key, mine in same.items()
    )


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


def described(disk: DiskRates) -> str:
    """What it reads and writes."""
    rates = [show(rate, "B/s") for rate in (disk.read_bytes_per_s, disk.write_bytes_per_s)]
    return f"{disk.device}: reads {rates[0]}, writes {rates[1]} ({disk.source})"


def testbed_name(testbed: Testbed, cluster: Cluster) -> str:
    """Kind and line rate: ``netns_100mbit``."""
    return f"{testbed.name}_{mbit_per_s(cluster.network.slowest_bytes_per_s):g}mbit"


def main() -> None:
    """Do what the command line says."""
    run_command(calibrate_command, about=__doc__)


if __name__ == "__main__":
    main()
