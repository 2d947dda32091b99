"""How does somebody without boards try what is for boards? A lab on this machine, with an inventory, until Ctrl-C."""

import threading
from pathlib import Path

from omegaconf import DictConfig

from edgesim.cluster import Cluster
from edgesim.errors import RunError
from edgesim.scratch import scratch_folder
from edgesim.units import mbit_per_s
from experiments.commands import as_typed
from experiments.configuration.result_folders import write_text
from experiments.configuration.setup import nominal_cluster
from experiments.testbed.lab import Lab, lab, problem
from real_runtime.testbeds.shaping import nic_rates

FOLDER, NAME = "lab", "lab"
_CORES = 1.5  # that hosts take of this machine together
_HEAD = """# The hosts of a lab on this machine, for as long as it is up: made by python -m experiments.testbed lab
defaults: [ssh, _self_]
fractions: {fractions} # of a core of this machine, which they share
reaching: {{ ssh_config: {config} }}
hosts:
"""
_HOST = """  host-{rank}:
    _target_: real_runtime.ssh.inventory.Host
    address: {address}
    interface: eth0
    python: {python}
    device: {device}
"""


def raise_lab(cfg: DictConfig) -> None:
    """Hosts of the configuration's cluster, with its line rates, until they are not wanted any more."""
    if (why := problem()) is not None:
        raise RunError(
            f"no lab of hosts with sshd can be raised here: {why} (testbed=netns emulates hosts without SSH)"
        )
    cluster = nominal_cluster(cfg)
    rates = [mbit_per_s(rate) for rate in nic_rates(cluster)]
    inventory = Path(cfg.results) / FOLDER / "testbed" / f"{NAME}.yaml"
    with scratch_folder() as folder, lab(folder, len(rates), mbit_per_s=rates) as made:
        write_text(inventory, inventory_of(made, cluster))
        use = f"python -m experiments.testbed check testbed={NAME} --config-dir {inventory.parent.parent}"
        print(f"{made.count} hosts are up, as cluster {cluster.name}: {inventory}")
        print(as_typed(f"In another terminal: {use}"))
        print("Ctrl-C ends them.", flush=True)
        try:
            threading.Event().wait()
        finally:
            inventory.unlink(missing_ok=True)


def inventory_of(made: Lab, cluster: Cluster) -> str:
    """The file that a user would write; hosts are as fast as each other."""
    fractions = [round(_CORES / made.count, 2)] * made.count
    hosts = (
        _HOST.format(rank=rank, address=host.address, python=host.python, device=device.name)
        for rank, (host, device) in enumerate(zip(made.hosts().values(), cluster.devices, strict=True))
    )
    return as_typed(_HEAD.format(fractions=fractions, config=made.folder / "config") + "".join(hosts))
