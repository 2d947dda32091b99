"""Heartbeats on sockets of their own: who was heard last, who is silent, and whom nobody believes."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from math import inf
from typing import Any

import pytest

from real_runtime.control.heartbeats.datagram import DATAGRAM_BYTES, Beat, new_token, read, written
from real_runtime.control.heartbeats.heart import Heart
from real_runtime.control.heartbeats.heartbeats import Heartbeats
from real_runtime.jobs import heard as heard_module
from real_runtime.jobs.heard import NetworkHeartbeats

PERIOD_S = 0.01


class Clock:
    """Seconds that pass when we say so."""

    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


def listening(clock: Clock) -> Heartbeats:
    listener = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    listener.bind(("127.0.0.1", 0))
    return Heartbeats(listener, PERIOD_S, clock)


@pytest.fixture
def heartbeats(clock: Clock) -> Iterator[Heartbeats]:
    with closing(listening(clock)) as made:
        yield made


@pytest.fixture
def hearts() -> Iterator[list[Heart]]:
    made = [Heart(), Heart()]
    yield made
    for heart in made:
        heart.stop()


def say(heartbeats: Heartbeats, beat: Beat, *, token: bytes | None = None) -> None:
    """Send a heartbeat as a rank would that was told the token, or another one."""
    order = heartbeats.order(beat.rank, beat.generation)
    send(heartbeats, written(beat, bytes.fromhex(order["token"]) if token is None else token))


def send(heartbeats: Heartbeats, datagram: bytes) -> None:
    order = heartbeats.order(0, 0)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as line:
        line.sendto(datagram, (order["host"], order["port"]))


def wait_until_heard(heartbeats: Heartbeats, rank: int, after_s: float = -1.0) -> float:
    until_s = time.monotonic() + 10
    while time.monotonic() < until_s:
        time.sleep(0.001)
        if (heard_s := heartbeats.last_heard_s(rank)) > after_s:
            return heard_s
    raise AssertionError(f"rank {rank} was not heard")


def test_a_heartbeat_is_read_as_it_was_written_and_by_nobody_with_another_token() -> None:
    beat, token = Beat(rank=3, generation=2, number=7), new_token()
    assert read(written(beat, token), token) == beat
    assert read(written(beat, new_token()), token) is None


@pytest.mark.parametrize("place", range(DATAGRAM_BYTES))
def test_a_heartbeat_with_any_byte_changed_is_none(place: int) -> None:
    token = new_token()
    datagram = bytearray(written(Beat(rank=3, generation=2, number=7), token))
    datagram[place] ^= 1
    assert read(bytes(datagram), token) is None


@pytest.mark.parametrize("length", [0, 1, DATAGRAM_BYTES - 1, DATAGRAM_BYTES + 1])
def test_a_heartbeat_that_is_too_short_or_too_long_is_none(length: int) -> None:
    token = new_token()
    datagram = written(Beat(rank=3, generation=2, number=7), token) + b"."
    assert read(datagram[:length], token) is None


def test_forged_and_garbled_datagrams_count_nothing_and_keep_nobody_from_being_heard(heartbeats: Heartbeats) -> None:
    for datagram in (b"", b"garbage", b"\0" * DATAGRAM_BYTES, b"x" * 60_000):
        send(heartbeats, datagram)
    say(heartbeats, Beat(rank=1, generation=0, number=1), token=new_token())
    say(heartbeats, Beat(rank=2, generation=0, number=1))
    wait_until_heard(heartbeats, 2)  # it came last
    assert heartbeats.last_heard_s(0) == heartbeats.last_heard_s(1) == -inf


def test_a_heartbeat_that_is_sent_again_counts_nothing(heartbeats: Heartbeats, clock: Clock) -> None:
    say(heartbeats, Beat(rank=1, generation=0, number=5))
    wait_until_heard(heartbeats, 1)
    clock.now_s = 3.0
    for number in (5, 4):
        say(heartbeats, Beat(rank=1, generation=0, number=number))
    say(heartbeats, Beat(rank=2, generation=0, number=1))
    assert wait_until_heard(heartbeats, 2) == 3.0
    assert heartbeats.last_heard_s(1) == 0.0


def test_who_is_expected_and_was_never_heard_is_silent_after_the_time_out(heartbeats: Heartbeats, clock: Clock) -> None:
    clock.now_s = 1.0
    heartbeats.watch([0, 1], 0)
    clock.now_s = 1.375
    assert heartbeats.silent(0.5) == ()
    clock.now_s = 1.5
    assert heartbeats.silent(0.5) == (0, 1)


def test_who_is_heard_is_not_silent_and_who_is_not_expected_is_not_missed(heartbeats: Heartbeats, clock: Clock) -> None:
    heartbeats.watch([0, 1], 0)
    clock.now_s = 1.0
    say(heartbeats, Beat(rank=1, generation=0, number=1))
    wait_until_heard(heartbeats, 1)
    clock.now_s = 1.25
    assert heartbeats.silent(0.5) == (0,)
    heartbeats.watch([1], 0)
    assert heartbeats.silent(0.5) == ()


def test_what_arrived_while_the_coordinator_did_not_run_is_read_before_anybody_is_silent(
    heartbeats: Heartbeats, clock: Clock
) -> None:
    heartbeats.watch([1], 0)
    clock.now_s = 60.0
    say(heartbeats, Beat(rank=1, generation=0, number=1))
    assert heartbeats.silent(0.5) == ()


def test_a_heart_of_an_earlier_generation_does_not_count_for_a_later_one(heartbeats: Heartbeats, clock: Clock) -> None:
    heartbeats.watch([1], 4)
    clock.now_s = 1.0
    say(heartbeats, Beat(rank=1, generation=3, number=1))
    say(heartbeats, Beat(rank=2, generation=3, number=1))
    assert wait_until_heard(heartbeats, 2) == 1.0  # it came last
    assert heartbeats.last_heard_s(1) == 0.0
    assert heartbeats.silent(0.5) == (1,)
    clock.now_s = 2.0
    say(heartbeats, Beat(rank=1, generation=4, number=2))
    assert wait_until_heard(heartbeats, 1, after_s=1.0) == 2.0
    assert heartbeats.silent(0.5) == ()


def test_a_heart_beats_as_it_is_told_and_in_a_new_generation_when_told_anew(
    heartbeats: Heartbeats, clock: Clock, hearts: list[Heart]
) -> None:
    for generation in (0, 1):
        heartbeats.watch([2], generation)
        clock.now_s += 1.0
        hearts[0].beat(heartbeats.order(2, generation))
        until_s = time.monotonic() + 10
        while heartbeats.silent(0.5):
            assert time.monotonic() < until_s


def test_a_heart_that_is_cut_off_is_not_heard(heartbeats: Heartbeats, clock: Clock, hearts: list[Heart]) -> None:
    cut, other = hearts
    cut.cut_off(is_cut_off=True)
    cut.beat(heartbeats.order(0, 0))
    other.beat(heartbeats.order(1, 0))
    for _ in range(2):
        clock.now_s += 1.0
        wait_until_heard(heartbeats, 1, after_s=clock.now_s - 0.5)
    assert heartbeats.last_heard_s(0) == -inf


def test_who_listens_no_more_leaves_no_thread(clock: Clock) -> None:
    heartbeats = listening(clock)
    assert "heartbeats" in [thread.name for thread in threading.enumerate()]
    heartbeats.close()
    assert "heartbeats" not in [thread.name for thread in threading.enumerate()]


class Ear:
    """Hears what the test says, and nothing else."""

    def __init__(self) -> None:
        self.heard_s: dict[int, float] = {}

    def order(self, rank: int, generation: int) -> dict[str, Any]:
        return {"do": "beat", "rank": rank}

    def last_heard_s(self, rank: int) -> float:
        return self.heard_s.get(rank, -inf)

    def close(self) -> None:
        pass


@pytest.fixture
def heard(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> tuple[NetworkHeartbeats, Ear, list[Any]]:
    told: list[Any] = []
    monkeypatch.setattr(heard_module.time, "monotonic", clock)
    ear = Ear()
    return NetworkHeartbeats(ear, lambda rank, message: told.append((rank, message["do"])), [0, 1]), ear, told  # type: ignore[arg-type]


def test_a_new_process_is_told_to_beat_and_expected_from_then_on(
    heard: tuple[NetworkHeartbeats, Ear, list[Any]], clock: Clock
) -> None:
    heartbeats, _, told = heard
    assert told == [(0, "beat"), (1, "beat")]
    clock.now_s = 5.0
    heartbeats.greet(1)
    assert told[2:] == [(1, "beat")]
    assert (heartbeats.last_heard_s(0), heartbeats.last_heard_s(1)) == (0.0, 5.0)
    heartbeats.close()
    assert told[3:] == [(0, "still_heart"), (1, "still_heart")]


def test_the_time_in_which_nobody_looked_is_no_silence(
    heard: tuple[NetworkHeartbeats, Ear, list[Any]], clock: Clock
) -> None:
    """From 0.03 s to 60 s the coordinator did not run: who was heard at 0.02 s was silent for 0.06 s."""
    heartbeats, ear, _ = heard
    clock.now_s = 0.03
    heartbeats.look()
    ear.heard_s[0] = 0.02
    clock.now_s = 60.0
    heartbeats.look()
    assert clock.now_s - heartbeats.last_heard_s(0) == pytest.approx(0.06)
    clock.now_s = 60.04
    heartbeats.look()
    assert clock.now_s - heartbeats.last_heard_s(0) == pytest.approx(0.1)
