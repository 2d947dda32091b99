"""What a scenario does to a rank, and what the rank does to itself, in whatever order they come."""

import signal
from collections.abc import Sequence

from edgesim.scenario import Loss, LossKind, Moment
from real_runtime.jobs.happenings import Happenings


class Hosts:
    """Hosts to which nothing can be done but signals."""

    def __init__(self) -> None:
        self.sent: list[tuple[int, int]] = []

    def signal(self, rank: int, number: int) -> None:
        self.sent.append((rank, number))

    def iteration(self) -> int:
        return 0

    def lives(self, rank: int) -> bool:
        return True

    def foretell(self, rank: int, iteration: int, task: str, number: int) -> None:
        pass

    def cut(self, rank: int) -> None:
        pass

    def mend(self, rank: int) -> None:
        pass


def begun(events: Sequence[Loss], hosts: Hosts) -> Happenings:
    """What happens in a job that has just begun."""
    happenings = Happenings(events=events, victims=hosts)
    happenings.begin()
    return happenings


def test_nothing_happens_before_the_job_begins() -> None:
    """However long ranks are connected and introduced before."""
    hosts = Hosts()
    happenings = Happenings(events=[Loss(rank=1, when=Moment(at_s=0.1))], victims=hosts)
    happenings.began_s -= 60
    happenings.look()
    happenings.begin()
    happenings.look()
    assert not hosts.sent
    happenings.began_s -= 0.2
    happenings.look()
    assert hosts.sent == [(1, signal.SIGKILL)]


def test_a_rank_that_comes_to_its_own_stop_after_it_was_resumed_is_resumed_again() -> None:
    stop = Loss(rank=1, when=Moment(iteration=3, task="0F1@1"), kind=LossKind.STOP, lasts_s=0.1)
    hosts = Hosts()
    happenings = begun([stop], hosts)
    happenings.reached(1, 3, "0F1@1")
    assert not hosts.sent  # it stops itself, sooner or later
    happenings.began_s -= 0.2
    happenings.look()
    happenings.look()
    assert hosts.sent == [(1, signal.SIGCONT)] * len(hosts.sent)
    assert len(hosts.sent) > 1


def test_a_rank_that_is_stopped_again_stays_so() -> None:
    stops = [Loss(rank=1, when=Moment(at_s=at_s), kind=LossKind.STOP, lasts_s=0.1) for at_s in (0.0, 0.5)]
    hosts = Hosts()
    happenings = begun(stops, hosts)
    for later_s in (0.2, 0.4):
        happenings.look()
        happenings.began_s -= later_s
    happenings.look()
    hosts.sent.clear()
    happenings.look()
    assert not hosts.sent


def test_at_the_end_everybody_is_resumed() -> None:
    hosts = Hosts()
    Happenings(events=[], victims=hosts).undo_all([0, 2])
    assert hosts.sent == [(0, signal.SIGCONT), (2, signal.SIGCONT)]
