"""What is measured again where a run was off, and with what does one plan then? A device's layers, links, disks."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from omegaconf import DictConfig
from rich.progress import Progress

from edgesim.cluster import Cluster, DiskRates, Origin, with_disks
from edgesim.profile import Profile
from experiments.autopilot.deviations import Deviation
from experiments.autopilot.tolerances import Means
from experiments.calibrate import calibrate, timed
from experiments.configuration.setup import Setup
from real_runtime.testbeds.disks import measured_disks
from real_runtime.testbeds.testbed import Testbed


@dataclass(frozen=True, slots=True, kw_only=True)
class Again:
    """What is to be measured again: the layers on the devices of these names, all links, all disks."""

    devices: frozenset[str] = frozenset()
    links: bool = False
    disks: bool = False

    def __bool__(self) -> bool:
        return bool(self.devices) or self.links or self.disks

    def __str__(self) -> str:
        words = [*sorted(self.devices), *(["links"] if self.links else []), *(["disks"] if self.disks else [])]
        return ", ".join(words) or "nothing"

    def without(self, other: "Again") -> "Again":
        """What is in this and not in the other."""
        return Again(
            devices=self.devices - other.devices,
            links=self.links and not other.links,
            disks=self.disks and not other.disks,
        )

    def with_all_of(self, other: "Again") -> "Again":
        """Both."""
        return Again(
            devices=self.devices | other.devices, links=self.links or other.links, disks=self.disks or other.disks
        )


def again_for(off: Iterable[Deviation], cluster: Cluster) -> Again:
    """What has to be measured again for these."""
    found = list(off)
    ranks = {each.place[0] for each in found if each.means is Means.COMPUTING}
    return Again(
        devices=frozenset(cluster.devices[rank].name for rank in ranks),
        links=any(each.means is Means.LINKS for each in found),
        disks=any(each.means is Means.DISKS for each in found),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibrated:
    """Nouns with what was measured of a testbed; ``disks`` as they were measured, nothing where they were not."""

    setup: Setup
    disks: Sequence[DiskRates] = ()


def first_calibration(cfg: DictConfig, setup: Setup, testbed: Testbed, progress: Progress) -> tuple[Calibrated, str]:
    """What the configuration names as measured, and the rest measured now; and what that was, in words."""
    settings, network = cfg.calibration, setup.cluster.network
    layers_are_kept = setup.profile.origin is not Origin.ESTIMATED
    links_are_kept = network.origin is Origin.MEASURED
    if not layers_are_kept and not links_are_kept:
        return Calibrated(setup=setup.calibrated(*calibrate(testbed, setup, settings, progress))), "all"
    if not links_are_kept:
        return Calibrated(setup=setup.calibrated(setup.profile, testbed.measure_network())), "links"
    if not layers_are_kept:
        profile = timed(testbed, setup.model, setup.workload, settings.samples, settings.repeats)
        return Calibrated(setup=setup.calibrated(profile, network)), "all devices"
    return Calibrated(setup=setup), "nothing: a kept calibration"


def measured_again(cfg: DictConfig, known: Calibrated, testbed: Testbed, again: Again) -> Calibrated:
    """The same with what is measured anew in the place of what was known."""
    setup, disks = known.setup, known.disks
    profile, network = setup.profile, setup.cluster.network
    if again.devices:
        profile = _with_devices_timed_again(cfg, setup, testbed, again.devices)
    if again.links:
        network = testbed.measure_network()
    setup = setup.calibrated(profile, network)
    if again.disks:
        disks = measured_disks(testbed, cfg.calibration.disk_folder)
        setup = replace(setup, cluster=with_disks(setup.cluster, disks))
    return Calibrated(setup=setup, disks=disks)


def _with_devices_timed_again(cfg: DictConfig, setup: Setup, testbed: Testbed, devices: frozenset[str]) -> Profile:
    """The profile with all points of these devices new, at the counts of samples at which it knows them."""
    known = setup.profile
    counts = sorted({point.samples for point in known.points if point.device in devices and point.samples})
    ranks = [rank for rank, device in enumerate(setup.cluster.devices) if device.name in devices]
    new = timed(testbed, setup.model, setup.workload, counts, cfg.calibration.repeats, ranks=ranks)
    kept = tuple(point for point in known.points if point.device not in devices)
    source = f"{known.source}; {', '.join(sorted(devices))} again: {new.source}"
    return replace(known, source=source, points=(*kept, *new.points))
