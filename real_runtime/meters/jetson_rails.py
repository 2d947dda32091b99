"""What does a Jetson's own sensor read? The rail at the module's input, by its INA3221, as JetPack 4 to 6 show it.

JetPack 4 (L4T 32) has a driver of its own: iio:device*/rail_name_N beside in_powerN_input, in mW. From JetPack 5 on
(L4T 34) it is Linux's: hwmon*/inN_label beside inN_input in mV and currN_input in mA. The total is the rail VDD_IN, or
POM_5V_IN of a Nano. Other rails are parts of it: adding them would count them twice, and without a total their sum is
not all that the module draws (an AGX has no such rail). The sensor sits on the module: carrier board, disk, fan and
what hangs on USB are not read, so that the rail covers the module.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from edgesim.errors import MeterError
from edgesim.metered import Covers, Evidence, MeterFacts, Quantity
from real_runtime.meters.meter import number_of_file, text_of_file

TOTALS = ("VDD_IN", "POM_5V_IN")
_IIO, _HWMON = "bus/i2c/drivers/ina3221x/*/iio:device*", "bus/i2c/drivers/ina3221/*/hwmon/hwmon*"
_CLASS = "class/hwmon/hwmon*"  # the same chips, where the driver's folder is hidden, as in containers
_CHANNELS = range(4)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rail:
    """One channel of a sensor: its name, and files whose product is its power in units of ``unit_w``."""

    name: str
    files: tuple[Path, ...]
    unit_w: float

    def watts(self) -> float:
        """Return the power now. Raises MeterError."""
        watts = self.unit_w
        for file in self.files:
            watts *= number_of_file(file)
        if watts < 0:
            raise MeterError(f"{self.files[0]} reads {watts:g} W, which no module draws")
        return watts


def rails(root: Path) -> list[Rail]:
    """Return all rails that the sensors under a root like /sys name; none where there is no such sensor."""
    found = [_iio_rail(device, n) for device in sorted(root.glob(_IIO)) for n in _CHANNELS]
    hwmon = sorted(root.glob(_HWMON)) or sorted(filter(_is_ina3221, root.glob(_CLASS)))
    found += [_hwmon_rail(device, n) for device in hwmon for n in _CHANNELS]
    return [rail for rail in found if rail is not None]


def total_of(found: Sequence[Rail]) -> Rail:
    """Return the rail that feeds the module. Raises MeterError where it is not there, or not the only one."""
    totals = [rail for rail in found if rail.name in TOTALS]
    if len(totals) > 1:
        raise MeterError(
            f"{len(totals)} rails are called {totals[0].name}: {', '.join(str(r.files[0]) for r in totals)}"
        )
    if totals:
        return totals[0]
    if not found:
        raise MeterError(
            "no INA3221 sensor is here: this is no Jetson with one, such as a Nano 2GB (meter=wall_csv reads a meter "
            "at its plug)"
        )
    raise MeterError(
        f"the sensor has {', '.join(sorted(rail.name for rail in found))}, and no rail {' or '.join(TOTALS)}: parts do "
        "not add up to what the module draws (meter=wall_csv reads a meter at its plug)"
    )


def _iio_rail(device: Path, n: int) -> Rail | None:
    if not (label := device / f"rail_name_{n}").exists():
        return None
    if (power := device / f"in_power{n}_input").exists():
        return Rail(name=text_of_file(label), files=(power,), unit_w=1e-3)
    files = (device / f"in_voltage{n}_input", device / f"in_current{n}_input")
    return Rail(name=text_of_file(label), files=files, unit_w=1e-6)


def _hwmon_rail(device: Path, n: int) -> Rail | None:
    label, current = device / f"in{n}_label", device / f"curr{n}_input"
    if not label.exists() or not current.exists():  # some have a label for the sum of shunt voltages
        return None
    return Rail(name=text_of_file(label), files=(device / f"in{n}_input", current), unit_w=1e-6)


def _is_ina3221(device: Path) -> bool:
    return (device / "name").exists() and text_of_file(device / "name") == "ina3221"


@dataclass(frozen=True, slots=True, kw_only=True)
class JetsonRails:
    """The rail at the input of a Jetson's module.

    Attributes:
        period_s: from one reading to the next.
        root: where the system's tree is.
        resolution_w: what the sensor tells apart: 40 uV over a shunt of 5 mOhm, at 5 V.
    """

    period_s: float = 0.1
    root: str = "/sys"
    resolution_w: float = 0.04
    paces_itself = False

    @property
    def facts(self) -> MeterFacts:
        """What is known of it. Raises MeterError where there is no sensor with a total."""
        rail = total_of(rails(Path(self.root)))
        return MeterFacts(
            source=f"INA3221 rail {rail.name} ({rail.files[0].parent})",
            covers=Covers.MODULE,
            evidence=Evidence.MEASURED,
            quantity=Quantity.POWER,
            period_s=self.period_s,
            resolution=self.resolution_w,
        )

    def open(self, processes: Sequence[int]) -> "RailReader":
        """Begin to read."""
        return RailReader(Path(self.root))


class RailReader:
    """Reads the total; a rail that is not there yet is looked for at every reading."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._rail: Rail | None = None

    def read(self) -> float:
        """Return the watts now. Raises MeterError."""
        if self._rail is None:
            self._rail = total_of(rails(self._root))
        return self._rail.watts()

    def close(self) -> None:
        """Nothing is held open."""
