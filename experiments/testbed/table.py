"""How do hosts look side by side? One row each."""

from collections.abc import Sequence

from rich.table import Table

from edgesim.units import mbit_per_s, show
from real_runtime.meters.by_name import name_of
from real_runtime.ssh.checking import HostReport

COLUMNS = ("host", "reached", "host key", "versions", "memory", "clock", "interface", "swap", "governor", "meter")


def host_table(reports: Sequence[HostReport]) -> Table:
    """What was found of each host; "-" for what its kernel does not tell."""
    table = Table(title="hosts")
    for column in COLUMNS:
        table.add_column(column, overflow="fold")  # a fingerprint is of use only as a whole
    for report in reports:
        table.add_row(*(_failed(report) if report.failure else _described(report)))
    return table


def _failed(report: HostReport) -> list[str]:
    return [f"{report.name}\n{report.host.place}", "no", *["-"] * (len(COLUMNS) - 2)]


def _described(report: HostReport) -> list[str]:
    facts, clock, link = report.facts, report.clock, report.facts["link"]
    assert clock is not None, "a host that was reached has told the time"
    memory, swap = facts["memory"], facts["memory"]["swap"]
    kept = "kept there" if report.was_there else "sent now"
    budget = "" if report.host.memory_bytes is None else f"\nfor plans {show(report.host.memory_bytes, 'B')}"
    speed = "-" if link is None or link["bytes_per_s"] is None else f"{mbit_per_s(link['bytes_per_s']):g} Mbit/s"
    return [
        f"{report.name}\n{report.host.place}",
        f"{report.arrived_s:.1f} s\nruntime {kept}",
        (report.host_key or "-").replace(" ", "\n"),
        f"Python {facts['python']}\ntorch {facts['packages']['torch'] or 'missing'}\n{facts['system']}",
        f"{_bytes(memory['available'])} of\n{_bytes(memory['total'])}{budget}",
        f"{clock.offset_s * 1e3:+.2f} ms\n± {clock.uncertainty_s * 1e3:.2f} ms",
        f"{facts['interface'] or '-'}\n{speed}",
        _bytes(swap) if swap else "off" if swap == 0 else "-",
        ", ".join(facts["governor"]) or "-",
        _meter(report),
    ]


def _meter(report: HostReport) -> str:
    """Its meter's name, and whether it was read."""
    meter = report.host.read_by
    if meter is None:
        return "-"
    if report.meter is not None:
        return f"{name_of(meter)}\nread there, covers the {report.meter.covers}"
    return f"{name_of(meter)}\n" + ("not readable" if report.meter_problem else "read here, after a run")


def _bytes(value: float | None) -> str:
    return "-" if value is None else show(value, "B")
