"""Does one process start all ranks, each as if it were on its own, and end with those who need it?"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import pytest
from processes import alive

from edgesim.errors import RunError
from real_runtime.control.forking import client
from real_runtime.control.forking.client import ForkServer, fork_server
from real_runtime.control.rank_process import RankProcess

# Forks processes that tell what is theirs, then do what they are told to.
TELLS = """
import json, os, socket, sys, time
from real_runtime.control.forking.server import serve
from real_runtime.control.forking.child import end_with_parent, settle
end_with_parent()
port = settle(serve(socket.socket(fileno=int(sys.argv[1]))))
entries = [f"/proc/self/fd/{name}" for name in os.listdir("/proc/self/fd")]
open_files = [os.readlink(entry) for entry in entries if os.path.lexists(entry)]  # but the one of the listing
mine = dict(pid=os.getpid(), session=os.getsid(0), server=os.getppid(), folder=os.getcwd())
print("said to nobody", flush=True)
port.say(mine | dict(environment=dict(os.environ), files=open_files, threads=len(os.listdir("/proc/self/task"))))
for line in sys.stdin:
    exec(json.loads(line)["do"])
"""
COMMAND = (sys.executable, "-c", TELLS)

Started = tuple[RankProcess, SimpleQueue[Any]]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Started]]:
    """Starts a process, and gives what it says; all have ended afterwards."""
    made: list[RankProcess] = []

    def start_one(command: tuple[str, ...] = COMMAND) -> Started:
        heard: SimpleQueue[Any] = SimpleQueue()
        made.append(RankProcess(len(made), fork_server(command), (), tmp_path, lambda rank, said: heard.put(said)))
        return made[-1], heard

    yield start_one
    for process in made:
        process.kill()
        process.leave(time.monotonic() + 5)


def test_a_forked_process_has_what_its_starter_has_at_that_moment(
    start: Callable[..., Started], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, earlier = start()
    assert "LATELY" not in earlier.get(timeout=20)["environment"]
    monkeypatch.setenv("LATELY", "yes")
    monkeypatch.chdir(tmp_path)
    process, heard = start()
    told = heard.get(timeout=20)
    assert told["pid"] == told["session"] == process.pid
    assert told["environment"] == dict(os.environ)
    assert told["folder"] == str(tmp_path)
    assert told["threads"] == 1
    assert process.last_words() == "said to nobody"


def test_a_forked_process_holds_its_own_pipes_log_and_board_and_nothing_of_others(
    start: Callable[..., Started],
) -> None:
    logs = []
    for _ in range(2):
        process, heard = start()
        files = heard.get(timeout=20)["files"]
        kinds = sorted(name.partition(":")[0] for name in files)
        assert kinds == sorted(["/memfd", "/memfd", "pipe", "pipe", str(process.log), str(process.log)])
        logs.append(process.log)
    assert logs[0] != logs[1]


@pytest.mark.parametrize(
    ("does", "code"),
    [
        ("sys.exit(3)", 3),
        ("os._exit(4)", 4),
        ("os.kill(os.getpid(), 11)", -signal.SIGSEGV),
        ("1 / 0", 1),
    ],
)
def test_how_a_forked_process_ended_is_told(start: Callable[..., Started], does: str, code: int) -> None:
    process, heard = start()
    heard.get(timeout=20)
    assert process.exit_code() is None
    process.tell({"do": does})
    assert heard.get(timeout=20) is None
    assert process.exit_code(within_s=5) == code
    assert (process.last_words() == "ZeroDivisionError: division by zero") is (code == 1)


def test_all_come_from_one_server_which_starts_anew_when_it_is_dead_or_would_load_otherwise(
    start: Callable[..., Started], monkeypatch: pytest.MonkeyPatch
) -> None:
    (first, heard), (_, also_heard) = start(), start()
    server = fork_server(COMMAND)
    assert heard.get(timeout=20)["server"] == also_heard.get(timeout=20)["server"] == server.pid
    monkeypatch.setenv("PYTHONPATH", "elsewhere")
    assert fork_server(COMMAND).pid != server.pid
    monkeypatch.undo()
    assert fork_server(COMMAND) is server
    os.kill(server.pid, signal.SIGKILL)
    assert heard.get(timeout=20) is None
    assert first.exit_code(within_s=5) == -signal.SIGKILL
    assert first.cause == "the fork server, from which ranks start, was killed by SIGKILL"
    _, heard_anew = start()
    assert heard_anew.get(timeout=20)["server"] == fork_server(COMMAND).pid != server.pid


def test_a_server_that_does_not_come_up_says_why() -> None:
    server = fork_server((sys.executable, "-c", "raise SystemExit('no libraries')"))
    with pytest.raises(RunError, match=r"fork server, .* ended with code 1 \(it last wrote: no libraries\)$"):
        server.wait_until_ready()


def test_a_server_that_is_held_is_waited_for_while_it_could_move_and_then_given_up(
    start: Callable[..., Started], monkeypatch: pytest.MonkeyPatch
) -> None:
    _, heard = start()
    heard.get(timeout=20)
    server = fork_server(COMMAND)
    os.kill(server.pid, signal.SIGSTOP)
    monkeypatch.setattr(client, "_STILL_S", 0.5)
    begun_s = time.monotonic()
    with pytest.raises(RunError, match=r"did not answer for 0\.5 s: it is stopped \(SIGSTOP\)"):
        server.exit_code(1)
    assert time.monotonic() - begun_s >= 0.5
    assert heard.get(timeout=20) is None  # its ranks ended with it


def test_an_answer_that_nobody_waited_for_any_more_is_passed_over(
    start: Callable[..., Started], monkeypatch: pytest.MonkeyPatch
) -> None:
    process, heard = start()
    server = fork_server(COMMAND)
    assert heard.get(timeout=20)["server"] == server.pid
    process.kill()
    assert heard.get(timeout=20) is None
    with monkeypatch.context() as somebody_interrupts:
        somebody_interrupts.setattr(client.select, "poll", interrupted)
        with pytest.raises(KeyboardInterrupt):
            server.exit_code(process.pid)
    _, anew = start()
    assert anew.get(timeout=20)["server"] == server.pid
    assert process.exit_code(within_s=5) == -signal.SIGKILL


def interrupted() -> None:
    raise KeyboardInterrupt


def test_telling_a_process_that_never_reads_blocks_nobody(start: Callable[..., Started]) -> None:
    process, heard = start()
    heard.get(timeout=20)
    process.tell({"do": "time.sleep(60)"})
    begun_s = time.monotonic()
    for _ in range(10):
        process.tell({"do": "x" * 1_000_000})  # a pipe holds 64 KB
    assert time.monotonic() - begun_s < 1.0
    process.kill()
    assert process.exit_code(within_s=5) == -signal.SIGKILL
    assert time.monotonic() - begun_s < 5.0


COORDINATOR = """
import json, sys, threading, time
from real_runtime.control.forking.client import fork_server
from real_runtime.control.rank_process import RankProcess
from pathlib import Path
command, folder = json.loads(sys.argv[1]), Path(sys.argv[2])
thread = threading.Thread(target=fork_server, args=(command,))  # which ends before the server does
thread.start()
thread.join()
RankProcess(0, fork_server(command), (), folder, lambda rank, said: said and print(json.dumps(said), flush=True))
time.sleep(60)
"""


def test_server_and_forked_processes_end_with_their_coordinator_even_by_kill_9_and_not_with_a_thread_of_it(
    tmp_path: Path,
) -> None:
    words = [sys.executable, "-c", COORDINATOR, json.dumps(COMMAND), str(tmp_path)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as coordinator:
        assert coordinator.stdout is not None
        told = json.loads(coordinator.stdout.readline())
        os.kill(told["server"], signal.SIGSTOP)  # it cannot even see that it should end
        coordinator.kill()
    until_s = time.monotonic() + 10
    while (alive(told["pid"]) or alive(told["server"])) and time.monotonic() < until_s:
        time.sleep(0.02)
    assert not alive(told["pid"])
    assert not alive(told["server"])


def test_a_copy_of_a_process_has_a_server_of_its_own(start: Callable[..., Started]) -> None:
    _, heard = start()
    server = heard.get(timeout=20)["server"]
    reads, writes = os.pipe()
    if (pid := os.fork()) == 0:
        os.write(writes, str(ForkServer.pid.fget(fork_server(COMMAND))).encode())  # type: ignore[attr-defined]
        os._exit(0)
    os.waitpid(pid, 0)
    assert int(os.read(reads, 100)) != server
    os.close(reads)
    os.close(writes)
