"""Can each host of an inventory be used, what is it, and what there should be mended first, by which command?"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, cast

from edgesim.errors import MeterError, RunError
from edgesim.metered import MeterFacts
from edgesim.units import mbit_per_s, show
from real_runtime.meters.by_name import LIVE, name_of
from real_runtime.meters.meter import LiveMeter
from real_runtime.ssh.clock import ClockFit
from real_runtime.ssh.facts import PACKAGES
from real_runtime.ssh.far_host import PACKAGES as INSTALLED_BY
from real_runtime.ssh.far_host import FarHost
from real_runtime.ssh.hosts import attempted, reached
from real_runtime.ssh.inventory import Host, Reaching

LEAST_TORCH = (2, 4)
_SLOW_BYTES_PER_S = 90e6 / 8  # less is hardly meant: a cable that fell back to 10 Mbit/s
_HOT_C, _WALL_S, _UNCERTAIN_S = 75.0, 2.0, 0.002


@dataclass(frozen=True, slots=True, kw_only=True)
class HostReport:
    """What became of one host's check.

    Attributes:
        failure: why it cannot be used, with the way out; "" where it can.
        ahead_s: its time of day, of ours.
        meter: what is known of its meter, which was read once; None where that could not be, or has no meter there.
        meter_problem: why it could not, and what to do.
        warnings: what disturbs measurements there, each with what mends it.
    """

    name: str
    host: Host
    failure: str = ""
    host_key: str | None = None
    was_there: bool = False
    arrived_s: float = 0.0
    clock: ClockFit | None = None
    ahead_s: float = 0.0
    facts: dict[str, Any] = field(default_factory=dict)
    meter: MeterFacts | None = None
    meter_problem: str = ""
    warnings: tuple[str, ...] = ()


def checked(hosts: Sequence[tuple[str, Host]], reaching: Reaching) -> list[HostReport]:
    """Look at all hosts, side by side. Raises ValueError for a wrong wheel."""
    with reached(hosts, reaching, packages={}, tells_keys=True) as far:
        failed = attempted(far, FarHost.open)
        reports = [
            HostReport(name=name, host=host, failure=failed[number])
            if number in failed
            else _report(name, host, far[number])
            for number, (name, host) in enumerate(hosts)
        ]
    return [replace(report, warnings=tuple(warnings_of(report, reports))) for report in reports]


def _report(name: str, host: Host, far: FarHost) -> HostReport:
    meter, problem = _metered(host, far)
    return HostReport(
        name=name,
        host=host,
        host_key=far.host_key,
        was_there=far.was_there,
        arrived_s=far.arrived_s,
        clock=far.clock.fit,
        ahead_s=far.ahead_s,
        facts=far.facts,
        meter=meter,
        meter_problem=problem,
    )


def _metered(host: Host, far: FarHost) -> tuple[MeterFacts | None, str]:
    """What is known of its meter after one reading, or why it cannot be read; neither of one that is not read there."""
    meter = host.read_by
    if meter is None:
        return None, ""
    try:
        return (far.meter.tried(cast(LiveMeter, meter)), "") if name_of(meter) in LIVE else (None, "")
    except (MeterError, RunError, ValueError) as error:
        return None, str(error).removeprefix(f"{far.named}: ")


def warnings_of(report: HostReport, all_reports: Sequence[HostReport]) -> Iterator[str]:
    """Yield what disturbs measurements on a host that was reached, each with what mends it."""
    if not report.failure:
        yield from _of_software(report, all_reports)
        yield from _of_memory(report)
        yield from _of_speed(report)
        yield from _of_clock(report)
        yield from _of_link(report)
        if report.meter_problem:
            yield f"its {report.meter_problem}"


def _of_software(report: HostReport, all_reports: Sequence[HostReport]) -> Iterator[str]:
    facts, python = report.facts, report.facts["executable"]
    for name in PACKAGES:
        if facts["packages"].get(name) is None:
            yield f"no {name}, ranks cannot start: {python} -m pip install {INSTALLED_BY[name]}"
    torch, least = facts["packages"].get("torch"), facts.get("least_torch")
    if torch is not None and _numbers(torch) < LEAST_TORCH:
        yield f"torch {torch}, ranks need 2.4 or newer: {python} -m pip install 'torch>=2.4'"
    elif torch is not None and least is not None and _numbers(torch) < _numbers(least):
        yield (
            f"transformers {facts['packages'].get('transformers')} takes no torch before {least}, there is {torch}, "
            f"ranks cannot start: {python} -m pip install 'transformers[torch]>=5.0' torch=={torch.partition('+')[0]}"
        )
    for what, versions in (
        ("torch", {each.facts["packages"].get("torch") for each in all_reports if each.facts}),
        ("python", {each.facts["python"] for each in all_reports if each.facts}),
    ):
        own = facts["packages"].get("torch") if what == "torch" else facts["python"]
        if len(versions - {None}) > 1 and own is not None:
            mends = (
                f": {python} -m pip install torch==..."
                if what == "torch"
                else ": data=text and data=functions need a data.folder then, copied to every host"
            )
            yield f"{what} {own}, and other hosts have another one{mends}"


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(found) for found in re.findall(r"\d+", version)[:2])


def _of_memory(report: HostReport) -> Iterator[str]:
    memory = report.facts["memory"]
    available, budget = memory["available"], report.host.memory_bytes
    if budget is not None and available is not None and budget > available:
        yield (
            f"memory_bytes gives {show(budget, 'B')}, and {show(available, 'B')} are available: sudo systemctl "
            "isolate multi-user.target (ends the desktop), or give less"
        )
    if memory["swap"]:
        yield f"swap of {show(memory['swap'], 'B')} is on, what does not fit becomes slow instead: sudo swapoff -a"


def _of_speed(report: HostReport) -> Iterator[str]:
    slow = [name for name in report.facts["governor"] if name not in ("performance", "userspace")]
    if slow:
        yield (
            f"governor {', '.join(slow)} changes the frequency while it is measured: echo performance | sudo tee "
            "/sys/devices/system/cpu/cpu*/cpufreq/scaling_governor"
        )
    hottest_c = report.facts["hottest_c"]
    if hottest_c is not None and hottest_c >= _HOT_C:
        yield f"{hottest_c:.0f} °C: it will slow itself down (a fan, or a pause before it is measured)"
    if report.facts["load"] > 0.5:
        yield f"load {report.facts['load']:.1f}: something else computes there (top -b -n 1 | head -15)"


def _of_clock(report: HostReport) -> Iterator[str]:
    assert report.clock is not None, "a host that was reached has told the time"
    if report.clock.uncertainty_s > _UNCERTAIN_S:
        known_ms = report.clock.uncertainty_s * 1e3
        yield f"its clock is known to {known_ms:.1f} ms only: its line is slow or busy (an Ethernet cable for control)"
    if abs(report.ahead_s) > _WALL_S:
        yield (
            f"its time of day is {report.ahead_s:+.0f} s off: sudo timedatectl set-ntp true (traces "
            "do not need it, certificates and logs do)"
        )


def _of_link(report: HostReport) -> Iterator[str]:
    interface, link = report.facts["interface"], report.facts["link"]
    if link is None:
        yield f"no network interface {interface or 'at which SSH arrives'}, ranks cannot start: ip -br addr shows them"
        return
    if link["state"] not in ("up", "unknown"):
        yield f"{interface} is {link['state']}: sudo ip link set {interface} up (is its cable in?)"
    if link["bytes_per_s"] is not None and link["bytes_per_s"] < _SLOW_BYTES_PER_S:
        speed = mbit_per_s(link["bytes_per_s"])
        yield f"{interface} is at {speed:g} Mbit/s: ethtool {interface} says why (try another cable or port)"
    if link["is_wireless"]:
        yield f"{interface} is Wi-Fi, whose power saving delays messages: sudo iw dev {interface} set power_save off"
