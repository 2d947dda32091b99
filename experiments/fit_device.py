"""Fit devices to a measured profile: how efficient is each at which work? Writes a device file that says so.

    python -m experiments.fit_device profile=measured profile.path=results/profiles/netns_100mbit.profile.json
    python -m experiments.fit_device profile=measured profile.path=... fit.knots=2

Model, workload and cluster are those that were calibrated. Writes results/fitted/device/<device>_fitted.yaml for every
device of the cluster; with these, models that were never timed on the devices can be estimated:

    python -m experiments.run --config-dir results/fitted device@devices.fast=demo_fast_fitted
"""

from pathlib import Path

from omegaconf import DictConfig

from edgesim.calibration import Fit, fit_efficiency, held_out_error
from edgesim.cluster import EfficiencyCurve, Origin
from edgesim.profile import CALL
from experiments.commands import as_typed
from experiments.configuration.command_line import run_command
from experiments.configuration.result_folders import write_text
from experiments.configuration.setup import read_setup


def fit_device(cfg: DictConfig) -> None:
    """Fit, write, and say how well each device's curves predict what they were not fitted to."""
    setup = read_setup(cfg)
    if setup.profile.origin is not Origin.MEASURED:
        raise ValueError(
            f"profile is {setup.profile.origin}, and only measured seconds say how efficient a device is "
            "(say profile=measured profile.path=...)"
        )
    print(setup.profile)
    folder = Path(cfg.results) / "fitted"
    for device in {device.name: device for device in setup.cluster.devices}.values():
        points = [point for point in setup.profile.points if point.device == device.name and point.block != CALL]
        fit = fit_efficiency(points, setup.model, device, knots=cfg.fit.knots)
        error = held_out_error(points, setup.model, device, knots=cfg.fit.knots)
        held_out = "unknown (needs two sample counts)" if error is None else f"{error:.1%} (median)"
        path = folder / "device" / f"{stem(device.name)}_fitted.yaml"
        write_text(path, device_yaml(fit, f"{setup.profile.source}, {setup.profile.hash[:12]}"))
        print(f"{fit}\n  every second sample count, from a fit to the others: {held_out}\n  written: {path}")
    print(as_typed(f"Use one: python -m experiments.run --config-dir {folder} device@devices.NAME={path.stem}"))


def stem(name: str) -> str:
    """A device's file is named like the device."""
    return name.replace("-", "_")


def device_yaml(fit: Fit, profile: str) -> str:
    """The file of a device that is like another but for its efficiency."""
    lines = [
        f"# {fit.device.name}, as efficient as measured: {profile}.",
        "defaults:",
        f"  - {stem(fit.device.name)}",
        "  - _self_",
        "",
        f"name: {fit.device.name}-fitted",
        "efficiency:",
    ]
    for curve in fit.device.efficiency:
        lines += _curve_lines(curve, profile)
    return "\n".join(lines) + "\n"


def _curve_lines(curve: EfficiencyCurve, profile: str) -> list[str]:
    work = ", ".join(f"{flop:.4e}" for flop in curve.work_flop)
    fraction = ", ".join(f"{part:.4f}" for part in curve.fraction)
    return [
        "  - _target_: edgesim.EfficiencyCurve",
        f"    kind: {curve.kind}",
        f"    work_flop: [{work}] # derived: from the measured blocks' sizes",
        f"    fraction: [{fraction}] # derived: fitted to measured seconds",
        f'    source: "{curve.source}; profile {profile}"',
    ]


def main() -> None:
    """Do what the command line says."""
    run_command(fit_device, about=__doc__)


if __name__ == "__main__":
    main()
