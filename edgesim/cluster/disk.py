"""How fast does a device's disk read and write? As it was measured, beside what a device's file assumes."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from edgesim.cluster.cluster import Cluster
from edgesim.units import require_numbers


@dataclass(frozen=True, slots=True, kw_only=True)
class DiskRates:
    """What one device's disk sustains; ``source`` says how that was measured, and whether what was read lay in memory.

    ``device`` is its name.
    """

    device: str
    read_bytes_per_s: float
    write_bytes_per_s: float
    source: str

    def __post_init__(self) -> None:
        require_numbers(f"disk of {self.device}", self)
        for name in ("read_bytes_per_s", "write_bytes_per_s"):
            if not getattr(self, name) > 0:
                raise ValueError(f"disk of {self.device}: {name} must be positive, got {getattr(self, name)}")


def with_disks(cluster: Cluster, disks: Sequence[DiskRates]) -> Cluster:
    """Return the cluster with these disks, one for each rank. Raises ValueError for those of other devices."""
    names, measured = [device.name for device in cluster.devices], [disk.device for disk in disks]
    if names != measured:
        raise ValueError(f"disks of {', '.join(measured)} were measured, cluster {cluster.name} has {', '.join(names)}")
    devices = (
        replace(
            device,
            disk_bytes_per_s=disk.read_bytes_per_s,
            disk_write_bytes_per_s=disk.write_bytes_per_s,
            disk_source=disk.source,
        )
        for device, disk in zip(cluster.devices, disks, strict=True)
    )
    return replace(cluster, devices=tuple(devices))
