"""Which hosts does a lab have, how are they reached, and what may ranks use of each? Loads nothing but nouns."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from edgesim.cluster import Cluster
from edgesim.units import show
from real_runtime.meters.by_name import Meter, meter_named, name_of

COMPUTES = ("cpu", "gpu")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
# What ssh takes for an address or a user, and no option of its own; an IPv6 address has colons, and perhaps a zone.
_ADDRESS, _USER = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:%-]*"), re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*\$?")
_INTERFACE = re.compile(r"[A-Za-z0-9_.:@-]{1,15}")  # as the kernel bounds it


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """One host of a lab; what is None is left to the user's configuration of SSH, or found out on the host.

    Attributes:
        address: as ssh takes it: a name of ~/.ssh/config, a name of the network, or a number.
        user: who ranks are there.
        port: of the host's sshd.
        key: the file of the private key.
        interface: the network interface that messages pass; None: the one at which SSH arrives.
        python: the interpreter that has PyTorch, as a command or a path.
        device: the name of the cluster's device that this host is; None takes whichever has its place.
        meter: what reads its power: a name (real_runtime/meters/by_name.py), or a meter with settings of its own.
        memory_bytes: what the model may take there, at most; None: what its device says.
        compute: cpu or gpu.
    """

    address: str
    user: str | None = None
    port: int | None = None
    key: str | None = None
    interface: str | None = None
    python: str = "python3"
    device: str | None = None
    meter: str | Meter | None = None
    memory_bytes: float | None = None
    compute: str = "cpu"

    def __post_init__(self) -> None:
        for name, form in (("address", _ADDRESS), ("user", _USER), ("interface", _INTERFACE)):
            value = getattr(self, name)
            if value is not None and form.fullmatch(value) is None:
                raise ValueError(f"host: {value!r} is no {name} (letters, digits, dots and dashes)")
        if self.port is not None and not 1 <= self.port <= 65535:
            raise ValueError(f"host {self.address}: port must be from 1 to 65535, got {self.port}")
        if not self.python or self.python.startswith("-"):
            raise ValueError(f"host {self.address}: {self.python!r} is no Python (say python3, or its path)")
        if self.memory_bytes is not None and not self.memory_bytes > 0:
            raise ValueError(f"host {self.address}: memory_bytes must be positive, got {self.memory_bytes:g}")
        if self.compute not in COMPUTES:
            raise ValueError(f"host {self.address}: compute must be cpu or gpu, got {self.compute!r}")
        try:
            _ = self.read_by  # an unknown name is refused now
        except ValueError as error:
            raise ValueError(f"host {self.address}: {error}") from None

    @property
    def read_by(self) -> Meter | None:
        """The meter that reads its power. Raises ValueError for an unknown name, and for what is no meter of ours."""
        if self.meter is None or isinstance(self.meter, str):
            return None if self.meter is None else meter_named(self.meter)
        name_of(self.meter)
        return self.meter

    @property
    def place(self) -> str:
        """How it is reached, for people."""
        user = "" if self.user is None else f"{self.user}@"
        return f"{user}{self.address}" + ("" if self.port is None else f" port {self.port}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Reaching:
    """How all hosts of a lab are reached and used.

    Attributes:
        ssh_config: a configuration of SSH instead of the user's own.
        folder: where hosts keep the runtime from one start to the next.
        wheel: the runtime to deploy; None makes one of what is installed here.
        connect_s: in which a host must answer at all.
        starts_s: in which a host must have loaded what ranks need; a slow board takes a minute for PyTorch.
        silence_s: after so long a silence each side takes the other for lost, and ends.
    """

    ssh_config: str | None = None
    folder: str = "~/.cache/edgesim"
    wheel: str | None = None
    connect_s: float = 15.0
    starts_s: float = 180.0
    silence_s: float = 20.0

    def __post_init__(self) -> None:
        for name in ("connect_s", "starts_s", "silence_s"):
            if not getattr(self, name) > 0:
                raise ValueError(f"testbed: {name} must be positive, got {getattr(self, name):g}")
        if self.silence_s < 2:
            raise ValueError(
                f"testbed: silence_s must be at least 2, got {self.silence_s:g}: hosts are asked twice a second"
            )


def check_names(hosts: Mapping[str, Host]) -> None:
    """Raise ValueError for a name that is none, and for two hosts in one place."""
    places: dict[tuple[str, int | None], str] = {}
    for name, host in hosts.items():
        if _NAME.fullmatch(name) is None:
            raise ValueError(f"testbed.hosts: {name!r} is no name of a host (letters, digits, dots and dashes)")
        other = places.setdefault((host.address, host.port), name)
        if other != name:
            raise ValueError(f"testbed.hosts: {other} and {name} are both {host.place} (a host holds one rank)")


def hosts_for(hosts: Mapping[str, Host], cluster: Cluster) -> list[tuple[str, Host]]:
    """[rank] The host that is each device of a cluster, with its name. Raises ValueError where they do not fit."""
    ranks = len(cluster.devices)
    if len(hosts) < ranks:
        raise ValueError(
            f"testbed.hosts: cluster {cluster.name} has {ranks} devices, the inventory {len(hosts)} hosts "
            "(add hosts, or take a smaller cluster)"
        )
    chosen = list(hosts.items())[:ranks]
    for (name, host), device in zip(chosen, cluster.devices, strict=True):
        if host.device is not None and host.device != device.name:
            raise ValueError(
                f"testbed.hosts: {name} is a {host.device}, and has the place of a {device.name} in cluster "
                f"{cluster.name} (list the hosts in the order of the cluster's devices)"
            )
        if host.memory_bytes is not None and device.memory_bytes > host.memory_bytes:
            raise ValueError(
                f"testbed.hosts: plans may take {show(device.memory_bytes, 'B')} of {device.name}, host {name} gives "
                f"{show(host.memory_bytes, 'B')} (lower memory_bytes of the device, or free memory on the host)"
            )
        if host.compute == "gpu":
            raise ValueError(f"testbed.hosts: {name} is to compute on its GPU, ranks do so on processors only (cpu)")
    return chosen


def described(hosts: Sequence[tuple[str, Host]]) -> str:
    """The hosts by rank, for people."""
    return ", ".join(f"{name} ({host.place})" for name, host in hosts)


def expanded(path: str) -> str:
    """A file of the inventory, as the user means it. Raises ValueError where there is none."""
    file = Path(path).expanduser()
    if not file.is_file():
        raise ValueError(f"testbed: there is no file {path}")
    return str(file)
