"""How fast a disk is, is measured by reading and writing it; the simulator uses what was measured."""

from dataclasses import replace
from pathlib import Path

import pytest
from builders import constant_profile, data_plan, device, homogeneous, workload

from edgesim.cluster import DiskRates, with_disks
from edgesim.finetuning import cached, parallel_adapters
from edgesim.schedule import Op
from edgesim.simulator import simulate
from edgesim.strategies.activation_cache import CacheTasks, CacheUse
from edgesim.strategies.hybrid_pipeline import hybrid_pipeline
from edgesim.zoo.bert import bert
from experiments.configuration.command_line import composed
from experiments.configuration.network_file import load_disks, save_disks
from experiments.configuration.setup import read_setup
from real_runtime.activation_cache.disk_speed import time_disk
from real_runtime.pacing import Disk

MODEL = parallel_adapters(bert(name="b", layers=1, hidden=16, heads=8, columns=64, vocabulary=50, positions=4))


def disk_of(name: str, read: float = 3e6, write: float = 1e6) -> DiskRates:
    return DiskRates(device=name, read_bytes_per_s=read, write_bytes_per_s=write, source="measured")


def test_a_file_is_written_and_read_whole_and_is_gone(tmp_path: Path) -> None:
    timed = time_disk(tmp_path, 3_000_001, Disk())
    assert timed.nbytes == 3_000_001
    assert min(timed.write_s, timed.read_s) > 0
    assert not list(tmp_path.iterdir())


def test_an_emulated_disk_is_no_faster_than_its_devices(tmp_path: Path) -> None:
    """But by what the work before it overshot, of which up to 3 ms are made up for."""
    timed = time_disk(tmp_path, 200_000, Disk(read_bytes_per_s=4e6, write_bytes_per_s=2e6))
    assert timed.write_s >= 0.1 - 0.003
    assert timed.read_s >= 0.05 - 0.003


def test_writing_and_reading_take_what_each_was_measured_to_take() -> None:
    cluster = with_disks(homogeneous(1), [disk_of("board")])
    for use, model, op, rate in (
        (CacheUse.WRITE, MODEL, Op.CACHE_WRITE, 1e6),
        (CacheUse.READ, cached(MODEL), Op.CACHE_READ, 3e6),
    ):
        plan = data_plan(model, [1])
        schedule = hybrid_pipeline(plan, model, workload(tokens=4), cache=CacheTasks(use=use))
        trace = simulate(schedule, cluster=cluster, model=model, profile=constant_profile(model, cluster), tokens=1)
        (span,) = (span for span in trace if span.task.op is op)
        assert span.end_s - span.start_s == pytest.approx(span.task.nbytes / rate)


def test_a_disk_that_was_not_measured_writes_as_fast_as_it_reads() -> None:
    board = device(disk_bytes_per_s=5e6)
    assert board.writes_bytes_per_s == 5e6
    assert replace(board, disk_write_bytes_per_s=1e6).writes_bytes_per_s == 1e6
    with pytest.raises(ValueError, match="disk_write_bytes_per_s must be positive, got 0"):
        replace(board, disk_write_bytes_per_s=0)


def test_a_run_uses_the_disks_that_were_measured(tmp_path: Path) -> None:
    cluster = read_setup(composed("cluster=demo")).cluster
    path = tmp_path / "a.disks.json"
    save_disks(path, [disk_of(each.name) for each in cluster.devices])
    measured = read_setup(composed("cluster=demo", f"disks={path}")).cluster
    assert [each.writes_bytes_per_s for each in measured.devices] == [1e6] * 3
    assert [each.disk_source for each in measured.devices] == ["measured"] * 3
    assert load_disks(path)[0] == disk_of(cluster.devices[0].name)


def test_disks_of_other_devices_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.disks.json"
    save_disks(path, [disk_of("nano")])
    with pytest.raises(ValueError, match="disks of nano were measured, cluster demo has demo-fast, demo-medium"):
        read_setup(composed("cluster=demo", f"disks={path}"))
    path.write_text("[]")
    with pytest.raises(ValueError, match=r"a\.disks\.json"):
        load_disks(path)
