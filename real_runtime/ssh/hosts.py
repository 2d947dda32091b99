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
from real_runtime.data import DataSpec
from real_runtime.ssh.client import SshClient
from real_runtime.ssh.far_host import PACKAGES, FarHost
from real_runtime.ssh.inventory import Host, Reaching
from real_runtime.ssh.watching.from_host import Loads, loads_watched
from real_runtime.ssh.wheel import made_wheel, read_wheel

_LOOK_S = 0.05
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
        return tuple(differing(_facts_of(self.far)))


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
        if told := _where_different({name: str(version_of(told)) for name, told in facts.items()}):
            yield f"different versions of {what}: {told}"


def refuse_different_text(data: DataSpec, facts: Mapping[str, Mapping[str, Any]]) -> None:
    """Raise ValueError where hosts, given by name, would learn from the sources of different versions of Python."""
    if data.reads_own_sources and (told := _where_different({name: str(facts[name]["python"]) for name in facts})):
        raise ValueError(
            f"data={data.chosen_by} without a folder reads the sources of each host's own Python, which are not alike: "
            f"{told} (copy one folder of files to every host, and name it: data.folder=/path/on/each/host)"
        )


def _where_different(versions: Mapping[str, str]) -> str:
    """In words, which hosts have which version; nothing where all have the same."""
    different = sorted(set(versions.values()))
    told = (f"{one} on {', '.join(name for name in versions if versions[name] == one)}" for one in different)
    return "; ".join(told) if len(different) > 1 else ""


def _facts_of(hosts: Sequence[FarHost]) -> dict[str, dict[str, Any]]:
    return {host.client.name: host.facts for host in hosts}


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
def ssh_hosts(
    hosts: Sequence[tuple[str, Host]], reaching: Reaching, data: DataSpec | None = None
) -> Iterator[SshHosts]:
    """Hosts on which ranks can be started, to learn from this data. Raises RunError, ValueError."""
    with reached(hosts, reaching) as far:
        together(far, FarHost.open)
        if data is not None:
            refuse_different_text(data, _facts_of(far))
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
