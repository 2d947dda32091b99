"""What does an NVIDIA card say of its power? NVML's energy counter, or where a card has none its power now.

It covers the card alone. A Jetson's driver does not know: NVML answers "not supported" there, or zero, and so a Tegra
is refused by name. It needs nvidia-ml-py (pip install "edgesim[meters]").
"""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from edgesim.errors import MeterError
from edgesim.metered import Covers, Evidence, MeterFacts, Quantity

_RELEASE, _COMPATIBLE = "etc/nv_tegra_release", "proc/device-tree/compatible"
_MJ = 1e-3  # of the counter, in J; power is in mW alike


def is_tegra(root: Path) -> bool:
    """Whether this machine is a Jetson, or another Tegra."""
    tree = root / _COMPATIBLE
    return (root / _RELEASE).exists() or (tree.exists() and b"tegra" in tree.read_bytes().lower())


@dataclass(frozen=True, slots=True, kw_only=True)
class Nvml:
    """One card.

    Attributes:
        period_s: from one reading to the next.
        card: its number.
        root: where the system's tree is.
    """

    period_s: float = 0.1
    card: int = 0
    root: str = "/"
    paces_itself = False

    @property
    def facts(self) -> MeterFacts:
        """What is known of it. Raises MeterError where there is no card that says its power."""
        reader = self.open(())
        try:
            reader.read()
            return MeterFacts(
                source=f"NVML {'energy counter' if reader.counts else 'power'} of card {self.card}, {reader.name}",
                covers=Covers.CARD,
                evidence=Evidence.MEASURED,
                quantity=Quantity.ENERGY if reader.counts else Quantity.POWER,
                period_s=self.period_s,
                resolution=_MJ,
            )
        finally:
            reader.close()

    def open(self, processes: Sequence[int]) -> "NvmlReader":
        """Begin to read. Raises MeterError."""
        if is_tegra(Path(self.root)):
            raise MeterError(
                "this is a Tegra, whose driver does not tell NVML its power (meter=jetson_rails reads its rail)"
            )
        if find_spec("pynvml") is None:
            raise MeterError('no module pynvml: NVML is read by nvidia-ml-py (pip install "edgesim[meters]")')
        return NvmlReader(import_module("pynvml"), self.card)


class NvmlReader:
    """Reads a card's counter, or its power."""

    def __init__(self, nvml: Any, card: int) -> None:
        self._nvml = nvml
        try:
            nvml.nvmlInit()
            self._card = nvml.nvmlDeviceGetHandleByIndex(card)
            name = nvml.nvmlDeviceGetName(self._card)
        except nvml.NVMLError as error:
            raise MeterError(f"NVML gives no card {card}: {error}") from error
        self.name = name.decode() if isinstance(name, bytes) else str(name)
        self.counts = True
        try:
            nvml.nvmlDeviceGetTotalEnergyConsumption(self._card)
        except nvml.NVMLError:
            self.counts = False  # before Volta

    def read(self) -> float:
        """Return the joules since the driver was loaded, or the watts now. Raises MeterError."""
        read = self._nvml.nvmlDeviceGetTotalEnergyConsumption if self.counts else self._nvml.nvmlDeviceGetPowerUsage
        try:
            return float(read(self._card)) * _MJ
        except self._nvml.NVMLError as error:
            raise MeterError(f"{self.name} does not say its power: {error}") from error

    def close(self) -> None:
        """Let the driver go."""
        self._nvml.nvmlShutdown()
