"""Threads that pass messages on precede computation, and nothing else does; nobody inherits it."""

import os
import threading

import pytest

from real_runtime.other_load import priority
from real_runtime.other_load.priority import computing, passing_on, serving, withhold


def precedes(thread: int = 0) -> bool:
    return bool(os.sched_getscheduler(thread) & ~os.SCHED_RESET_ON_FORK == os.SCHED_RR)


def may_precede() -> bool:
    if not hasattr(os, "sched_setscheduler"):
        return False
    with passing_on():
        return precedes()


permitted = pytest.mark.skipif(not may_precede(), reason="the kernel lets this user's threads not precede others")


@pytest.fixture(autouse=True)
def _granted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(priority, "_withheld", threading.Event())


def elsewhere() -> bool:
    """Whether a thread that is started now precedes others."""
    found: list[bool] = []
    thread = threading.Thread(target=lambda: found.append(precedes()))
    thread.start()
    thread.join()
    return found[0]


@permitted
def test_who_passes_on_precedes_but_not_while_it_computes() -> None:
    with passing_on():
        assert precedes()
        with computing():
            assert not precedes()
            with passing_on():
                assert precedes()
            assert not precedes()
        assert precedes()
    assert not precedes()


@permitted
def test_a_thread_that_is_started_meanwhile_is_one_of_many() -> None:
    with passing_on():
        assert not elsewhere()


@permitted
def test_threads_that_come_up_to_serve_precede_and_those_from_before_do_not() -> None:
    over = threading.Event()
    old, new = (threading.Thread(target=over.wait) for _ in range(2))
    old.start()
    with serving():
        new.start()
    assert (precedes(old.native_id or 0), precedes(new.native_id or 0)) == (False, True)
    over.set()
    old.join()
    new.join()


@permitted
def test_an_error_leaves_a_thread_as_it_was() -> None:
    with pytest.raises(RuntimeError, match="gone"), passing_on():
        raise RuntimeError("gone")
    assert not precedes()


@permitted
def test_where_a_quota_slows_a_host_down_nobody_precedes() -> None:
    withhold()
    with passing_on():
        assert not precedes()


def test_without_the_right_all_goes_on_as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*asked: object) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "sched_setscheduler", refused)
    with passing_on(), computing(), serving():
        assert not elsewhere()
