"""Does the table keep every run once, whoever writes, merges or dies?"""

import fcntl
import json
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from experiments.sweeps import row_lines, run_table
from experiments.sweeps.row_lines import locked
from experiments.sweeps.run_table import RunTable, code_hash


def row(key: str, *, finished: str = "2026-01-01", code: str = "c", status: str = "done", value: float = 1.0) -> dict:
    return {"key": key, "finished": finished, "code": code, "status": status, "makespan_s": value}


def test_rows_are_there_before_and_after_they_are_merged(tmp_path: Path) -> None:
    table = RunTable(tmp_path)
    assert table.rows().empty
    assert table.finished("c") == {}
    table.writer().add([row("a"), row("b", status="failed")])
    assert table.finished("c") == {"a": "done", "b": "failed"}
    before = table.rows()
    assert table.merge() == 2
    assert list((tmp_path / "rows").iterdir()) == []
    pd.testing.assert_frame_equal(table.rows(), before)


def test_a_run_made_twice_is_one_row_the_latest(tmp_path: Path) -> None:
    table = RunTable(tmp_path)
    table.writer().add([row("a", finished="2026-01-02", value=2.0)])
    table.writer().add([row("a", value=1.0), row("b")])
    assert table.merge() == 2
    table.writer().add([row("b", finished="2026-01-03", value=3.0)])
    table.merge()
    assert dict(zip(table.rows()["key"], table.rows()["makespan_s"], strict=True)) == {"a": 2.0, "b": 3.0}


def test_runs_of_other_code_are_not_finished(tmp_path: Path) -> None:
    table = RunTable(tmp_path)
    table.writer().add([row("a", code="old"), row("b", code="new")])
    assert set(table.finished("new")) == {"b"}


def test_a_line_that_was_not_finished_is_no_row(tmp_path: Path) -> None:
    table = RunTable(tmp_path)
    writer = table.writer()
    writer.add([row("a"), row("b")])
    text = writer.path.read_text()
    writer.path.write_text(text[: len(text) - 10])
    assert set(table.finished("c")) == {"a"}
    assert table.merge() == 1


def test_a_file_that_somebody_is_writing_is_left_to_the_next_merge(tmp_path: Path) -> None:
    table = RunTable(tmp_path)
    writer = table.writer()
    writer.add([row("a")])
    with writer.path.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert table.merge() == 0
        assert writer.path.exists()
    assert table.merge() == 1
    assert not writer.path.exists()


def test_a_writer_goes_on_in_a_new_file_after_a_merge(tmp_path: Path) -> None:
    table = RunTable(tmp_path)
    writer = table.writer()
    for key in "abc":
        writer.add([row(key)])
        table.merge()
    assert set(table.finished("c")) == {"a", "b", "c"}


def test_a_lock_taken_on_a_removed_file_is_taken_anew(tmp_path: Path) -> None:
    path = tmp_path / "file"
    with locked(path) as held:
        assert held
        path.unlink()
    with locked(path) as held, path.open("a") as file:
        assert held
        with pytest.raises(BlockingIOError):
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_many_processes_write_while_others_merge_and_nothing_is_lost(tmp_path: Path) -> None:
    script = """
import sys
from pathlib import Path
from experiments.sweeps.run_table import RunTable
table = RunTable(Path(sys.argv[1]))
writer = table.writer()
for i in range(40):
    writer.add([{"key": f"{sys.argv[2]}-{i}", "finished": "2026", "code": "c", "status": "done", "makespan_s": i}])
    if i % 7 == 0:
        table.merge()
"""
    writers = [subprocess.Popen([sys.executable, "-c", script, str(tmp_path), name]) for name in ("a", "b", "c")]
    assert [process.wait(60) for process in writers] == [0, 0, 0]
    assert RunTable(tmp_path).merge() == 120


def test_a_table_of_another_format_is_refused_in_one_sentence(tmp_path: Path) -> None:
    table = RunTable(tmp_path)
    stranger = pa.table({"key": ["a"]})
    pq.write_table(stranger, table.parquet)
    with pytest.raises(ValueError, match=r"is a table of no version of edgesim, this is format 1 \(choose another"):
        table.rows()
    pq.write_table(stranger.replace_schema_metadata({"edgesim_run_table": "0"}), table.parquet)
    with pytest.raises(ValueError, match="is a table of format 0"):
        table.merge()


def test_the_code_hash_names_the_library_as_it_is() -> None:
    assert code_hash() == code_hash()
    assert len(code_hash()) == 16
    assert json.dumps(code_hash())


def test_a_line_that_cannot_be_read_is_named_and_the_other_rows_are_kept(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    table = RunTable(tmp_path)
    writer = table.writer()
    writer.add([row("a"), row("b"), row("c")])
    lines = writer.path.read_text().splitlines()
    writer.path.write_text("\n".join([lines[0], lines[1][:20], "[1]", lines[2]]) + "\n")
    assert set(table.rows()["key"]) == {"a", "c"}
    said = capfd.readouterr().err
    assert f"{writer.path}, line 2 cannot be read" in said
    assert f"{writer.path}, line 3 cannot be read" in said


@pytest.mark.parametrize("left", [0, 4, 400])
def test_a_parquet_file_that_was_cut_off_is_set_aside_and_named_and_newer_rows_are_kept(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], left: int
) -> None:
    table = RunTable(tmp_path)
    table.writer().add([row("a")])
    table.merge()
    whole = table.parquet.read_bytes()
    table.parquet.write_bytes(whole[:left])
    table.writer().add([row("b")])
    assert set(table.rows()["key"]) == {"b"}
    assert f"{table.parquet} cannot be read" in capfd.readouterr().err
    assert table.merge() == 1
    assert (tmp_path / "runs.broken").read_bytes() == whole[:left]


# --- many rows ---


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files of three rows, of which four are held at a time."""
    monkeypatch.setattr(row_lines, "PART_ROWS", 3)
    monkeypatch.setattr(run_table, "_GROUP_ROWS", 4)


@pytest.mark.usefixtures("small")
def test_lines_become_parquet_files_and_these_one_whatever_columns_their_rows_have(tmp_path: Path) -> None:
    table = RunTable(tmp_path)
    writer = table.writer()
    for number in range(10):
        more = {
            "gap": None if number < 4 else number,
            "option": number if number < 6 else "none",
            f"only_{number}": True,
        }
        writer.add([row(f"{number}", value=number if number % 2 else number + 0.5) | more])
    assert sorted(path.suffix for path in (tmp_path / "rows").iterdir()) == [".jsonl", *[".parquet"] * 3]
    before = table.rows()
    assert table.merge() == 10
    assert list((tmp_path / "rows").iterdir()) == []
    after = table.rows()
    pd.testing.assert_frame_equal(after[before.columns], before)
    assert list(after["makespan_s"]) == [0.5, 1, 2.5, 3, 4.5, 5, 6.5, 7, 8.5, 9]
    assert list(after["gap"].fillna(-1)) == [-1, -1, -1, -1, 4, 5, 6, 7, 8, 9]
    assert list(after["option"]) == ["0", "1", "2", "3", "4", "5", "none", "none", "none", "none"]
    assert list(after["only_3"].dropna().index) == [3]
    assert list(table.rows(["makespan_s", "unknown"]).columns) == ["makespan_s"]
    assert pq.ParquetFile(table.parquet).num_row_groups == 2  # of six rows, and of four


@pytest.mark.usefixtures("small")
def test_what_ran_again_is_one_row_wherever_its_rows_lie(tmp_path: Path) -> None:
    table = RunTable(tmp_path)
    for day in (2, 1, 3):
        table.writer().add([row(key, finished=f"2026-01-0{day}", value=day) for key in "abcdefg"])
        table.merge()
    assert list(table.rows()["key"]) == list("abcdefg")
    assert set(table.rows()["makespan_s"]) == {3}


@pytest.mark.usefixtures("small")
def test_who_dies_between_a_part_and_its_lines_loses_no_row_and_doubles_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = RunTable(tmp_path)
    with monkeypatch.context() as dying:
        dying.setattr(Path, "unlink", lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            table.writer().add([row("a"), row("b"), row("c")])
    assert {path.suffix for path in (tmp_path / "rows").iterdir()} == {".jsonl", ".parquet"}
    assert len(table.rows()) == table.merge() == 3


@pytest.mark.usefixtures("small")
def test_a_part_that_cannot_be_read_is_set_aside_and_named(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    table = RunTable(tmp_path)
    for keys in ("abc", "def"):
        table.writer().add([row(key) for key in keys])
    broken = next(
        path for path in (tmp_path / "rows").iterdir() if set(pq.read_table(path)["key"].to_pylist()) == {*"abc"}
    )
    broken.write_bytes(broken.read_bytes()[:100])
    assert table.merge() == 3
    assert f"warning: {broken} cannot be read" in capfd.readouterr().err
    assert list(table.rows()["key"]) == ["d", "e", "f"]
    assert broken.with_suffix(".broken").exists()


@pytest.mark.soak
def test_a_hundred_thousand_rows_are_merged_and_looked_up_in_little_memory(tmp_path: Path) -> None:
    script = """
import resource, sys
from pathlib import Path
from experiments.sweeps.run_table import RunTable
table = RunTable(Path(sys.argv[1]))
begin_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
assert table.merge() == 100_000
assert len(table.finished("c")) == 100_000
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - begin_kib) / 1024)
"""
    writer = RunTable(tmp_path).writer()
    texts = {f"config.key_{number}": f"{number} Mbit/s" for number in range(200)}
    for begin in range(0, 100_000, 500):
        writer.add([row(f"{key:032}", value=key) | texts for key in range(begin, begin + 500)])
    assert len(list((tmp_path / "rows").iterdir())) <= 101
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)], check=True, capture_output=True, text=True, timeout=500
    )
    assert float(done.stdout) < 250  # MiB; all columns of all rows would be some 600 in Arrow, and gigabytes in Python
