"""Does Ctrl-C end a run in one line at whatever moment it comes, and leave nothing? In processes of their own."""

import os
import random
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest
from processes import alive

from experiments.commands import ending_in_words
from experiments.configuration.places import CODE
from real_runtime.testbeds import netns

WORDS = ["model=bert_tiny_bytes", "execute=true", "testbed.slow_motion=1", "iterations=1"]
OPENING = "opening the testbed"  # what a run says before it does
LONGEST_S, ENDS_WITHIN_S = 8.0, 30.0
EASY, ALL = range(4), range(4, 32)
KINDS = ["loopback", *(["netns"] if netns.problem() is None else [])]


def children(pid: int) -> set[int]:
    """All processes that descend from one."""
    parents = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents[int(stat.parent.name)] = int(stat.read_text().rpartition(")")[2].split()[1])
        except OSError:  # it has ended since
            continue
    found, front = set[int](), {pid}
    while front:
        front = {child for child, parent in parents.items() if parent in front} - found
        found |= front
    return found


def interrupted(kind: str, moment: random.Random, number: signal.Signals, place: Path) -> tuple[int, str, set[int]]:
    """The exit code of a run that a signal strikes while its testbed opens, what it wrote as errors, and what it left.

    Where in the opening it strikes is drawn: so many seconds after it has begun, but no later than its end.
    """
    temporary = place / "tmp"
    temporary.mkdir()
    process = subprocess.Popen(
        [sys.executable, "-m", "experiments.run", *WORDS, f"testbed={kind}"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=place,
        env=os.environ | {"PYTHONPATH": str(CODE), "TMPDIR": str(temporary)},
        start_new_session=True,
    )
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith(OPENING):
            break
    time.sleep(moment.uniform(0, LONGEST_S) ** 2 / LONGEST_S)  # more of them early
    before = children(process.pid)
    process.send_signal(number)
    said = process.communicate(timeout=ENDS_WITHIN_S)[1]
    until_s = time.monotonic() + 10
    while (left := {pid for pid in before if alive(pid)}) and time.monotonic() < until_s:
        time.sleep(0.05)
    assert not list(temporary.glob("edgesim-*"))
    return process.returncode, said, left


def check(kind: str, seed: int, number: signal.Signals, word: str, place: Path) -> None:
    code, said, left = interrupted(kind, random.Random(seed), number, place)
    assert (code, said) in {(128 + number, f"{word}\n"), (0, "")}  # it may have been over already
    assert not left


@pytest.mark.slow
@pytest.mark.timeout(90)
@pytest.mark.parametrize("seed", EASY)
def test_ctrl_c_while_a_testbed_opens_ends_in_one_line(seed: int, tmp_path: Path) -> None:
    check(KINDS[seed % len(KINDS)], seed, signal.SIGINT, "interrupted", tmp_path)


@pytest.mark.slow
@pytest.mark.timeout(90)
@pytest.mark.parametrize("seed", EASY)
def test_sigterm_does_the_same(seed: int, tmp_path: Path) -> None:
    check(KINDS[(seed + 1) % len(KINDS)], seed, signal.SIGTERM, "terminated", tmp_path)


PLANNER = """
import time
from contextlib import suppress
from pathlib import Path
from edgesim.scratch import scratch_folder

def plan(problem):
    with scratch_folder():
        Path("planning").touch()
        time.sleep(60)
"""


@pytest.mark.parametrize(
    ("number", "word"), [(signal.SIGINT, "interrupted"), (signal.SIGTERM, "terminated")], ids=["Ctrl-C", "SIGTERM"]
)
def test_a_signal_while_a_run_is_planned_ends_it_in_one_line_too(
    number: signal.Signals, word: str, tmp_path: Path
) -> None:
    (tmp_path / "slow_planner.py").write_text(PLANNER)
    (tmp_path / "conf" / "planner").mkdir(parents=True)
    (tmp_path / "conf" / "planner" / "slow.yaml").write_text("_target_: slow_planner.plan\n_partial_: true\n")
    words = ["--config-dir", "conf", "planner=slow", "model=bert_tiny_bytes"]
    there = os.environ | {"PYTHONPATH": os.pathsep.join((str(CODE), str(tmp_path))), "TMPDIR": str(tmp_path)}
    process = subprocess.Popen(
        [sys.executable, "-m", "experiments.run", *words], stderr=subprocess.PIPE, text=True, cwd=tmp_path, env=there
    )
    while not (tmp_path / "planning").exists():
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)
    process.send_signal(number)
    assert process.communicate(timeout=ENDS_WITHIN_S)[1] == f"{word}\n"
    assert process.returncode == 128 + number
    assert not list(tmp_path.glob("edgesim-*"))


@pytest.mark.soak
@pytest.mark.timeout(90)
@pytest.mark.parametrize("seed", ALL)
@pytest.mark.parametrize("kind", KINDS)
def test_ctrl_c_at_any_moment_of_opening(kind: str, seed: int, tmp_path: Path) -> None:
    check(kind, seed, signal.SIGINT, "interrupted", tmp_path)


ENDS = """
import os, signal
from experiments.commands import ending_in_words

class Last:
    def __del__(self, number=signal.SIGINT, kill=os.kill, getpid=os.getpid):
        kill(getpid(), number)

last = Last()  # goes when Python clears its modules
with ending_in_words():
    print("done")
"""


def test_a_signal_while_python_ends_after_a_command_that_is_done_changes_nothing() -> None:
    ended = subprocess.run([sys.executable, "-c", ENDS], capture_output=True, text=True, cwd=CODE)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "done\n", "")


@pytest.mark.parametrize(
    ("came", "code", "word"),
    [(KeyboardInterrupt(), 130, "interrupted"), (SystemExit(143), 143, "terminated")],
    ids=["Ctrl-C", "SIGTERM"],
)
def test_what_a_library_stumbles_over_while_it_is_torn_away_is_not_told(
    came: BaseException, code: int, word: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def torn() -> None:
        half_made = None
        with ending_in_words(), ending_in_words():
            try:
                raise came
            finally:
                half_made.clean_up()  # type: ignore[attr-defined]

    with pytest.raises(SystemExit) as ended:
        torn()
    assert (ended.value.code, capsys.readouterr().err) == (code, f"{word}\n")


def test_an_error_of_its_own_is_told_also_after_an_interruption_that_somebody_heard() -> None:
    def heard() -> None:
        with ending_in_words():
            with suppress(KeyboardInterrupt):
                raise KeyboardInterrupt
            raise ValueError("of its own")

    with pytest.raises(ValueError, match="of its own"):
        heard()
