"""What did a testbed's calibration find, and how is it used? Seconds of blocks, and the links as they were measured."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgesim.cluster import Network
from edgesim.profile import Profile
from experiments.configuration.network_file import save_network


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """What was timed on a testbed, of one model and one cluster.

    Attributes:
        name: what its files are called.
        profile: the seconds of the model's blocks on every device, measured; without points where only links were.
        network: the links as they were measured.
    """

    name: str
    profile: Profile
    network: Network

    def files(self, folder: str | Path = "results/profiles") -> tuple[Path, Path]:
        """Where :meth:`save` writes the network and the profile."""
        return Path(folder) / f"{self.name}.network.json", Path(folder) / f"{self.name}.profile.json"

    def save(self, folder: str | Path = "results/profiles") -> Mapping[str, Any]:
        """Write the network, and the profile if it has points, as the command ``calibrate`` does.

        Returns:
            The keywords with which ``simulate`` and ``execute`` use them: the profile, and the path of the network.
        """
        network, profile = self.files(folder)
        save_network(network, self.network)
        links = {"network": {"calibrated": str(network)}}
        if not self.profile.points:
            return links
        self.profile.save(profile)
        return {"profile": self.profile, **links}
