"""What did a testbed's calibration find, and how is it used? Seconds of blocks, and links and disks as measured."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgesim.cluster import DiskRates, Network
from edgesim.profile import Profile
from experiments.configuration.network_file import save_disks, save_network
from experiments.metering.power_calibration import DevicePower


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """What was timed on a testbed, of one model and one cluster.

    Attributes:
        name: what its files are called.
        profile: the seconds of the model's blocks on every device, measured; without points where only links were.
        network: the links as they were measured.
        disks: the ranks' disks as they were measured.
        power: the devices' watts, where these were asked for.
    """

    name: str
    profile: Profile
    network: Network
    disks: Sequence[DiskRates] = ()
    power: Sequence[DevicePower] = ()

    def files(self, folder: str | Path = "results/profiles") -> tuple[Path, Path]:
        """Where :meth:`save` writes the network and the profile."""
        return Path(folder) / f"{self.name}.network.json", Path(folder) / f"{self.name}.profile.json"

    def disks_file(self, folder: str | Path = "results/profiles") -> Path:
        """Where :meth:`save` writes the disks."""
        return Path(folder) / f"{self.name}.disks.json"

    def save(self, folder: str | Path = "results/profiles") -> Mapping[str, Any]:
        """Write the network, the disks, and the profile if it has points, as the command ``calibrate`` does.

        Returns:
            The keywords with which ``simulate`` and ``execute`` use them: the profile, and the paths of the others.
        """
        network, profile = self.files(folder)
        save_network(network, self.network)
        links: dict[str, Any] = {"network": {"calibrated": str(network)}}
        if self.disks:
            save_disks(disks := self.disks_file(folder), self.disks)
            links["disks"] = str(disks)
        if not self.profile.points:
            return links
        self.profile.save(profile)
        return {"profile": self.profile, **links}
