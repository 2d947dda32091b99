"""Where does the work run? Devices, what they draw, and the network that joins them."""

from edgesim.cluster.cluster import Cluster
from edgesim.cluster.device import Device, EfficiencyCurve
from edgesim.cluster.disk import DiskRates, with_disks
from edgesim.cluster.network import Network, Resource, ResourceKind, Topology
from edgesim.cluster.origin import Origin
from edgesim.cluster.power import Grid, PowerModel

__all__ = [
    "Cluster",
    "Device",
    "DiskRates",
    "EfficiencyCurve",
    "Grid",
    "Network",
    "Origin",
    "PowerModel",
    "Resource",
    "ResourceKind",
    "Topology",
    "with_disks",
]
