"""Does a page say what its run, sweep or job came to, and does it hold all that it needs?"""

import json
import re
import sys
from base64 import b64decode
from pathlib import Path

import numpy as np
import pytest
from fake_testbed import open_fake

import edgesim as es
from edgesim.explanation import critical_path
from experiments import run as run_module
from experiments.configuration.command_line import run_command
from experiments.execution import assignments
from experiments.report.__main__ import main
from experiments.report.page import Cell, page, table
from experiments.report.run_page import PAGE
from experiments.report.tracks import timeline_data

TINY = {"model": "bert_tiny_bytes", "strategy": "pipeline"}
MOST_BYTES = 10**6


@pytest.fixture(scope="module")
def run() -> es.Result:
    """A small pipeline, simulated."""
    return es.simulate(**TINY, rate="20 Mbit/s")


def written(*arguments: object) -> str:
    """The page that the command writes."""
    assert main([str(argument) for argument in arguments]) == 0
    return (Path(str(arguments[0])) / PAGE).read_text()


def asks_for_nothing(text: str) -> bool:
    """Whether a page names no other file and no address, but those of SVG's and XML's names."""
    links = re.findall(r"""(?:src|href)=["']?([^"'\s>]+)""", text)
    return all(link.startswith(("data:", "#s")) for link in links) and "default-src 'none'" in text


def test_a_runs_page_begins_with_the_verdict_and_needs_nothing_else(run: es.Result, tmp_path: Path) -> None:
    text = written(run.save(tmp_path / "run"))
    assert asks_for_nothing(text)
    assert len(text.encode()) < MOST_BYTES
    body = text[text.index("<body>") :]
    assert "run takes 334 ms (simulated)" in body
    assert body.index("class=verdict") < body.index("<h2>")
    heads = re.findall("<h2>(.*?)</h2>", text)
    assert heads[:4] == ["Figures", "Timeline", "Plan", "Where the seconds are"]
    assert heads[-2:] == ["Where numbers come from", "To make it again"]
    assert "edgesim run model=bert_tiny_bytes strategy=pipeline" in text
    assert str(run.plan) in text


def test_joules_by_rail_are_shown_of_boards_whose_rails_are_known(tmp_path: Path) -> None:
    known = written(es.simulate(**TINY, cluster="nanos", rate="100 Mbit/s").save(tmp_path / "known"))
    assert "files say; they are computed, no rail was read." in known
    assert "DRAM" in known


def test_joules_by_rail_are_not_shown_of_others(run: es.Result, tmp_path: Path) -> None:
    assert "Joules by rail" not in written(run.save(tmp_path / "run"))


def test_every_number_of_a_simulation_says_what_it_is(run: es.Result, tmp_path: Path) -> None:
    text = written(run.save(tmp_path / "run"))
    rows = re.findall("<tr>(.*?)</tr>", text[text.index("Where numbers come from</h2>") :])
    told = {cells[0]: cells[2] for row in rows if len(cells := re.findall("<td[^>]*>(.*?)</td>", row)) == 4}
    assert told["simulated: seconds, rates, bubble"] == "predicted"
    assert told["line rates"] == "assumed"
    assert told["seconds of blocks"] == "estimated"
    assert {f"{device.name}: speed" for device in run.cluster.devices} <= set(told)


def test_an_executed_run_shows_both_players_and_why_they_differ(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(assignments, "open_testbed", open_fake)
    executed = es.execute(**TINY, rate="100 Mbit/s", iterations=3)
    text = written(executed.save(tmp_path / "run"))
    assert text.count("class=verdict>") == 2
    assert "<h2>Simulated and measured</h2>" in text
    data = json.loads(re.search(r'<script type="application/json" id="run">(.*?)</script>', text)[1])  # type: ignore[index]
    assert [player["name"] for player in data["players"]] == ["simulated", "measured"]


def test_a_timeline_holds_every_task_in_order_and_the_critical_path(run: es.Result) -> None:
    names = [device.name for device in run.cluster.devices]
    data = timeline_data([run.trace], names, run.setup)
    tasks = [lane for lane in data["players"][0]["lanes"] if lane["type"] == "tasks"]
    counts = [len(b64decode(lane["starts"])) // 4 for lane in tasks]
    receives = sum(task.op == "RECV" for task in run.schedule)
    assert sum(counts) == len(run.schedule) - receives
    for lane in tasks:
        starts = np.frombuffer(b64decode(lane["starts"]), "<f4")
        assert np.all(np.diff(starts) >= 0)
        assert len(b64decode(lane["kinds"])) // 2 == len(starts)
    on_path = sum(int(np.frombuffer(b64decode(lane["path"]), "<u1").sum()) for lane in tasks)
    assert on_path == len({step.task for step in critical_path(run.trace)})
    assert {lane["what"] for lane in data["players"][0]["lanes"]} >= {"compute", "link", "memory", "power"}


def test_a_run_without_its_configuration_has_a_page_of_its_traces(run: es.Result, tmp_path: Path) -> None:
    folder = run.save(tmp_path / "run")
    (folder / "config.yaml").unlink()
    text = written(folder)
    assert "Seconds alone are known of this run" in text
    assert "<h2>Timeline</h2>" in text
    assert "<h2>Plan</h2>" not in text


def test_a_sweeps_page_ranks_its_runs_and_draws_them(tmp_path: Path) -> None:
    sweep = es.sweep(results=tmp_path, name="rates", workers=1, **TINY, rate=["20 Mbit/s", "100 Mbit/s"])
    text = written(sweep.path.parent)
    assert asks_for_nothing(text)
    assert "The first of the best 2 of 2, by simulated time per iteration" in text
    assert text.count("<img ") == 1
    assert "<h2>All runs</h2>" in text


def test_a_jobs_page_adds_up_its_seconds_and_tells_of_recoveries(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    words = ("+job=asteroid", "scenario=lost_device", "strategy=hybrid_pipeline", "job.iterations=30")
    lost = "scenario.events.loss.when.at_s=1 s"
    monkeypatch.setattr(sys, "argv", ["run", f"results={tmp_path}", "model=bert_tiny_bytes", lost, *words])
    run_command(run_module.run, about="about")
    (folder,) = (tmp_path / "runs").iterdir()
    text = written(folder)
    assert asks_for_nothing(text)
    job = json.loads((folder / "job.json").read_text())["jobs"][0]
    first = text[text.index("Where the seconds are</h2>") : text.index("Timeline</h2>")]
    rows = re.findall('<tr><td>simulated</td><td>(.*?)</td><td class=number data-value="(.*?)">', first)
    seconds = {name: float(value) for name, value in rows}
    assert sum(seconds.values()) == pytest.approx(job["end_s"])
    assert "lost: rank" in text


def test_what_is_no_run_no_sweep_and_no_job_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path)]) == 2
    assert "is no run, no job and no sweep" in capsys.readouterr().err
    assert main(["no_such_sweep", "--results", str(tmp_path)]) == 2
    assert "no sweep, folder or table 'no_such_sweep'" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_texts_on_a_page_are_texts(tmp_path: Path) -> None:
    nasty = "<script>alert(1)</script>"
    text = page(nasty, nasty, [nasty], []) + table([nasty], [[nasty], [Cell(text=nasty, value=1.0)]])
    assert nasty not in text
