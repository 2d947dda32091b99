"""Calibrated networks and disks in files: JSON, written whole or not at all."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from edgesim.cluster import DiskRates, Network, Origin, Topology
from edgesim.cluster.network import by_members
from edgesim.errors import reading, text_of
from experiments.configuration.result_folders import write_text


def network_to_json(network: Network) -> str:
    """All fields; the number of ranks follows from them."""
    return json.dumps({key: value for key, value in asdict(network).items() if key != "ranks"}, indent=2) + "\n"


def network_from_json(text: str, *, source: str = "the text") -> Network:
    """Read what :func:`network_to_json` wrote. Raises ValueError, naming the source, for anything else."""
    with reading(source, "network", written_by="experiments.calibrate"):
        data = json.loads(text)
        data["step_s"] = None if data.get("step_s") is None else by_members(data["step_s"])
        matrices = {key: tuple(map(tuple, data[key])) for key in ("bytes_per_s", "latency_s")}
        return Network(**data | matrices | {"topology": Topology(data["topology"]), "origin": Origin(data["origin"])})


def save_network(path: Path, network: Network) -> None:
    """Write the network."""
    write_text(path, network_to_json(network))


def load_network(path: Path) -> Network:
    """Read a network file."""
    return network_from_json(text_of(path, "network"), source=str(path))


def save_disks(path: Path, disks: Sequence[DiskRates]) -> None:
    """Write the rates of all ranks' disks."""
    write_text(path, json.dumps({"disks": [asdict(disk) for disk in disks]}, indent=2) + "\n")


def load_disks(path: Path) -> tuple[DiskRates, ...]:
    """Read what :func:`save_disks` wrote. Raises ValueError, naming the file, for anything else."""
    text = text_of(path, "disks")
    with reading(str(path), "disks", written_by="experiments.calibrate"):
        return tuple(DiskRates(**disk) for disk in json.loads(text)["disks"])
