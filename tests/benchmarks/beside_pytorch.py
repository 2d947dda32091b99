"""Who is faster on the same hosts, our ranks or PyTorch's? Both stay up, and iterate in turn."""

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from math import inf
from pathlib import Path

from builders import homogeneous, switched

from real_runtime.control.coordinator import Coordinator
from real_runtime.control.evidence import Patience
from real_runtime.control.forking.client import fork_server
from real_runtime.control.rank_process import on_this_machine
from real_runtime.testbeds.connecting import joins
from real_runtime.testbeds.loopback import LoopbackHosts
from real_runtime.testbeds.netns import NetnsHosts
from real_runtime.testbeds.opening import RANK
from real_runtime.testbeds.spec import TestbedSpec
from real_runtime.testbeds.testbed import Choice, Hosts, Testbed


@contextmanager
def our_ranks(hosts: NetnsHosts | LoopbackHosts, ranks: int, bytes_per_s: float = inf) -> Iterator[Testbed]:
    """Ranks of the runtime that neither pace messages nor stretch computation, on lines of a rate."""
    places = [hosts.namespaces(rank) for rank in range(ranks)]
    coordinator = Coordinator(on_this_machine(fork_server(RANK), places), ranks, patience=Patience(deadline_s=60.0))
    with ExitStack() as stack:
        stack.callback(coordinator.close)
        cluster = homogeneous(ranks, network=switched(ranks, bytes_per_s=bytes_per_s))
        testbed = Testbed(TestbedSpec(), cluster, coordinator, hosts, Choice(kind="benchmark", why="no emulated speed"))
        testbed.fractions = (1.0,) * ranks
        free = {"nic_bytes_per_s": None}
        coordinator.ask({rank: command | free for rank, command in joins(testbed, range(ranks)).items()})
        yield testbed


class PyTorch:
    """Its ranks: ``python SCRIPT RANK WORLD STORE INTERFACE WORDS`` on each host, which say when they are ready."""

    def __init__(self, hosts: Hosts, ranks: int, script: Path, store: Path, words: Sequence[str]) -> None:
        def argv(rank: int) -> list[str]:
            there = hosts.on_host(rank) if isinstance(hosts, NetnsHosts) else []
            return [
                *there,
                sys.executable,
                str(script),
                str(rank),
                str(ranks),
                str(store),
                hosts.interface_of(rank),
                *words,
            ]

        self.ranks = [
            subprocess.Popen(argv(rank), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            for rank in range(ranks)
        ]
        for process in self.ranks:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n", "PyTorch's rank did not come up"

    def __enter__(self) -> "PyTorch":
        return self

    def __exit__(self, *_: object) -> None:
        for process in self.ranks:
            process.communicate(timeout=60)  # closes its input, which ends it

    def times_s(self, count: int) -> list[float]:
        """Seconds of each iteration, from the first rank's start to the last one's end."""
        for process in self.ranks:
            assert process.stdin is not None
            process.stdin.write(f"{count}\n")
            process.stdin.flush()
        times = [json.loads(process.stdout.readline()) for process in self.ranks if process.stdout is not None]
        return [max(end for _, end in all_) - min(start for start, _ in all_) for all_ in zip(*times, strict=True)]
