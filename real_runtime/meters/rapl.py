"""What do a processor's own energy counters say? RAPL's packages and their memory, as Linux's powercap shows them.

Zones are counted by what they are: each package once (on some machines the same counter appears a second time, through
intel-rapl-mmio), and its DRAM beside it, which no package counter contains. Cores and uncore are parts of a package,
and psys contains packages: neither is added. Where a package has several dies (package-0-die-1), each has a zone; some
processors show one counter under all of them, and so dies whose counters agree are counted once. Counters begin anew at
their range, which may happen once between two readings.

Since Linux 5.10 only root may read them (CVE-2020-8694).
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from edgesim.errors import MeterError
from edgesim.metered import Covers, Evidence, MeterFacts, Quantity
from real_runtime.meters.meter import number_of_file, text_of_file

_ZONES = "class/powercap/*rapl*"
_NAMED = re.compile(r"package-(?P<package>\d+)(?:-die-(?P<die>\d+))?")
_UJ = 1e-6
# Two counters, read one after the other, that differ by no more are one. The largest packages are specified for 500 W
# (AMD's EPYC 9965, Intel's Xeon 6980P), and a file of sysfs is read well within a millisecond: 500 W x 1 ms = 0.5 J.
_ALIKE_J = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Zone:
    """One counter that counts: its name, such as ``package-0`` or ``package-0 dram``, and where it is."""

    name: str
    folder: Path

    @property
    def range_j(self) -> float:
        """From which value on it begins anew. Raises MeterError."""
        range_j = number_of_file(self.folder / "max_energy_range_uj") * _UJ
        if not range_j > 0:
            raise MeterError(
                f"{self.folder}/max_energy_range_uj says {range_j:g} J: where the counter begins anew is unknown"
            )
        return range_j

    def joules(self) -> float:
        """Its value now. Raises MeterError."""
        return number_of_file(self.folder / "energy_uj") * _UJ


def zones(root: Path) -> list[Zone]:
    """Return the counters that add up to all packages and their memory, each once. Raises MeterError."""
    folders = [path for path in root.glob(_ZONES) if (path / "name").exists()]
    folders.sort(key=lambda path: ("mmio" in path.name, path.name))  # a package's first zone has its memory
    names = {path: text_of_file(path / "name") for path in folders}
    counted: dict[str, Zone] = {}
    for folder, name in names.items():
        if _NAMED.fullmatch(name):
            counted.setdefault(name, Zone(name=name, folder=folder))
    packages = list(counted.values())
    for package in packages:
        for folder in _parts(package.folder, names):
            if names[folder] == "dram":
                counted[f"{package.name} dram"] = Zone(name=f"{package.name} dram", folder=folder)
    if not counted:
        raise MeterError(
            f"no RAPL package is under {root}/class/powercap: another processor, a virtual machine, or a container "
            "that hides it (meter=cpu_time estimates; meter=wall_csv reads a meter at the plug)"
        )
    return list(_without_mirrors(list(counted.values())))


def _parts(folder: Path, names: dict[Path, str]) -> list[Path]:
    """Zones within one: intel-rapl:0:1 of intel-rapl:0."""
    return [path for path in names if path.name.startswith(f"{folder.name}:")]


def _without_mirrors(found: Sequence[Zone]) -> Iterator[Zone]:
    """Of dies of one package, those whose counters are not the same one again."""
    kept: list[tuple[Zone, float]] = []
    for zone in found:
        die = _NAMED.match(zone.name)
        if die is None or die["die"] is None:
            yield zone
            continue
        joules, is_dram = zone.joules(), zone.name.endswith("dram")
        mirrors = (
            other
            for other, before in kept
            if _package(other.name) == die["package"]
            and other.name.endswith("dram") == is_dram
            and abs(joules - before) <= _ALIKE_J
        )
        if next(mirrors, None) is None:
            kept.append((zone, joules))
            yield zone


def _package(name: str) -> str:
    found = _NAMED.match(name)
    assert found is not None, "zones are packages, or parts of one"
    return found["package"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rapl:
    """The energy counters of this machine's processors and their memory.

    Attributes:
        period_s: from one reading to the next; shorter than a counter's way through its range, a minute and more.
        root: where the system's tree is.
    """

    period_s: float = 0.1
    root: str = "/sys"
    paces_itself = False

    @property
    def facts(self) -> MeterFacts:
        """What is known of it. Raises MeterError where counters are not there, or not for this user."""
        found = zones(Path(self.root))
        for zone in found:
            zone.joules()
        return MeterFacts(
            source=f"RAPL counters {' + '.join(zone.name for zone in found)}",
            covers=Covers.PACKAGE,
            evidence=Evidence.MEASURED,
            quantity=Quantity.ENERGY,
            period_s=self.period_s,
            resolution=61e-6,  # 2^-14 J, of most processors
        )

    def open(self, processes: Sequence[int]) -> "RaplReader":
        """Begin to read. Raises MeterError."""
        return RaplReader(zones(Path(self.root)))


class RaplReader:
    """Adds up counters, which begin anew and go on."""

    def __init__(self, found: Sequence[Zone]) -> None:
        self._zones = [(zone, zone.range_j) for zone in found]
        self._last_j = [zone.joules() for zone in found]
        self._passed_j = 0.0

    def read(self) -> float:
        """Return the joules since it was opened. Raises MeterError where one of the counters cannot be read."""
        now_j = [zone.joules() for zone, _ in self._zones]
        for (_, range_j), before, after in zip(self._zones, self._last_j, now_j, strict=True):
            self._passed_j += after - before + (range_j if after < before else 0.0)
        self._last_j = now_j
        return self._passed_j

    def close(self) -> None:
        """Nothing is held open."""
