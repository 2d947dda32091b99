"""Which watts do a testbed's devices draw? Fitted while its hosts play a protocol, and kept as device files.

The file of a device is like the one that it names, but for its watts, each with its interval and where it comes from.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from edgesim.cluster import Device
from edgesim.computing_power import ComputingPower
from edgesim.metered import Covers, MeterFacts
from edgesim.metered.kind_fit import KindFit, fit_kinds
from edgesim.metered.power_fit import PowerFit, Segment, fit_power, mean_watts, protocol_activity
from edgesim.whole_files import write_text
from experiments.metering.hosts import HostMeter, metering
from experiments.metering.protocol import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class DevicePower:
    """What was found of a device, on the host of one rank; ``means`` are its mean watts by segment.

    ``kinds`` are its watts by kind of block, and by share of the peak, as far as they were told apart.
    """

    device: Device
    rank: int
    fit: PowerFit
    means: dict[str, float | None]
    kinds: tuple[KindFit, ...] = ()


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


def calibrate_power(protocol: Protocol, meters: Sequence[HostMeter], computing: ComputingPower) -> list[DevicePower]:
    """Play the protocol while meters read it, and fit each device, by the first of its hosts that has a meter.

    ``computing`` knows the blocks of what is computed.

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
            kinds = fit_kinds(log, segments, computing.done)
            found[device.name] = DevicePower(device=device, rank=rank, fit=fit, means=means, kinds=kinds)
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
    # A meter of the whole board reads what the board around the module always draws: the file leaves that out.
    beside_w = found.device.power.static_w if fit.log.facts.covers is Covers.BOARD else 0.0
    base = fit.idle_w.value - beside_w
    if base < 0:
        raise ValueError(
            f"{found.device.name}: idle watts are {fit.idle_w.value:.4g} W with the board, of which static_w="
            f"{beside_w:g} W are said to be drawn beside the module (correct static_w in the device's file)"
        )
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
        f"  compute_w: {fit.compute_w - beside_w:.6g} # fitted: the mean by time of {operations}",
    ]
    for name, state in (("transmit_w", "transmit"), ("receive_w", "receive")):
        lines.append(f"  {name}: {fit.watts(state) - beside_w:.6g} # {_above(fit, state)}")
    for way, amount in fit.j_per_byte.items():
        lines.append(f"  {way}_j_per_byte: {amount.value:.6g} # fitted: {amount.said('J/B')} (95 %)")
    lines += _by_kind(found, base)
    warm = f"; {fit.warmed}" if fit.warmed else ""
    source = f"fitted to {fit.readings} readings of {_read(fit.log.facts)}, {today}{warm}"
    return "\n".join([*lines, f'  source: "{source.replace(chr(34), chr(39))}"']) + "\n"


def _by_kind(found: DevicePower, idle_w: float) -> Iterator[str]:
    """Watts by kind of block, where what is reached of the peak certainly makes a difference to some kind's.

    What the device's own file says by kind or by pass does not go with other watts: it is fitted too, or left out.
    """
    declared, by_kind = found.device.power, any(kind.told for kind in found.kinds)
    for name, state in (("backward_w", "compute B"), ("update_w", "compute UPDATE")):
        if getattr(declared, name) is not None:
            if (by_kind and name == "backward_w") or state not in found.fit.above_w:
                yield f"  {name}: null"
            else:
                fitted_w = idle_w + found.fit.above_w[state].value
                yield f"  {name}: {fitted_w:.6g} # {_above(found.fit, state)}"
    if not by_kind:
        yield from ["  by_kind: []"] if declared.by_kind else []
        return
    yield "  by_kind:"
    for kind in found.kinds:
        stalled_w = idle_w + kind.stalled_above_w.value
        per_flop = kind.j_per_flop if kind.told else None
        full_w = stalled_w + (per_flop.value * found.device.flop_per_s if per_flop else 0.0)
        yield "    - _target_: edgesim.ComputeWatts"
        yield f"      kind: {kind.kind}"
        told = f"stalled_w and {per_flop.said('J/FLOP')} (95 %), at the whole peak" if per_flop else "as stalled_w"
        yield f"      watts: {full_w:.6g} # fitted: {told}"
        yield f"      stalled_w: {stalled_w:.6g} # fitted: idle_w and {kind.stalled_above_w.said('W')} (95 %) on top"
        yield f"      source: fitted to readings of computing by {found.fit.log.facts.source.split(' (')[0]}"


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
    lines += [
        f"  {kind.kind}: {kind.stalled_above_w.said('W')} above idle where no FLOP gets done" for kind in found.kinds
    ]
    lines += [f"  {kind.kind}: {kind.j_per_flop.said('J/FLOP')} on top" for kind in found.kinds if kind.j_per_flop]
    lines += [f"  not told apart: {', '.join(fit.untold)}"] if fit.untold else []
    means = ("no reading" if watts is None else f"{watts:.4g} W" for watts in found.means.values())
    lines += [f"  mean while {name}: {watts}" for name, watts in zip(found.means, means, strict=True)]
    lines += [f"  warning: {fit.warmed}"] if fit.warmed else []
    return "\n".join(lines)
