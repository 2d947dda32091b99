"""Is the study of drawn plans played over SSH, on hosts of a lab that it raises and ends itself?"""

import json
import os
import sys
from pathlib import Path

import pytest
import ssh_lab
from hydra.core.global_hydra import GlobalHydra

from experiments.analysis.tidy import read_table
from experiments.configuration.command_line import run_command
from experiments.fidelity_study import __main__ as study

PROBLEM = ssh_lab.problem()
pytestmark = [
    pytest.mark.soak,
    pytest.mark.netns,
    pytest.mark.timeout(600),
    pytest.mark.xdist_group("ssh"),
    pytest.mark.skipif(PROBLEM is not None, reason=str(PROBLEM)),
]
CASE = (
    "{name: tiny, weight: 1, layers: true, blocks: true, words: ['model=bert_tiny_bytes'], batches: [[8, 4]], "
    "tokens: [16]}"
)
TINY = (
    "experiment=fidelity_ssh",
    "fidelity_study.clusters.test=1",
    "fidelity_study.settings=1",
    "fidelity_study.plans=4",
    "fidelity_study.runs=1",
    "fidelity_study.hosts=[2]",
    f"fidelity_study.cases=[{CASE}]",
)


def played(results: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    GlobalHydra.instance().clear()
    monkeypatch.setattr(sys, "argv", ["command", *TINY, f"results={results}"])
    run_command(study.fidelity_study, about="about", experiment="fidelity_study")


def sshds() -> set[str]:
    """The processes of this machine that listen for SSH, by their commands."""
    found = set()
    for pid in filter(str.isdecimal, os.listdir("/proc")):
        try:
            what = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
        except OSError:
            continue
        if "/mnt/h" in what and "sshd" in what:
            found.add(f"{pid} {what}")
    return found


def test_drawn_plans_are_played_over_ssh_and_not_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = sshds()
    played(tmp_path, monkeypatch)
    table = read_table(tmp_path / "testbed" / "table.csv")
    assert len(table) == 4
    assert table["reason"].isna().all()
    assert table["error"].abs().max() < 1.0  # the plans are of milliseconds: how near is for the study to say
    (entry,) = (tmp_path / "runs" / "fidelity_ssh").glob("*.json")
    assert json.loads(entry.read_text())["testbed"] == "ssh"
    command = json.loads((tmp_path / "testbed" / "made.json").read_text())["table.csv"]["command"]
    assert command.startswith("python -m experiments.fidelity_study experiment=fidelity_ssh ")
    assert sshds() <= before, "the lab has ended with the study"
    written = entry.stat().st_mtime_ns
    played(tmp_path, monkeypatch)
    assert entry.stat().st_mtime_ns == written
