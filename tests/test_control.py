"""The control channel without ranks: boards, connections, what moves, the meeting place, listeners, signals."""

import ast
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from real_runtime.control import listeners
from real_runtime.control import watch as watch_module
from real_runtime.control.board import Board, BoardReader, Doing, Head, State, shared_memory
from real_runtime.control.connections import connections, link_is_down
from real_runtime.control.interruptions import held_back, terminable
from real_runtime.control.listeners import close_listeners
from real_runtime.control.meeting_place import MeetingPlace
from real_runtime.control.vitals import Vitals, vitals
from real_runtime.control.watch import Movement, RunningClock, still_s

linux = pytest.mark.skipif(sys.platform != "linux", reason="the kernel tells only on Linux")


@pytest.fixture
def memory() -> Iterator[int]:
    descriptor = shared_memory()
    yield descriptor
    os.close(descriptor)


def test_what_a_rank_says_on_its_board_is_read_as_it_was_said(memory: int) -> None:
    board, reader = Board(memory), BoardReader(memory)
    assert reader.main().state is State.STARTS
    slot = board.slot("receive from 1/forward")
    slot.tell(State.RECEIVES, "0RECV3", message=3, awaits=(1,))
    board.main.tell(State.NEEDS, "0F3 waiting for 0RECV3", needs="receive from 1/forward")
    main, receive = reader.doings()
    assert (main.state, main.needs, main.awaits) == (State.NEEDS, "receive from 1/forward", ())
    assert (receive.stream, receive.task, receive.message) == ("receive from 1/forward", "0RECV3", 3)
    assert receive.awaits == (1,)
    assert 0 <= time.monotonic() - receive.since_s < 1


def test_a_board_grows_with_its_streams_and_cuts_long_texts_and_lists_where_they_still_hold(memory: int) -> None:
    board, reader = Board(memory), BoardReader(memory)
    for peer in range(200):
        board.slot(f"send to {peer}/forward").tell(State.SENDS, "é" * 300, message=0, awaits=(peer,))
    board.main.tell(State.MEETS, "barrier", awaits=tuple(range(1000)))
    doings = reader.doings()
    assert len(doings) == 201
    assert [each.awaits for each in doings[1:]] == [(peer,) for peer in range(200)]
    awaited = doings[0].awaits
    assert awaited == tuple(range(len(awaited)))
    assert 50 < len(awaited) < 100


def test_the_head_counts_what_moves(memory: int) -> None:
    board, reader = Board(memory), BoardReader(memory)
    board.beat()
    board.count()
    board.rest(12.5)
    board.exchanged(1 << 40, link_down=True)
    assert reader.head() == Head(beats=1, rests_until_s=12.5, finished=1, moved_bytes=1 << 40, link_down=True)


@linux
def test_the_kernel_counts_bytes_of_connections_both_ways() -> None:
    with (
        closing(socket.create_server(("127.0.0.1", 0))) as server,
        closing(socket.create_connection(server.getsockname())) as one,
        closing(server.accept()[0]) as other,
    ):
        one.sendall(b"x" * 1000)
        assert len(other.recv(1000, socket.MSG_WAITALL)) == 1000
        here = f"127.0.0.1:{one.getsockname()[1]}"
        ends = {each.here: each for each in connections() if here in (each.here, each.there)}
    assert len(ends) == 2
    assert all(1000 <= end.moved_bytes <= 1001 for end in ends.values())  # the handshake counts as one
    assert not any(end.stuck for end in ends.values())


@linux
def test_the_loopback_interface_is_up_and_one_that_does_not_exist_is_down() -> None:
    assert not link_is_down("lo")
    assert link_is_down("nowhere0")


@linux
def test_a_deaf_listener_takes_nobody_more_and_loses_nobody() -> None:
    with (
        closing(socket.create_server(("127.0.0.1", 0))) as server,
        closing(socket.create_connection(server.getsockname())) as one,
        closing(server.accept()[0]) as other,
    ):
        assert close_listeners() >= 1
        with pytest.raises(TimeoutError):
            socket.create_connection(server.getsockname(), timeout=0.3)
        one.sendall(b"still here")
        assert other.recv(10, socket.MSG_WAITALL) == b"still here"


@linux
@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
def test_where_the_kernel_refuses_a_filter_to_a_user_usual_packets_are_not_let_in(
    monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    def refused(listener: socket.socket) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(listeners, "_pass_nothing", refused)
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with (
        closing(socket.create_server((address, 0), family=family)) as server,
        closing(socket.create_connection(server.getsockname()[:2])) as one,
        closing(server.accept()[0]) as other,
    ):
        assert close_listeners() >= 1
        with pytest.raises(TimeoutError):
            socket.create_connection(server.getsockname()[:2], timeout=0.3)
        one.sendall(b"still here")
        assert other.recv(10, socket.MSG_WAITALL) == b"still here"


class Clock:
    """A clock that stands."""

    now_s = 50.0

    def monotonic(self) -> float:
        return self.now_s


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(watch_module, "time", clock)
    return clock


def head(finished: int = 0, moved_bytes: int = 0, rests_until_s: float = 0.0, beats: int = 0) -> Head:
    return Head(beats=beats, rests_until_s=rests_until_s, finished=finished, moved_bytes=moved_bytes, link_down=False)


def doing(since_s: float = 1.0) -> Doing:
    return Doing(stream="compute", task="1F0", state=State.COMPUTES, since_s=since_s)


@pytest.mark.parametrize(
    ("later", "vital", "moves"),
    [
        (head(), Vitals(), False),
        (head(beats=9), Vitals(), False),  # a heart that beats moves nothing on
        (head(finished=1), Vitals(), True),
        (head(moved_bytes=1), Vitals(), True),
        (head(rests_until_s=60.0), Vitals(), True),  # a sleep that will end
        (head(rests_until_s=40.0), Vitals(), False),  # one that has ended
        (head(), Vitals(main_cpu_s=0.11), True),  # it computes
        (head(), Vitals(main_cpu_s=0.04), False),  # it only wakes up now and then
    ],
)
def test_what_counts_as_movement(clock: Clock, later: Head, vital: Vitals, moves: bool) -> None:
    movement = Movement()
    movement.look(10.0, head(), doing(), Vitals())
    movement.look(20.0, later, doing(), vital)
    assert still_s([movement], 20.0) == (0.0 if moves else 10.0)


def test_time_in_which_the_coordinator_was_stopped_is_not_held_against_anybody(clock: Clock) -> None:
    running = RunningClock()
    clock.now_s += 0.1
    assert running.tick() == pytest.approx(0.1)
    clock.now_s += 3600.0
    assert running.tick() < 1.0


def test_processor_time_is_counted_by_computation(clock: Clock) -> None:
    movement = Movement()
    movement.look(1.0, head(), doing(since_s=1.0), Vitals(main_cpu_s=5.0))
    movement.look(2.0, head(), doing(since_s=1.0), Vitals(main_cpu_s=6.0))
    assert movement.task_cpu_s == 1.0
    movement.look(3.0, head(), doing(since_s=2.5), Vitals(main_cpu_s=7.0))
    assert movement.task_cpu_s == 0.0


@linux
def test_a_stopped_process_and_one_that_computes_are_seen_from_outside() -> None:
    with subprocess.Popen([sys.executable, "-c", "while True: pass"]) as process:
        time.sleep(0.3)
        assert vitals(process.pid).main_cpu_s > 0.01
        process.send_signal(signal.SIGSTOP)
        until_s = time.monotonic() + 5
        while not vitals(process.pid).is_stopped and time.monotonic() < until_s:
            time.sleep(0.01)
        assert vitals(process.pid).is_stopped
        process.kill()
    assert vitals(process.pid) == Vitals()


def asked(**question: Any) -> dict[str, Any]:
    return {"keys": [], **question}


def test_ranks_meet_where_a_question_is_answered_when_somebody_sets_its_key() -> None:
    answers: list[tuple[int, Any]] = []
    place = MeetingPlace(lambda rank, answer: answers.append((rank, answer["value"])))
    place.hear(1, asked(id=0, ask="get", keys=["address"]))
    place.hear(2, asked(id=0, ask="wait", keys=["address", "other"]))
    assert answers == []
    place.hear(0, asked(id=0, ask="set", keys=["address"], value="ff"))
    assert answers == [(0, None), (1, "ff")]
    place.hear(0, asked(id=1, ask="add", keys=["other"], value=3))
    assert answers[2:] == [(0, 3), (2, None)]
    place.hear(0, asked(id=2, ask="add", keys=["other"], value=4))
    place.hear(0, asked(id=3, ask="check", keys=["nobody's"]))
    place.hear(0, asked(id=4, ask="compare and set", keys=["address"], expected="ff", value="aa"))
    place.hear(0, asked(id=5, ask="compare and set", keys=["address"], expected="ff", value="bb"))
    place.hear(0, asked(id=6, ask="count"))
    place.hear(0, asked(id=7, ask="delete", keys=["address"]))
    place.hear(0, asked(id=8, ask="check", keys=["address"]))
    assert [value for _, value in answers[4:]] == [7, False, "aa", "aa", 2, True, False]


LEAVES = """
import os, signal
from real_runtime.control.interruptions import held_back, terminable
with terminable():
    try:
        with held_back():
            os.kill(os.getpid(), signal.SIGTERM)
            print("whole")
    finally:
        print("cleaned up")
"""


def test_sigterm_waits_for_a_step_that_is_done_whole_and_then_cleans_up() -> None:
    ended = subprocess.run([sys.executable, "-c", LEAVES], capture_output=True, text=True, timeout=30)
    assert ended.stdout.split("\n") == ["whole", "cleaned up", ""]
    assert ended.stderr == ""
    assert ended.returncode == 128 + signal.SIGTERM


def test_signals_of_others_and_of_other_threads_are_left_alone() -> None:
    before = signal.getsignal(signal.SIGTERM)

    def held() -> None:
        with terminable(), held_back():
            assert signal.getsignal(signal.SIGTERM) is before

    thread = threading.Thread(target=held)
    thread.start()
    thread.join()
    assert signal.getsignal(signal.SIGTERM) is before


# What unpickles what other ranks sent.
PICKLES = {"pickle", "cPickle", "dill", "cloudpickle", "shelve"}
OBJECTS = {"all_gather_object", "gather_object", "broadcast_object_list", "scatter_object_list"}
OBJECTS |= {"send_object_list", "recv_object_list"}


def test_nothing_that_comes_over_a_socket_is_unpickled() -> None:
    """The runtime has no way to: it neither imports a pickler nor asks the library for objects."""
    for path in (Path(__file__).parent.parent / "real_runtime").rglob("*.py"):
        tree = ast.parse(path.read_text())
        names = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
        imports = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
        sources = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
        assert not (names & OBJECTS), path
        assert not ((imports | sources) & PICKLES), path
        for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
            if ast.unparse(call.func) == "torch.load":
                assert "weights_only=True" in ast.unparse(call), path
