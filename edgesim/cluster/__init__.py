"""Where does the work run? Devices, what they draw, and the network that joins them."""

from edgesim.cluster.cluster import Cluster
from edgesim.cluster.compute_watts import ComputeWatts
from edgesim.cluster.device import Device, EfficiencyCurve
from edgesim.cluster.disk import DiskRates, with_disks
from edgesim.cluster.network import Network, Resource, ResourceKind, Topology
from edgesim.cluster.origin import Origin
from edgesim.cluster.power import Grid, PowerModel
from edgesim.cluster.rail import Rail, by_rail_j

__all__ = [
    "Cluster",
    "ComputeWatts",
    "Device",
    "DiskRates",
    "EfficiencyCurve",
    "Grid",
    "Network",
    "Origin",
    "PowerModel",
    "Rail",
    "Resource",
    "ResourceKind",
    "Topology",
    "by_rail_j",
    "with_disks",
]
