"""Hosts that are emulated on cores alike are timed alike."""

from real_runtime.testbeds.alike_hosts import Rows, timed_alike


def rows(*seconds: float) -> Rows:
    return [{"seconds": each} for each in seconds]


class Timing:
    """Times ranks, each as often as it has seconds."""

    def __init__(self, *seconds: list[float]) -> None:
        self.seconds, self.asked = seconds, list[int]()

    def __call__(self, rank: int) -> Rows:
        self.asked.append(rank)
        return rows(self.seconds[rank].pop(0))


def test_a_host_that_took_more_of_its_core_than_another_is_timed_again_and_its_faster_timing_kept() -> None:
    """Half a core for 4 s and a quarter for 8 s are the same work; 2.4 s of a whole one are more than 2."""
    timing = Timing([4.0], [8.0], [2.4, 2.1, 2.0])
    kept = timed_alike(range(3), {0: 0.5, 1: 0.25, 2: 1.0}, timing, tries=3)
    assert kept == {0: rows(4.0), 1: rows(8.0), 2: rows(2.0)}
    assert timing.asked == [0, 1, 2, 2, 2]


def test_a_slower_second_timing_changes_nothing_and_tries_have_an_end() -> None:
    timing = Timing([2.0], [4.0, 5.0])
    assert timed_alike((0, 1), {0: 1.0, 1: 1.0}, timing, tries=1) == {0: rows(2.0), 1: rows(4.0)}
    assert timing.asked == [0, 1, 1]


def test_hosts_that_are_not_dilated_are_compared_with_nobody() -> None:
    for fractions in ({0: 0.5}, {}):
        timing = Timing([2.0], [9.0])
        assert timed_alike((0, 1), fractions, timing, tries=2) == {0: rows(2.0), 1: rows(9.0)}
        assert timing.asked == [0, 1]
