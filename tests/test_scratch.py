"""Does anything stay behind of a process that was killed?"""

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from edgesim import scratch
from edgesim.scratch import holding, remove_abandoned, scratch_folder
from real_runtime.testbeds import cgroups

HOLDER = """
import sys, time
from edgesim.scratch import scratch_folder
with scratch_folder() as folder:
    (folder / "file").write_text("half")
    print(folder, flush=True)
    time.sleep(60)
"""


def test_a_folder_vanishes_with_what_is_in_it() -> None:
    with scratch_folder() as folder:
        (folder / "file").write_text("x")
    assert not folder.exists()


def test_a_folder_vanishes_after_an_error_too() -> None:
    with pytest.raises(KeyError), scratch_folder() as folder:
        raise KeyError
    assert not folder.exists()


def test_a_folder_that_is_renamed_is_kept(tmp_path: Path) -> None:
    with scratch_folder(within=tmp_path, prefix=".x[1].") as folder:
        (folder / "file").write_text("x")
        folder.rename(tmp_path / "kept")
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]


def test_the_next_start_removes_what_a_killed_process_left_and_nothing_of_a_living_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scratch, "_SETTLES_S", 0.0)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    command, there = [sys.executable, "-c", HOLDER], os.environ | {"TMPDIR": str(tmp_path)}
    with subprocess.Popen(command, env=there, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        left = Path(holder.stdout.readline().strip())
        with scratch_folder():
            assert (left / "file").exists()
        holder.send_signal(signal.SIGKILL)
    assert (left / "file").exists()
    with scratch_folder() as ours:
        assert [path for path in tmp_path.iterdir() if path.is_dir()] == [ours]


def test_the_next_start_removes_all_of_ours_that_lies_about_and_nothing_of_a_users(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    ours, others = ("edgesim-scratch-a", "edgesim-made-b", "edgesim-ray-c"), ("edgesim-notes", "edgesim", "made-d")
    for name in (*ours, *others):
        (tmp_path / name / "more").mkdir(parents=True)
        os.utime(tmp_path / name, (0, 0))
    with holding(tmp_path / "edgesim-made-b"), scratch_folder() as folder:
        assert {path.name for path in tmp_path.iterdir()} == {folder.name, "edgesim-made-b", *others}
    with scratch_folder():
        pass
    assert {path.name for path in tmp_path.iterdir()} == set(others)


def test_control_groups_of_dead_coordinators_vanish_and_those_of_living_and_new_ones_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cgroups, "_ROOT", tmp_path)
    with subprocess.Popen(["true"]) as ended:
        ended.wait()
    names = (
        f"edgesim-{ended.pid}-0",
        f"edgesim-{os.getpid()}-0",
        "edgesim-mine",
        f"edgesim-{ended.pid}-1",
        "other-1-0",
    )
    for controller in ("cpu", "memory"):
        for name in names:
            (tmp_path / controller / name).mkdir(parents=True)
            if name != names[3]:
                os.utime(tmp_path / controller / name, (0, 0))
    cgroups.remove_abandoned()
    for controller in ("cpu", "memory"):
        assert {path.name for path in (tmp_path / controller).iterdir()} == set(names[1:])


def test_a_folder_that_was_made_just_now_and_others_of_that_place_are_left_alone(tmp_path: Path) -> None:
    for name in ("edgesim-scratch-new", "other"):
        (tmp_path / name).mkdir()
    os.utime(tmp_path / "other", (0, 0))
    remove_abandoned(tmp_path, "edgesim-scratch-")
    assert len(list(tmp_path.iterdir())) == 2
    os.utime(tmp_path / "edgesim-scratch-new", (0, 0))
    remove_abandoned(tmp_path, "edgesim-scratch-")
    assert [path.name for path in tmp_path.iterdir()] == ["other"]
