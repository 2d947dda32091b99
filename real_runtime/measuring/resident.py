"""How much memory of the machine does this process hold, and what was the most? As Linux counts it."""

from pathlib import Path

from edgesim.units import si

_KIB = si("1 KiB")


def resident_bytes() -> int:
    """What is resident now."""
    return _told("VmRSS")


def resident_peak_bytes() -> int:
    """The most that was resident since the process began, or since :func:`forget_resident_peak`."""
    return _told("VmHWM")


def forget_resident_peak() -> None:
    """Let the peak begin anew with what is resident now."""
    Path("/proc/self/clear_refs").write_text("5")


def _told(name: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(round(int(line.split()[1]) * _KIB) for line in lines if line.startswith(f"{name}:"))
