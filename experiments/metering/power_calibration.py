"""Which watts do a testbed's devices draw? Fitted while its hosts play a protocol, and kept as device files.

The file of a device is like the one that it names, but for its watts, each with its interval and where it comes from.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from edgesim.cluster import Device
from edgesim.metered import MeterFacts
from edgesim.metered.power_fit import PowerFit, Segment, fit_power, mean_watts, protocol_activity
from edgesim.whole_files import write_text
from experiments.metering.hosts import HostMeter, metering
from experiments.metering.protocol import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class DevicePower:
    """What was found of a device, on the host of one rank; ``means`` are its mean watts by segment."""

    device: Device
    rank: int
    fit: PowerFit
    means: dict[str, float | None]


def refuse_meters(meters: Sequence[HostMeter], *, asked: bool) -> None:
    """Raise ValueError where watts are asked for, and no meter reads each host by itself."""
    if asked and not meters:
        raise ValueError(
            "power=true fits watts to what a meter reads (say meter=..., see edgesim energy meters; or name a "
            "meter of each host in the inventory)"
        )
    for each in meters:
        if len(each.ranks) > 1:
            raise ValueError(
                f"{each.facts.source} reads ranks {', '.join(map(str, each.ranks))} together, and watts of one device "
                "cannot be told from that (a meter for each host, or meter=synthetic to try the protocol)"
            )


def calibrate_power(protocol: Protocol, meters: Sequence[HostMeter]) -> list[DevicePower]:
    """Play the protocol while meters read it, and fit each device, by the first of its hosts that has a meter.

    Raises ValueError for a meter that read too little; RunError, MeterError.
    """
    testbed = protocol.testbed
    with metering(meters, testbed) as read:
        segments = protocol.play()
    logs = read.logs(lambda rank: protocol_activity(segments, [rank]), [each.window_s for each in segments])
    found: dict[str, DevicePower] = {}
    for log in logs:
        (rank,) = log.ranks
        device = testbed.cluster.devices[rank]
        if device.name not in found:
            fit, means = fit_power(log, segments), mean_watts(log, _of(rank, segments))
            found[device.name] = DevicePower(device=device, rank=rank, fit=fit, means=means)
    return list(found.values())


def _of(rank: int, segments: Sequence[Segment]) -> list[Segment]:
    """Those in which a rank did something, and those in which nobody did."""
    return [
        each
        for each in segments
        if rank in each.disk_ranks
        or not (each.played or each.disk_ranks)
        or any(len(played.trace.of_rank(rank)) for played in each.played)
    ]


def save_power(found: DevicePower, folder: Path) -> Path:
    """Write the device's file, and return where."""
    path = folder / "device" / f"{found.device.name.replace('-', '_')}_metered.yaml"
    write_text(path, device_yaml(found))
    return path


def device_yaml(found: DevicePower, *, today: str | None = None) -> str:
    """The file of a device that is like another but for its watts."""
    fit, stem = found.fit, found.device.name.replace("-", "_")
    today = today or f"{datetime.now(UTC):%Y-%m-%d}"
    base = fit.idle_w.value
    operations = ", ".join(
        f"{state.removeprefix('compute ')} {fit.watts(state):.4g} W"
        for state in fit.above_w
        if state.startswith("compute ")
    )
    lines = [
        f"# {found.device.name}, with watts fitted to {_read(fit.log.facts)}.",
        "defaults:",
        f"  - {stem}",
        "  - _self_",
        "",
        "power:",
        f"  idle_w: {base:.6g} # fitted: {fit.idle_w.said('W')} (95 %)",
        f"  compute_w: {fit.compute_w:.6g} # fitted: the mean by time of {operations}",
    ]
    for name, state in (("transmit_w", "transmit"), ("receive_w", "receive")):
        lines.append(f"  {name}: {fit.watts(state):.6g} # {_above(fit, state)}")
    for way, amount in fit.j_per_byte.items():
        lines.append(f"  {way}_j_per_byte: {amount.value:.6g} # fitted: {amount.said('J/B')} (95 %)")
    warm = f"; {fit.warmed}" if fit.warmed else ""
    source = f"fitted to {fit.readings} readings of {_read(fit.log.facts)}, {today}{warm}"
    return "\n".join([*lines, f'  source: "{source.replace(chr(34), chr(39))}"']) + "\n"


def _above(fit: PowerFit, state: str) -> str:
    if state not in fit.above_w:
        return "assumed: as idle, for this could not be told"
    return f"fitted: idle_w and {fit.above_w[state].said('W')} (95 %) on top"


def _read(facts: MeterFacts) -> str:
    return f"{facts.source} ({facts.evidence}; covers the {facts.covers})"


def told(found: DevicePower) -> str:
    """The fit in words, beside what the device's file has declared so far."""
    fit, declared = found.fit, found.device.power
    rows = [("idle_w", fit.idle_w.value, declared.idle_w), ("compute_w", fit.compute_w, declared.compute_w)]
    rows += [("transmit_w", fit.watts("transmit"), declared.transmit_w)]
    rows += [("receive_w", fit.watts("receive"), declared.receive_w)]
    lines = [f"{found.device.name} (rank {found.rank}), {fit.readings} readings of {_read(fit.log.facts)}:"]
    lines += [f"  {name}: {fitted:.4g} W fitted, {was:.4g} W declared" for name, fitted, was in rows]
    lines += [
        f"  {state}: {amount.said('W')} above idle, over {fit.seconds[state]:.3g} s"
        for state, amount in fit.above_w.items()
    ]
    lines += [f"  {way}: {amount.said('J/B')}" for way, amount in fit.j_per_byte.items()]
    lines += [f"  not told apart: {', '.join(fit.untold)}"] if fit.untold else []
    means = ("no reading" if watts is None else f"{watts:.4g} W" for watts in found.means.values())
    lines += [f"  mean while {name}: {watts}" for name, watts in zip(found.means, means, strict=True)]
    lines += [f"  warning: {fit.warmed}"] if fit.warmed else []
    return "\n".join(lines)
