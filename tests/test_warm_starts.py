"""Is what was loaded, read and timed once there for all that comes after it, and only as long as it still holds?"""

import gc
import os
import re
import signal
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import recounting_rank
import torch
from runtime_builders import BERT, CASES, MOBILENET, data, three_hosts, workload
from sklearn.datasets import load_digits

from edgesim.model import Model
from edgesim.schedule import Schedule, Task
from edgesim.strategies.hybrid_pipeline import hybrid_pipeline
from real_runtime.assignment import Assignment
from real_runtime.control.coordinator import Coordinator
from real_runtime.control.forking.client import fork_server
from real_runtime.data.samples import Source
from real_runtime.data.text_folder import text_of_folder
from real_runtime.models import boundary_shapes
from real_runtime.testbeds import core_speed, opening
from real_runtime.testbeds.core_speed import core_flop_per_s
from real_runtime.testbeds.opening import open_testbed
from real_runtime.testbeds.spec import TestbedSpec


def assignment(model: Model) -> Assignment:
    work = workload(model)
    schedule = hybrid_pipeline(CASES[3].plan(model), model, work)
    return Assignment(schedule=schedule, model=model, workload=work, data=data(model), iterations=1, seed=1)


class Ranks:
    """Answer how fast a core is, each time with another number."""

    pids = ()

    def __init__(self) -> None:
        self.asked = 0

    def ask(self, commands: dict[int, dict[str, Any]]) -> list[dict[str, Any]]:
        assert commands == {0: {"do": "time_core"}}
        self.asked += 1
        return [{"flop_per_s": 1e9 * self.asked}]


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """The other load of this machine, the time, and the cores that may be used; nothing is timed yet."""
    now = SimpleNamespace(share=0.01, at_s=1000.0, cores={0, 1})

    @contextmanager
    def watching(own: object) -> Iterator[Any]:
        yield SimpleNamespace(share=lambda begin_s, end_s: now.share)

    monkeypatch.setattr(core_speed, "watching", watching)
    monkeypatch.setattr(core_speed, "_timed", {})
    monkeypatch.setattr(core_speed, "time", SimpleNamespace(monotonic=lambda: now.at_s))
    monkeypatch.setattr(core_speed.os, "sched_getaffinity", lambda pid: now.cores)
    return now


def test_a_core_is_timed_once_and_again_on_other_cores_and_after_some_minutes(load: SimpleNamespace) -> None:
    ranks = Ranks()
    assert [core_flop_per_s(ranks, 0.05) for _ in range(2)] == [1e9, 1e9]  # type: ignore[arg-type]
    load.cores = {0}
    assert core_flop_per_s(ranks, 0.05) == 2e9  # type: ignore[arg-type]
    load.cores = {0, 1}
    load.at_s += 599
    assert core_flop_per_s(ranks, 0.05) == 1e9  # type: ignore[arg-type]
    load.at_s += 2
    assert core_flop_per_s(ranks, 0.05) == 3e9  # type: ignore[arg-type]


def test_a_core_that_was_timed_beside_other_load_is_timed_again(load: SimpleNamespace) -> None:
    ranks = Ranks()
    load.share = 0.06
    assert [core_flop_per_s(ranks, 0.05) for _ in range(2)] == [1e9, 2e9]  # type: ignore[arg-type]
    load.share = 0.05
    assert [core_flop_per_s(ranks, 0.05) for _ in range(2)] == [3e9, 3e9]  # type: ignore[arg-type]


def test_a_text_is_read_once_and_again_when_a_file_of_it_has_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner" / "b.py").write_text("b")
    (tmp_path / "a.txt").write_text("a")
    assert text_of_folder(str(tmp_path)) == b"ab"
    with monkeypatch.context() as reading_is_forbidden:
        reading_is_forbidden.delattr(Path, "read_bytes")
        assert text_of_folder(str(tmp_path)) == b"ab"
        reading_is_forbidden.chdir(tmp_path)
        assert text_of_folder(".") == b"ab"
    (tmp_path / "a.txt").write_text("A")
    assert text_of_folder(str(tmp_path)) == b"Ab"
    (tmp_path / "c.md").write_text("c")
    assert text_of_folder(str(tmp_path)) == b"Acb"


def test_digits_are_scikit_learns() -> None:
    theirs, ours = load_digits(), Source(data(MOBILENET), replace_resolution(8), workload(MOBILENET), 0)
    assert torch.equal(ours.labels, torch.from_numpy(theirs.target))
    assert torch.equal(ours.images[:, 0], torch.from_numpy(theirs.images).float() / 16)
    assert ours.images.shape == (1797, 3, 8, 8)


def replace_resolution(pixels: int) -> Model:
    return replace(MOBILENET, hyper=dict(MOBILENET.hyper) | {"resolution": pixels})


def test_shapes_are_found_once_for_a_model_and_anew_for_another() -> None:
    found = boundary_shapes(BERT, 13)
    assert boundary_shapes(replace(BERT, name="the same"), 13) is found
    assert boundary_shapes(BERT, 14) != found


def test_an_assignment_that_is_set_aside_goes_when_nobody_names_it() -> None:
    """Without any search for garbage, which does not look there."""
    sent = assignment(BERT).to_dict()
    gc.collect()
    gc.disable()
    try:
        before = living()
        made = Assignment.from_dict(sent)
        made.schedule.check()
        assert len(made.schedule.graph.tasks) <= living()[Task] - before[Task]
        del made
        assert living() == before
    finally:
        gc.enable()


def living() -> Counter[type]:
    """How many assignments, schedules and tasks there are."""
    return Counter(type(each) for each in gc.get_objects() if type(each) in (Assignment, Schedule, Task))


@pytest.mark.slow
@pytest.mark.xdist_group("testbed")
def test_a_further_testbed_loads_and_times_nothing_and_its_ranks_import_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[str] = []
    ask = Coordinator.ask

    def listened(self: Coordinator, commands: Any) -> Any:
        asked.extend(command["do"] for command in commands.values())
        return ask(self, commands)

    monkeypatch.setattr(Coordinator, "ask", listened)
    monkeypatch.setattr(opening, "RANK", recounting_rank.RANK)
    monkeypatch.setattr(core_speed, "_timed", {})
    spec = TestbedSpec(kind="loopback", disturbed_above=0.99)
    with open_testbed(spec, three_hosts()) as first:
        server = fork_server(recounting_rank.RANK).pid
        assert len(os.listdir(f"/proc/{server}/task")) == 1  # a fork copies no other thread
        earlier = first.coordinator.pids
    assert asked == ["join"] * 3 + ["time_core"] + ["dilate"] * 3
    with open_testbed(spec, three_hosts()) as testbed:
        assert asked[7:] == ["join"] * 3 + ["dilate"] * 3
        assert testbed.fractions == first.fractions
        assert fork_server(recounting_rank.RANK).pid == server
        assert not set(earlier) & set(testbed.coordinator.pids)
        for model in (BERT, MOBILENET):
            testbed.execute(assignment(model))
        testbed.profile_layers(BERT, workload(BERT), samples=[1], repeats=1)
        assert [imported(rank) for rank in testbed.coordinator.ranks] == [[], [], []]


def imported(rank: Any) -> list[str]:
    """What a rank has imported since it was forked."""
    os.kill(rank.pid, signal.SIGUSR1)
    until_s = time.monotonic() + 20
    while (said := re.search(r"imported:(.*)\n", rank.log.read_text())) is None and time.monotonic() < until_s:
        time.sleep(0.02)
    assert said is not None
    return said[1].split()
