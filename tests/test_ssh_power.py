"""Do the commands read the meters of hosts over SSH: a check, a run with its joules, a calibration of watts?"""

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import ssh_lab
from hydra.core.global_hydra import GlobalHydra
from meter_trees import ORIN_NANO
from omegaconf import OmegaConf
from ssh_lab import PYTHON, Lab, lab

from experiments.calibrate import calibrate_command
from experiments.configuration.command_line import run_command
from experiments.metering.kept import kept_run
from experiments.run import run
from experiments.testbed.__main__ import check

PROBLEM = ssh_lab.problem()
pytestmark = [
    pytest.mark.soak,
    pytest.mark.netns,
    pytest.mark.timeout(600),
    pytest.mark.xdist_group("ssh"),
    pytest.mark.skipif(PROBLEM is not None, reason=str(PROBLEM)),
]
RAIL = {"_target_": "real_runtime.meters.jetson_rails.JetsonRails", "root": "/media/orin"}
CPU_TIME = {
    "_target_": "real_runtime.meters.cpu_time.CpuTime",
    "core_w": 4.0,
    "idle_w": 2.0,
    "watts_source": "a guess",
    "period_s": 0.05,
}
MODEL = ["model=bert_tiny_bytes", "workload.batch_samples=8", "workload.micro_batch_samples=4", "workload.tokens=32"]


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with lab(tmp_path_factory.mktemp("lab"), 3, ahead_s=(0.05, -0.05, 12.0)) as made:
        for rank in range(3):
            ORIN_NANO.write(made.root(rank) / "media/orin")
        yield made


@pytest.fixture
def ending(three: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """Ends a command with some words, on the lab with these meters."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", sys.argv)
    monkeypatch.setenv("COLUMNS", "240")

    def ended(command: Callable[..., None], meters: list[object], *words: str) -> int:
        hosts = {
            f"h{rank}": {
                "_target_": "real_runtime.ssh.inventory.Host",
                "address": f"h{rank}",
                "python": PYTHON,
                "interface": "eth0",
                "meter": meter,
            }
            for rank, meter in enumerate(meters)
        }
        (folder := tmp_path / "conf/testbed").mkdir(parents=True, exist_ok=True)
        inventory = {
            "defaults": ["ssh", "_self_"],
            "reaching": {"ssh_config": str(three.folder / "config")},
            "hosts": hosts,
        }
        OmegaConf.save(OmegaConf.create(inventory), folder / "lab.yaml")
        GlobalHydra.instance().clear()
        sys.argv = ["edgesim", "testbed=lab", *words, "--config-dir", str(tmp_path / "conf")]
        try:
            run_command(command, about=None)
        except SystemExit as left:
            return int(left.code or 0)
        return 0

    return ended


def test_a_check_reads_each_meter_and_an_unknown_one_is_refused(
    ending: Callable[..., int], capfd: pytest.CaptureFixture[str]
) -> None:
    assert ending(check, [RAIL, "rapl", None]) == 0
    said = " ".join(capfd.readouterr().out.split())
    assert "h1: its meter rapl cannot be read: " in said
    assert "covers the module" in said
    assert ending(check, [RAIL, "ina219", None]) == 2
    assert "host h1: unknown meter 'ina219' (known: cpu_time, jetson_rails" in capfd.readouterr().err


def test_a_run_has_measured_joules_of_every_board(
    ending: Callable[..., int], capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert ending(run, [RAIL] * 3, *MODEL, "execute=true", "iterations=20") == 0
    said = capfd.readouterr().out
    assert "measured energy of 160 samples" in said
    (folder,) = (tmp_path / "results/runs").iterdir()
    assert sorted(path.name for path in folder.glob("power_*.csv")) == ["power_0.csv", "power_1.csv", "power_2.csv"]
    found = json.loads((folder / "metrics.json").read_text())["metered"]
    assert (found["evidence"], found["covers"]) == ("measured", "module")
    assert found["meters"][2]["source"].endswith("on host h2")
    seconds = [each["whole"]["seconds"] for each in found["meters"]]
    assert found["energy_j"] == pytest.approx(ORIN_NANO.total_w * sum(seconds), rel=0.05)
    assert kept_run(folder).energy_j == found["energy_j"]


def test_watts_are_fitted_to_each_host_s_own_meter(
    ending: Callable[..., int], capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    words = ["power=true", "calibration.samples=[4]", "calibration.repeats=2", "calibration.segment_s=1"]
    assert ending(calibrate_command, [CPU_TIME] * 3, *MODEL, *words) == 0
    assert "demo-fast (rank 0)" in capfd.readouterr().out
    made = OmegaConf.load(tmp_path / "results/fitted/device/demo_fast_metered.yaml")
    assert 2.0 <= float(made.power.idle_w) < 3.0  # ranks that wait look around now and then
    assert 2.5 < float(made.power.compute_w) < 7.0  # a core of four watts, and what PyTorch's own threads take
    assert "on host h0 (estimated; covers the process)" in str(made.power.source)
