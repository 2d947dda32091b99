"""How do all hosts of a cluster come up, side by side, and how do they end? What one of them lacks is told at once."""

import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

from edgesim.errors import RunError
from edgesim.scratch import scratch_folder
from real_runtime.control.interruptions import held_back
from real_runtime.control.rank_process import Hear, LedRank, Message
from real_runtime.ssh.client import SshClient
from real_runtime.ssh.far_host import PACKAGES, FarHost
from real_runtime.ssh.inventory import Host, Reaching
from real_runtime.ssh.watching.from_host import Loads, loads_watched
from real_runtime.ssh.wheel import made_wheel, read_wheel

_LOOK_S = 0.05
_MEANS = {"Python": " (and so of Python's own sources, which data=text reads: name a data.folder that is alike on all)"}
_VERSIONS: Mapping[str, Callable[[Mapping[str, Any]], object]] = {
    "Python": lambda told: told["python"],
    "PyTorch": lambda told: told["packages"]["torch"],
    "transformers": lambda told: told["packages"]["transformers"],
}


class SshHosts:
    """[rank] The hosts that are up; a testbed's place for ranks."""

    paces = False
    are_here = False

    def __init__(self, hosts: Sequence[FarHost]) -> None:
        self.far = hosts

    def interface_of(self, rank: int) -> str:
        """The one that the inventory names, or at which SSH arrived. Raises RunError where there is none."""
        host = self.far[rank]
        interface, link = host.facts.get("interface"), host.facts.get("link")
        if not isinstance(interface, str) or link is None:
            raise RunError(
                f"{host.named}: it has no network interface {interface or 'at which SSH arrives'} "
                f"(ip -br addr shows them there; name one in the inventory: interface: eth0)"
            )
        return interface

    def watched(self, ranks: Collection[int]) -> AbstractContextManager[Loads]:
        """Watch what other programs take of these ranks' hosts: each host tells of itself."""
        return loads_watched([(self.far[rank].named, self.far[rank].load) for rank in ranks])

    def ear(self, period_s: float) -> "ChannelEar":
        """Hears hearts through the channels: no port listens for them."""
        for host in self.far:
            host.tell({"do": "watch", "every_s": period_s})
        return ChannelEar(self.far)

    def start(self, rank: int, folder: Path, hear: Hear) -> LedRank:
        """A rank's process on its host. Raises RunError."""
        return self.far[rank].start(rank, folder, hear)

    def called(self, rank: int) -> str:
        """The rank's host, for people."""
        return self.far[rank].named

    @property
    def uncertainties_s(self) -> tuple[float, ...]:
        """[rank] By how much a moment of its clock may be off on ours."""
        return tuple(host.clock.fit.uncertainty_s for host in self.far)

    @property
    def notes(self) -> tuple[str, ...]:
        """Which hosts have which version, where not all have the same: they may compute and take otherwise."""
        return tuple(differing({host.client.name: host.facts for host in self.far}))


class ChannelEar:
    """Hears by what agents tell whether ranks run, and whether their links are up."""

    def __init__(self, hosts: Sequence[FarHost]) -> None:
        self._hosts = hosts

    def order(self, rank: int, generation: int) -> Message:
        """No heart of its own beats: that of the board is told."""
        return {"do": "still_heart"}

    def last_heard_s(self, rank: int) -> float:
        """When its agent told last that its heart beat, and that its link was up."""
        return self._hosts[rank].beat_s

    def close(self) -> None:
        """Nothing to end: a look at a rank is told in any case."""


def differing(facts: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """Yield what hosts, given by name, have in different versions, and which has which."""
    for what, version_of in _VERSIONS.items():
        versions = {name: str(version_of(told)) for name, told in facts.items()}
        different = sorted(set(versions.values()))
        if len(different) > 1:
            told = (f"{one} on {', '.join(name for name in versions if versions[name] == one)}" for one in different)
            yield f"different versions of {what}: {'; '.join(told)}{_MEANS.get(what, '')}"


@contextmanager
def reached(
    hosts: Sequence[tuple[str, Host]],
    reaching: Reaching,
    *,
    packages: Mapping[str, str] = PACKAGES,
    tells_keys: bool = False,
) -> Iterator[list[FarHost]]:
    """These hosts, to be opened; all end when it is left. Raises ValueError for a wheel that is none."""
    wheel = made_wheel() if reaching.wheel is None else read_wheel(reaching.wheel)
    with scratch_folder() as folder:
        clients = [SshClient(name=name, host=host, reaching=reaching, folder=folder) for name, host in hosts]
        far = [FarHost(client, wheel, packages=packages, tells_key=tells_keys) for client in clients]
        try:
            yield far
        finally:
            with held_back():
                attempted(far, FarHost.close)


@contextmanager
def ssh_hosts(hosts: Sequence[tuple[str, Host]], reaching: Reaching) -> Iterator[SshHosts]:
    """Hosts on which ranks can be started. Raises RunError, ValueError."""
    with reached(hosts, reaching) as far:
        together(far, FarHost.open)
        for host in far:
            host.begin()
        together(far, FarHost.wait_until_ready)
        yield SshHosts(far)


def together(hosts: Sequence[FarHost], do: Callable[[FarHost], object]) -> None:
    """Do something with all hosts at once. Raises RunError with a line for each that failed."""
    failed = attempted(hosts, do)
    if failed:
        raise RunError("\n".join(failed[host] for host in range(len(hosts)) if host in failed))


def attempted(hosts: Sequence[FarHost], do: Callable[[FarHost], object]) -> dict[int, str]:
    """Do something with all hosts at once; [host] why it failed, where it did."""
    failed: dict[int, str] = {}

    def attempt(number: int) -> None:
        try:
            do(hosts[number])
        except (RunError, ValueError, OSError) as error:
            failed[number] = str(error)

    threads = [threading.Thread(target=attempt, args=(number,), daemon=True) for number in range(len(hosts))]
    for thread in threads:
        thread.start()
    for thread in threads:
        while thread.is_alive():
            thread.join(_LOOK_S)  # Ctrl-C is heard meanwhile
    return failed
