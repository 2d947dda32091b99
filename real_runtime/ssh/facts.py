"""What is this host? Versions, processors, memory, network, clock and what slows it down, as its kernel tells them.

Only the standard library is needed: a host that lacks something is described all the same. What the kernel does not
tell is None, never a guess.
"""

import fcntl
import os
import platform
import re
import shutil
import socket
import struct
import sys
import time
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import Any

PACKAGES = ("torch", "transformers", "numpy", "safetensors")
_SIOCGIFADDR = 0x8915
_SYS, _PROC = Path("/sys"), Path("/proc")


def facts(interface: str | None) -> dict[str, Any]:
    """All of it; ``interface`` is the one that messages pass, None the one at which SSH arrived."""
    named = interface or arrival_interface()
    return {
        "python": platform.python_version(),
        "executable": sys.executable,
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "board": _text(_PROC / "device-tree/model") or _text(_SYS / "class/dmi/id/product_name"),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "packages": {name: _version(name) for name in PACKAGES},
        "least_torch": least_torch(),
        "memory": memory(),
        "free_bytes": shutil.disk_usage(Path.home() if Path.home().is_dir() else "/").free,
        "governor": governors(),
        "hottest_c": hottest_c(),
        "interface": named,
        "link": None if named is None else link(named),
        "wall_s": time.time(),
        "load": os.getloadavg()[0],
    }


def least_torch() -> str | None:
    """The oldest PyTorch that the installed transformers takes, as it says itself; None where it does not."""
    try:
        wanted = requires("transformers") or []
    except PackageNotFoundError:
        return None
    found = (re.match(r"torch *\(?>= *([0-9.]+).*extra == .torch.", line) for line in wanted)
    return next((match[1] for match in found if match is not None), None)


def arrival_interface() -> str | None:
    """The interface that has the address at which SSH arrived; None where nobody came over SSH."""
    words = os.environ.get("SSH_CONNECTION", "").split()
    if len(words) != 4:
        return None
    arrived = words[2].removeprefix("::ffff:").partition("%")[0]
    return next((name for _, name in socket.if_nameindex() if arrived in addresses(name)), None)


def addresses(interface: str) -> Iterator[str]:
    """The addresses of an interface, as text."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        try:
            answer = fcntl.ioctl(any_socket, _SIOCGIFADDR, struct.pack("256s", interface.encode()[:15]))
            yield socket.inet_ntoa(answer[20:24])
        except OSError:  # it has none of version 4
            pass
    for line in (_text(_PROC / "net/if_inet6") or "").splitlines():
        digits, *_, name = line.split()
        if name == interface:
            yield socket.inet_ntop(socket.AF_INET6, bytes.fromhex(digits))


def link(interface: str) -> dict[str, Any] | None:
    """How an interface is; None if there is none of this name."""
    folder = _SYS / "class/net" / interface
    if interface not in [name for _, name in socket.if_nameindex()]:
        return None
    speed = _text(folder / "speed")  # in Mbit/s; -1 or an error where it has none of its own, as Wi-Fi
    return {
        "state": _text(folder / "operstate"),
        "bytes_per_s": float(speed) * 1e6 / 8 if speed is not None and speed.isdecimal() else None,
        "is_wireless": (folder / "wireless").exists(),
        "addresses": list(addresses(interface)),
    }


def memory() -> dict[str, float | None]:
    """Bytes of memory and of swap, by the kernel's own names for them."""
    rows = dict(line.split(":", 1) for line in (_text(_PROC / "meminfo") or "").splitlines() if ":" in line)
    names = {"total": "MemTotal", "available": "MemAvailable", "swap": "SwapTotal", "swap_free": "SwapFree"}
    return {ours: float(rows[name].split()[0]) * 1024 if name in rows else None for ours, name in names.items()}


def governors() -> list[str]:
    """What sets the processors' frequency; empty where the kernel leaves it to somebody else."""
    files = _SYS.glob("devices/system/cpu/cpu*/cpufreq/scaling_governor")
    return sorted({text for path in files if (text := _text(path)) is not None})


def hottest_c() -> float | None:
    """The hottest of the kernel's thermal zones, in degrees Celsius."""
    found = [_text(path) for path in _SYS.glob("class/thermal/thermal_zone*/temp")]
    values = [float(text) / 1000 for text in found if text is not None and text.lstrip("-").isdecimal()]
    return max(values, default=None)


def _text(path: Path) -> str | None:
    try:
        return path.read_text(errors="replace").strip("\0 \n") or None
    except OSError:
        return None


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
