"""Trees of files laid out as boards show their power sensors, with readings whose totals are worked out by hand.

Layouts and rail names are those of NVIDIA's L4T kernels (R32 for JetPack 4, R34 to R36 for 5 and 6), Linux's ina3221
driver and its powercap folder; the numbers are round, so that a total can be checked by hand.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

IIO, HWMON = "bus/i2c/drivers/ina3221x", "bus/i2c/drivers/ina3221"
Channel = tuple[str, int, int]  # the rail's name, its voltage in mV, its current in mA


@dataclass(frozen=True, kw_only=True)
class Board:
    """A board: files below /sys by path, and the watts of its module by hand."""

    name: str
    files: Mapping[str, str]
    rail: str
    total_w: float

    def write(self, root: Path) -> Path:
        """Write the tree, and return its root."""
        for name, text in self.files.items():
            write(root, name, text)
        return root


def write(root: Path, name: str, text: str) -> Path:
    """One file of a tree; the system's files end in a newline."""
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text + "\n")
    return path


def iio(chip: str, device: int, channels: Sequence[Channel]) -> dict[str, str]:
    """JetPack 4: power in mW as the driver says it, which is voltage times current cut to whole milliwatts."""
    folder, files = f"{IIO}/{chip}/iio:device{device}", {}
    for n, (name, mv, ma) in enumerate(channels):
        files |= {
            f"{folder}/rail_name_{n}": name,
            f"{folder}/in_voltage{n}_input": str(mv),
            f"{folder}/in_current{n}_input": str(ma),
            f"{folder}/in_power{n}_input": str(mv * ma // 1000),
        }
    return files


def hwmon(folder: str, channels: Sequence[Channel]) -> dict[str, str]:
    """JetPack 5 and 6: voltages and currents, no power; a seventh input is the sum of the shunts' voltages."""
    files = {f"{folder}/name": "ina3221", f"{folder}/in7_label": "sum of shunt voltages", f"{folder}/in7_input": "42"}
    for n, (name, mv, ma) in enumerate(channels, start=1):
        files |= {
            f"{folder}/in{n}_label": name,
            f"{folder}/in{n}_input": str(mv),
            f"{folder}/curr{n}_input": str(ma),
        }
    return files


NANO = Board(
    name="Jetson Nano, JetPack 4",
    files=iio("6-0040", 0, [("POM_5V_IN", 5000, 448), ("POM_5V_GPU", 5000, 80), ("POM_5V_CPU", 5000, 120)]),
    rail="POM_5V_IN",
    total_w=2.24,  # 5.000 V x 0.448 A; with its parts it would be 3.24
)
TX2 = Board(
    name="Jetson TX2, JetPack 4",
    files=iio("0-0040", 0, [("VDD_SYS_GPU", 19000, 100), ("VDD_SYS_SOC", 19000, 50), ("VDD_4V0_WIFI", 4000, 10)])
    | iio("0-0041", 1, [("VDD_IN", 19000, 300), ("VDD_SYS_CPU", 19000, 60), ("VDD_SYS_DDR", 19000, 40)])
    | iio("0-0042", 2, [("VDD_MUX", 19000, 400), ("VDD_5V0_IO_SYS", 5000, 200), ("VDD_3V3_SYS", 3300, 100)]),
    rail="VDD_IN",
    total_w=5.7,  # 19.000 V x 0.300 A: the module; VDD_MUX feeds the carrier board
)
XAVIER_NX_4 = Board(
    name="Xavier NX, JetPack 4",
    files=iio("7-0040", 0, [("VDD_IN", 5000, 800), ("VDD_CPU_GPU_CV", 5000, 200), ("VDD_SOC", 5000, 180)]),
    rail="VDD_IN",
    total_w=4.0,
)
XAVIER_NX_5 = Board(
    name="Xavier NX, JetPack 5",
    files=hwmon(f"{HWMON}/7-0040/hwmon/hwmon6", [("VDD_IN", 4960, 1250), ("VDD_CPU_GPU_CV", 4960, 400)]),
    rail="VDD_IN",
    total_w=6.2,  # 4.960 V x 1.250 A
)
ORIN_NANO = Board(
    name="Orin Nano, JetPack 6",
    files=hwmon(
        f"{HWMON}/1-0040/hwmon/hwmon1", [("VDD_IN", 5064, 1000), ("VDD_CPU_GPU_CV", 5064, 300), ("VDD_SOC", 5064, 250)]
    ),
    rail="VDD_IN",
    total_w=5.064,
)
ORIN_NANO_IN_A_CONTAINER = Board(
    name="Orin Nano, only class/hwmon",
    files=hwmon("class/hwmon/hwmon3", [("VDD_IN", 5064, 1000)]) | {"class/hwmon/hwmon0/name": "cpu_thermal"},
    rail="VDD_IN",
    total_w=5.064,
)
BOARDS = (NANO, TX2, XAVIER_NX_4, XAVIER_NX_5, ORIN_NANO, ORIN_NANO_IN_A_CONTAINER)
AGX_XAVIER = iio("1-0040", 0, [("GPU", 19000, 100), ("CPU", 19000, 50), ("SOC", 19000, 60)]) | iio(
    "1-0041", 1, [("CV", 19000, 0), ("VDDRQ", 19000, 30), ("SYS5V", 19000, 90)]
)

RANGE_UJ = 262_143_328_850
POWERCAP = "class/powercap"


def zone(name: str, folder: str, energy_uj: int, range_uj: int = RANGE_UJ) -> dict[str, str]:
    """One zone of RAPL, flat as class/powercap has it."""
    folder = f"{POWERCAP}/{folder}"
    return {
        f"{folder}/name": name,
        f"{folder}/energy_uj": str(energy_uj),
        f"{folder}/max_energy_range_uj": str(range_uj),
    }


# Two sockets: 1000 J and 2000 J, their memory 100 J and 200 J. Cores are part of the first; the platform holds all; the
# first package appears again through memory-mapped registers.
SERVER = (
    zone("package-0", "intel-rapl:0", 1_000_000_000)
    | zone("core", "intel-rapl:0:0", 700_000_000)
    | zone("dram", "intel-rapl:0:1", 100_000_000)
    | zone("package-1", "intel-rapl:1", 2_000_000_000)
    | zone("dram", "intel-rapl:1:0", 200_000_000)
    | zone("psys", "intel-rapl:2", 5_000_000_000)
    | zone("package-0", "intel-rapl-mmio:0", 1_000_000_000)
)
SERVER_J = 3300.0
# One socket of two dies that show one counter, and one of two that have their own.
MIRRORED = (
    zone("package-0-die-0", "intel-rapl:0", 4_000_000_000)
    | zone("package-0-die-1", "intel-rapl:1", 4_000_100_000)
    | zone("package-1-die-0", "intel-rapl:2", 6_000_000_000)
    | zone("package-1-die-1", "intel-rapl:3", 7_000_000_000)
)
MIRRORED_ZONES = ["package-0-die-0", "package-1-die-0", "package-1-die-1"]


def until(holds: Callable[[], bool]) -> None:
    """Wait until something holds, which another thread does, for ten seconds at most."""
    end_s = time.monotonic() + 10.0
    while not holds():
        assert time.monotonic() < end_s, "nothing came of it"
        time.sleep(0.002)
