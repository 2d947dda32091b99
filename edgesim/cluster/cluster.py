"""Which devices work together? A cluster: devices in rank order, and the network that joins them."""

from dataclasses import dataclass

from edgesim.cluster.device import Device
from edgesim.cluster.network import Network


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """Devices in rank order, and the network that joins them."""

    name: str
    devices: tuple[Device, ...]
    network: Network

    def __post_init__(self) -> None:
        object.__setattr__(self, "devices", tuple(self.devices))
        if len(self.devices) != self.network.ranks:
            raise ValueError(
                f"cluster {self.name}: {len(self.devices)} devices but a network for {self.network.ranks} ranks"
            )

    def __str__(self) -> str:
        return f"{self.name}: " + ", ".join(f"{rank}={device}" for rank, device in enumerate(self.devices))
