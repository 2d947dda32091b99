"""How fast are the disks of emulated hosts? Timed by their ranks, one after the other, with a file of some seconds.

An emulated disk is as fast as its device's, if this machine's is.
"""

from edgesim.cluster import DiskRates
from edgesim.units import show
from real_runtime.testbeds.testbed import Testbed

_SECONDS, _MOST_BYTES = 0.5, 64 * 2**20  # of the nominal rate; but no more than that


def measured_disks(testbed: Testbed, folder: str | None = None) -> tuple[DiskRates, ...]:
    """Return what each host's disk reads and writes per second, by a file in a folder, which is gone again.

    None is the system's folder for temporary files. Raises RunError.
    """
    return tuple(_measured(testbed, rank, folder) for rank in range(len(testbed.cluster.devices)))


def _measured(testbed: Testbed, rank: int, folder: str | None) -> DiskRates:
    device, slow = testbed.cluster.devices[rank], testbed.spec.slow_motion
    slowest = min(device.disk_bytes_per_s, device.writes_bytes_per_s) / slow
    nbytes = round(min(_MOST_BYTES, max(slowest * _SECONDS, 1.0)))
    (timed,) = testbed.coordinator.ask({rank: {"do": "time_disk", "folder": folder, "nbytes": nbytes}})
    how = "read from the disk" if timed["is_cold"] else "read from memory, which the system did not let go of"
    return DiskRates(
        device=device.name,
        read_bytes_per_s=nbytes / timed["read_s"] * slow,
        write_bytes_per_s=nbytes / timed["write_s"] * slow,
        source=f"a file of {show(nbytes, 'B')} on {testbed.name}, written through to the disk, {how}",
    )
