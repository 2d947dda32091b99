"""Who plays a scenario live: what is done when, what ranks are told, and that all is as before in the end."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import pytest

from edgesim import RunError
from edgesim.recording import Column, Recording, Unit
from edgesim.scenario import Event, Jitter, Loss, Moment, Scenario, Slowdown
from real_runtime.testbeds.scenarios import player as player_module
from real_runtime.testbeds.scenarios.agenda import Agenda
from real_runtime.testbeds.scenarios.lines import Lines
from real_runtime.testbeds.scenarios.player import ScenarioPlayer
from real_runtime.testbeds.scenarios.refusals import refuse_for_iterations, refuse_for_jobs, refuse_under_quota

SLOW = Slowdown(rank=1, start_s=2, end_s=4, factor=0.5, source="test")


def recorded(*steps: tuple[float, float], rank: int | None = None) -> Recording:
    column = Column(rank=rank, unit=Unit.FACTOR, values=tuple(value for _, value in steps))
    return Recording(at_s=tuple(at_s for at_s, _ in steps), columns=(column,), source="test")


class Written:
    """A wiring that writes down what is asked of it."""

    def __init__(self) -> None:
        self.said: list[tuple[int, float, bool]] = []

    def set(self, rank: int, bytes_per_s: float, *, is_up: bool) -> None:
        self.said.append((rank, bytes_per_s, is_up))

    def close(self) -> None:
        pass


class ByHand:
    """An agenda without a clock: what is put down is done when the test says so."""

    def __init__(self) -> None:
        self.coming: list[tuple[float, Callable[[], object]]] = []

    def at(self, at_s: float, act: Callable[[], object]) -> None:
        self.coming.append((at_s, act))

    def clear(self) -> None:
        self.coming.clear()

    def close(self) -> None:
        self.clear()

    def go_to(self, until_s: float) -> None:
        while due := [each for each in self.coming if each[0] <= until_s]:
            first = min(due, key=lambda each: each[0])
            self.coming.remove(first)
            first[1]()


@pytest.fixture
def by_hand(monkeypatch: pytest.MonkeyPatch) -> ByHand:
    made = ByHand()
    monkeypatch.setattr(player_module, "Agenda", lambda: made)
    return made


@pytest.fixture
def written() -> Written:
    return Written()


def player_of(written: Written, *events: Event, slow_motion: float = 1.0) -> tuple[ScenarioPlayer, list[Any]]:
    """A player of two hosts at 10 B/s, and what it tells ranks."""
    told: list[Any] = []
    lines = Lines(written, [10.0 / slow_motion] * 2)
    scenario = Scenario(events=events)
    player = ScenarioPlayer(
        scenario,
        lines,
        lambda rank, message: told.append((rank, message["pace"])),
        bytes_per_s=[10.0, 10.0],
        slow_motion=slow_motion,
    )
    return player, told


def test_what_is_put_down_is_done_in_the_order_of_its_seconds() -> None:
    done, over = list[str](), threading.Event()
    with closing(Agenda()) as agenda:
        now_s = time.monotonic()
        agenda.at(now_s + 0.02, over.set)
        agenda.at(now_s + 0.01, lambda: done.append("second"))
        agenda.at(now_s - 1, lambda: done.append("first"))
        assert over.wait(10)
    assert done == ["first", "second"]


def test_an_act_may_put_down_the_next_one_and_nothing_is_done_after_the_end() -> None:
    done, over = list[int](), threading.Event()
    agenda = Agenda()

    def act(number: int) -> None:
        done.append(number)
        if number == 2:
            over.set()
        agenda.at(0.0 if number < 2 else time.monotonic() + 60, lambda: act(number + 1))

    agenda.at(0.0, lambda: act(0))
    assert over.wait(10)
    agenda.close()
    assert done == [0, 1, 2]


def test_an_act_that_fails_keeps_no_other_from_being_done_and_is_told_in_the_end() -> None:
    over = threading.Event()
    agenda = Agenda()
    agenda.at(0.0, lambda: 1 / 0)
    agenda.at(0.0, over.set)
    assert over.wait(10)
    with pytest.raises(RunError, match="the scenario could not be played: division by zero"):
        agenda.close()


def test_a_line_is_set_only_when_something_changes_and_in_an_outage_its_rate_is_0(written: Written) -> None:
    lines = Lines(written, [10.0, 20.0])
    lines.change(0, 1.0)
    assert written.said == []
    lines.change(1, 0.5)
    lines.change(1, 0.5)
    lines.change(1, 0.0)
    lines.change(1, 0.25)
    assert written.said == [(1, 10.0, True), (1, 0.0, True), (1, 5.0, True)]


def test_a_cable_that_was_pulled_stays_out_whatever_the_rate_does(written: Written) -> None:
    lines = Lines(written, [10.0])
    lines.cut(0)
    lines.change(0, 0.5)
    lines.mend(0)
    lines.cut(0)
    lines.restore()
    assert written.said == [(0, 10.0, False), (0, 5.0, False), (0, 5.0, True), (0, 5.0, False), (0, 10.0, True)]


def test_rates_change_at_their_seconds_from_the_start_on_and_are_as_before_in_the_end(
    by_hand: ByHand, written: Written
) -> None:
    player, _ = player_of(written, recorded((0, 0.5), (1, 0.25), (3, 1)))
    player.begin(100.0)
    assert written.said == [(0, 5.0, True), (1, 5.0, True)]
    by_hand.go_to(100.9)
    assert len(written.said) == 2
    by_hand.go_to(101.0)
    assert written.said[2:] == [(0, 2.5, True), (1, 2.5, True)]
    player.end()
    assert written.said[4:] == [(0, 10.0, True), (1, 10.0, True)]
    assert by_hand.coming == []


def test_a_scenario_that_begins_anew_begins_at_its_first_second(by_hand: ByHand, written: Written) -> None:
    player, _ = player_of(written, recorded((0, 1), (1, 0.5), rank=0))
    player.begin(100.0)
    by_hand.go_to(101.0)
    player.begin(200.0)
    by_hand.go_to(200.9)
    assert written.said == [(0, 5.0, True), (0, 10.0, True)]
    by_hand.go_to(201.0)
    assert written.said[2:] == [(0, 5.0, True)]


def test_ranks_know_their_slow_downs_before_they_come_and_none_in_the_end(by_hand: ByHand, written: Written) -> None:
    player, told = player_of(written, SLOW)
    player.begin(100.0)
    assert told == [(0, []), (1, [(100.0, 1.0), (102.0, 0.5), (104.0, 1.0)])]
    player.end()
    assert told[2:] == [(0, []), (1, [])]


def test_slow_motion_stretches_seconds_and_leaves_factors(by_hand: ByHand, written: Written) -> None:
    player, told = player_of(written, SLOW, recorded((0, 1), (2, 0.5), rank=0), slow_motion=10)
    player.begin(100.0)
    assert told[1] == (1, [(100.0, 1.0), (120.0, 0.5), (140.0, 1.0)])
    by_hand.go_to(119.9)
    assert written.said == []
    by_hand.go_to(120.0)
    assert written.said == [(0, 0.5, True)]


def test_a_scenario_of_other_ranks_is_refused(written: Written) -> None:
    with pytest.raises(ValueError, match="names rank 7, the cluster has ranks 0 to 1"):
        player_of(written, recorded((0, 1), rank=7))


def refused() -> Iterator[tuple[Callable[[Scenario], None], Event, str]]:
    jitter, loss = Jitter(variation=0.1, source="test"), Loss(rank=2, when=Moment(at_s=12))
    yield refuse_for_iterations, jitter, "in which durations vary by 0.1 of their mean: on a real machine they do"
    yield refuse_for_jobs, jitter, "in which durations vary by 0.1 of their mean: on a real machine they do"
    yield refuse_for_iterations, loss, r"rank 2 is killed at 12 s: only a job can go on after that \(say \+job="
    yield refuse_under_quota, SLOW, "in which rank 1 computes at 0.5 of its speed from 2 s to 4 s: a quota holds"


@pytest.mark.parametrize(("refuse", "event", "said"), list(refused()))
def test_what_no_testbed_plays_is_refused_by_its_name(
    refuse: Callable[[Scenario], None], event: Event, said: str
) -> None:
    with pytest.raises(ValueError, match=said):
        refuse(Scenario(events=(event,)))


def test_rates_and_slow_downs_are_played_and_in_a_job_losses_too() -> None:
    playable = (SLOW, recorded((0, 1), (1, 0), (2, 1)))
    refuse_for_iterations(Scenario(events=playable))
    refuse_for_jobs(Scenario(events=(*playable, Loss(rank=0, when=Moment(at_s=1)))))
    refuse_under_quota(Scenario(events=playable[1:]))
