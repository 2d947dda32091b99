"""Does every planted fault end its run in time, with the right culprit named and nothing left? Writes results/faults/.

Usage: python -m faults.campaign [CASES [FIRST_SEED]], with tests/ on the path. A seed draws testbed, fault, moment,
rank and delay; each case is a run of its own (victim.py), with a folder of its own for what is temporary.
"""

import contextlib
import csv
import json
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from processes import alive

from experiments.configuration.provenance import command, made, record
from real_runtime.testbeds import cgroups, netns
from real_runtime.testbeds.netns import NetnsHosts

VICTIM = Path(__file__).with_name("victim.py")
ROOT = Path(__file__).parents[2]
TABLE = ROOT / "results" / "faults" / "faults.csv"
DEADLINE_S, ENDS_WITHIN_S = 5.0, 120.0
TASK = r"\d+(F|B|UPDATE)\d*@\d"
COORDINATOR = {"kill -9": signal.SIGKILL, "SIGTERM": signal.SIGTERM, "Ctrl-C": signal.SIGINT}
# What the message must say after the rank's number: of faults within a computation, with the task.
TOLD = {
    "kill": r" was killed by SIGKILL at .+",
    "stop": r" was stopped \(SIGSTOP\) at .+ and does not answer",
    "link down": r"'s link is down since \d+ s, at .+",
    "hang": rf" computes ({TASK}|profiling .*|rehearsing .*|time core) since \d+ s and uses no processor",
    "hold the lock": rf" hangs at ({TASK}|profiling .*|rehearsing .*|time core) since .* uses its processor",
    "sleep with the lock": rf" hangs at ({TASK}|profiling .*|rehearsing .*|time core) since .* sleeps",
    "exit": rf" ended itself with code 3 at ({TASK}|profiling .*|rehearsing .*|time core)",
    "exception": rf" failed at ({TASK}|profiling .*|rehearsing .*|time core): 'planted'",
    "out of memory": rf" ran out of memory at ({TASK}|profiling .*|rehearsing .*): the kernel killed it at its limit",
    "out of memory, another's limit": r" (ran out of memory at .*: the kernel killed it|was killed .* ran out of)",
    "disk full": r" failed at saving results in /.+",
}
INSIDE = ("hang", "hold the lock", "sleep with the lock", "exit", "exception")
MOMENTS = ("opening", "calibration", "rehearsal", "play")


@dataclass(frozen=True, kw_only=True)
class Case:
    """What a seed draws."""

    seed: int
    testbed: str
    fault: str
    moment: str
    rank: int
    delay_s: float


@dataclass(frozen=True, kw_only=True)
class Row(Case):
    """What came of it; seconds from the fault to the message, and until all was clean; NaN where nothing is told."""

    message: str
    right: bool
    told_s: float
    clean_s: float
    left: str


def drawn(seed: int) -> Case:
    """The case of a seed: faults in turn, the rest at random."""
    chance = random.Random(seed)
    faults = [*TOLD, "stop during tell", *COORDINATOR, "Ctrl-Z"]
    fault = faults[seed % len(faults)]
    kinds = ["netns"] if fault == "link down" else ["loopback", "netns"]
    moments = {"disk full": ["saving"], "stop during tell": ["tell"], "Ctrl-Z": ["play"]}.get(fault, list(MOMENTS))
    if fault.startswith("out of memory"):
        moments = [moment for moment in moments if moment != "opening"]
    if fault == "link down":
        moments = ["play"]  # all else needs no link
    moment = chance.choice(moments)
    rank = 0 if fault in INSIDE and moment == "opening" else chance.randrange(3)  # rank 0 times its core
    if fault == "disk full":
        rank = -1
    return Case(
        seed=seed,
        testbed=chance.choice(kinds),
        fault=fault,
        moment=moment,
        rank=rank,
        delay_s=chance.uniform(0, 1.0),
    )


class Victim:
    """A run as a process of its own."""

    def __init__(self, case: Case, temporary: Path, results: Path) -> None:
        self.heard: list[dict[str, object]] = []
        limited = case.fault == "out of memory"
        moment = "play" if case.moment == "opening" else case.moment
        paths = os.pathsep.join(map(str, (ROOT, ROOT / "tests")))
        fault = "out of memory" if case.fault.startswith("out of memory") else case.fault
        self.process = subprocess.Popen(
            [sys.executable, str(VICTIM), case.testbed, moment, str(DEADLINE_S), str(int(limited)), str(results)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | {"PYTHONPATH": paths, "TMPDIR": str(temporary), "EDGESIM_FAULT": fault},
            start_new_session=True,
        )
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.heard.append(json.loads(line))

    def wait_for(self, name: str, value: object = None) -> object:
        """What it said of something; None if it ended first."""
        while True:
            for line in list(self.heard):
                if name in line and value in (None, line[name]):
                    return line[name]
            if self.process.poll() is not None:
                return None
            time.sleep(0.01)

    def when(self, name: str) -> float:
        """When it said so; NaN if it did not."""
        return next((float(line["at_s"]) for line in self.heard if name in line), float("nan"))  # type: ignore[arg-type]


@contextlib.contextmanager
def another_limit(pid: int, case: Case) -> Iterator[None]:
    """Put a process under a memory limit that is not ours, as a container's."""
    group = cgroups.Cgroup(f"faults-{os.getpid()}-{case.seed}")
    group.memory.mkdir()
    try:
        group.limit_memory(100_000_000)
        (group.memory / "cgroup.procs").write_text(str(pid))
        yield
    finally:
        until_s = time.monotonic() + 10
        while group.memory.exists() and time.monotonic() < until_s:
            with contextlib.suppress(OSError):
                group.memory.rmdir()
            time.sleep(0.1)


def strike(case: Case, victim: Victim, ranks: list[int], holder: int | None, leaving: contextlib.ExitStack) -> None:
    """Plant the fault."""
    coordinator = victim.process
    match case.fault:
        case "kill":
            os.kill(ranks[case.rank], signal.SIGKILL)
        case "stop" | "stop during tell":
            os.kill(ranks[case.rank], signal.SIGSTOP)
        case "link down":
            assert holder is not None
            NetnsHosts(holder=holder).cut(case.rank)
        case "disk full":
            pass  # the folder is full from the beginning
        case "out of memory, another's limit":
            leaving.enter_context(another_limit(ranks[case.rank], case))
            os.kill(ranks[case.rank], signal.SIGUSR1)
        case "Ctrl-Z":
            coordinator.send_signal(signal.SIGTSTP)
            time.sleep(3 * DEADLINE_S)
            coordinator.send_signal(signal.SIGCONT)
            time.sleep(DEADLINE_S)
            assert coordinator.poll() is None, "the run did not go on"
            coordinator.send_signal(signal.SIGINT)
        case fault if fault in COORDINATOR:
            coordinator.send_signal(COORDINATOR[fault])
        case _:
            os.kill(ranks[case.rank], signal.SIGUSR1)


def played(case: Case) -> Row:
    """Play a case."""
    with contextlib.ExitStack() as leaving:
        temporary = Path(leaving.enter_context(tempfile.TemporaryDirectory(prefix="faults-")))
        results = temporary / "results"
        results.mkdir()
        if case.fault == "disk full":
            subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16k", "faults", str(results)], check=True)
            leaving.callback(subprocess.run, ["umount", str(results)], check=True)
        victim = Victim(case, temporary, results)
        victim.wait_for("moment", case.moment)
        ranks = list(victim.wait_for("ranks") or [])  # type: ignore[call-overload]
        holder = None if case.moment == "opening" else victim.wait_for("holder") if case.testbed == "netns" else None
        time.sleep(case.delay_s)
        struck_s = time.monotonic()
        with contextlib.suppress(ProcessLookupError):  # it has ended by itself, which the row tells as wrong
            strike(case, victim, ranks, holder, leaving)  # type: ignore[arg-type]
        if case.fault == "Ctrl-Z":
            struck_s = time.monotonic()
        try:
            victim.process.wait(ENDS_WITHIN_S)
        except subprocess.TimeoutExpired:
            os.killpg(victim.process.pid, signal.SIGKILL)
        left = remains(case, victim, ranks, temporary)
        clean_s = time.monotonic() - struck_s
        assert victim.process.stderr is not None
        said = [line for line in victim.process.stderr.read().splitlines() if line.strip()]
        told = next((str(line["told"]) for line in victim.heard if "told" in line), "")
        return Row(
            **asdict(case),
            message=told or " / ".join(said[-1:]),
            right=right(case, told, victim.process.returncode, said),
            told_s=round(victim.when("told") - struck_s, 2),
            clean_s=round(clean_s, 2),
            left=left,
        )


def right(case: Case, told: str, code: int, said: list[str]) -> bool:
    """Whether the planted culprit was named, or a coordinator ended as it should, without a word too many."""
    if case.fault in COORDINATOR or case.fault == "Ctrl-Z":
        codes: dict[str, Callable[[], bool]] = {
            "kill -9": lambda: code == -signal.SIGKILL,
            "SIGTERM": lambda: code == 128 + signal.SIGTERM,
            "Ctrl-C": lambda: told == "interrupted",
            "Ctrl-Z": lambda: told == "interrupted",
        }
        return codes[case.fault]() and not said
    pattern = TOLD["stop" if case.fault == "stop during tell" else case.fault]
    rank = r"\d" if case.rank < 0 else str(case.rank)
    return re.match(f"rank {rank}{pattern}", told) is not None


def remains(case: Case, victim: Victim, ranks: list[int], temporary: Path) -> str:
    """What is left of a run within a moment after its end; "" if nothing."""

    def there() -> list[str]:
        found = [f"process {pid}" for pid in ranks if alive(pid)]
        found += [str(path) for path in Path("/sys/fs/cgroup").glob(f"*/edgesim-{victim.process.pid}-*")]
        if case.fault != "kill -9":  # which leaves its folder to the next start
            found += [path.name for path in temporary.glob("edgesim-*")]
        return found

    until_s = time.monotonic() + 10
    while there() and time.monotonic() < until_s:
        time.sleep(0.01)
    return " ".join(there())


def main() -> int:
    """Play the cases one after the other, and write their table as it grows."""
    words = [int(word) for word in sys.argv[1:]]
    count, first = (*words, *(60, 0)[len(words) :])
    if netns.problem() is not None or not cgroups.available():
        sys.exit("faults need network namespaces and root")
    TABLE.parent.mkdir(parents=True, exist_ok=True)
    rows: list[Row] = []
    for seed in range(first, first + count):
        rows.append(played(drawn(seed)))
        print(json.dumps(asdict(rows[-1])), flush=True)
        with TABLE.open("w", newline="") as file:
            writer = csv.DictWriter(file, list(asdict(rows[0])))
            writer.writeheader()
            writer.writerows(map(asdict, rows))
    record(TABLE.parent, [TABLE.name], made(command("faults.campaign", sys.argv[1:])))
    wrong = [row.seed for row in rows if not row.right or row.left]
    print(f"{len(rows) - len(wrong)} of {len(rows)} as they should be; not: {wrong}")
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
