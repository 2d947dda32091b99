"""How are thousands of drawn inputs tried? In shards, so that workers share them, and each try within bounds."""

import io
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import chdir, contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from unittest.mock import patch

import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from experiments.configuration.command_line import USERS, sentence

MOST_LINES = 3
MOST_CPU_S = 30  # of one try: what is drawn is small, so whoever needs more would hang at a user's number
OWN_CODE = "experiments.configuration.command_line.users_mistake"  # which would take these files for a user's
Attempt = Callable[[Path, st.DataObject], None]


def tried(attempt: Attempt, folders: pytest.TempPathFactory, *, tries: int, shard: int = 0) -> None:
    """Make so many tries, others in each shard, each in an empty folder of its own and in little time."""
    made = 0

    @seed(shard)
    @given(data=st.data())
    @settings(
        max_examples=tries,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate],
    )
    def one(data: st.DataObject) -> None:
        nonlocal made
        with in_bounded_time():
            attempt(folders.mktemp("try"), data)
        made += 1

    one()
    assert made >= tries


@contextmanager
def in_bounded_time() -> Iterator[None]:
    """Fail for what computes for long, whatever else the machine does meanwhile."""

    def too_long(*_: object) -> None:
        pytest.fail(f"no answer after {MOST_CPU_S} s of computing")

    before = signal.signal(signal.SIGVTALRM, too_long)
    signal.setitimer(signal.ITIMER_VIRTUAL, MOST_CPU_S)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


def accepted_or_told(read: Callable[[], object], *, naming: str = "") -> None:
    """Whatever is read is accepted or refused in a sentence; any other error is a traceback to the user."""
    try:
        read()
    except USERS as error:
        said = sentence(error)
        assert said
        assert said.count("\n") < MOST_LINES, said
        assert naming in said, f"{naming} is not named: {said}"


def ended(folder: Path, command: Callable[[], object], *words: str, wrong: int = 2) -> int:
    """The exit code of a command with these words; one that is ``wrong`` has a short message, and no other has any."""
    said, code = io.StringIO(), 0
    kept_words, sys.argv = sys.argv, ["run", *words]
    try:
        with redirect_stderr(said), redirect_stdout(io.StringIO()), chdir(folder), patch(OWN_CODE, return_value=None):
            code = int(command() or 0)  # type: ignore[call-overload]
    except SystemExit as end:
        code = int(end.code or 0)
    finally:
        sys.argv = kept_words
    lines = said.getvalue().count("\n")
    assert "Traceback" not in said.getvalue()
    assert code != wrong or 1 <= lines <= MOST_LINES, said.getvalue()
    assert code in (0, 1, wrong), said.getvalue()
    return code
