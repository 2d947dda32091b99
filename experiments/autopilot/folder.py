"""How is an autopilot's work kept? A folder with a run for every round, what each was planned with, and the report."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from edgesim.whole_files import whole_folder
from experiments.autopilot.deviations import Deviation
from experiments.autopilot.report import report_markdown, report_page, shown_runs
from experiments.autopilot.rounds import Outcome, Round
from experiments.configuration.network_file import save_disks
from experiments.configuration.result_folders import json_text
from experiments.execution.folders import save_run
from experiments.report.run_page import PAGE

PROFILE, NETWORK, DISKS = "profile.json", "network.json", "disks.json"
_CALIBRATION = ("profile", "network.calibrated", "disks", "execute", "autopilot", "results")  # what a round sets itself


def save_rounds(rounds: Sequence[Round], target: Path, words: Sequence[str]) -> None:
    """Write the rounds so far, in the place of what was there; the report follows when there are no more."""
    with whole_folder(target) as folder:
        _write(rounds, folder, target, words)


def save_outcome(outcome: Outcome, target: Path, words: Sequence[str], command: str) -> None:
    """Write all, in the place of what was there; ``words`` are the command line's overrides."""
    with whole_folder(target) as folder:
        _write(outcome.rounds, folder, target, words)
        (folder / "report.md").write_text(report_markdown(outcome))
        (folder / PAGE).write_text(report_page(outcome, shown_runs(outcome.rounds), command))


def folder_of(target: Path, number: int) -> Path:
    """Where a round lies; the first is 1."""
    return target / f"round_{number}"


def calibration_words(target: Path, number: int, rounds: Sequence[Round]) -> list[str]:
    """The overrides with which a run uses what a round was planned with."""
    place = folder_of(target, number)
    files = {"profile.path": PROFILE, "network.calibrated": NETWORK}
    if rounds[number - 1].known.disks:
        files["disks"] = DISKS
    # In quotes of the overrides' grammar: the folder is called after overrides, with their equals signs.
    return ["profile=measured", *(f"{key}='{place / name}'" for key, name in files.items())]


def _write(rounds: Sequence[Round], folder: Path, target: Path, words: Sequence[str]) -> None:
    (folder / "rounds.json").write_text(json_text([_told(each) for each in rounds]))
    own = [word for word in words if not _is_set_here(word)]
    for number, each in enumerate(rounds, start=1):
        again = [*own, *calibration_words(target, number, rounds), "execute=true"]
        config = _config(each, folder_of(target, number))
        save_run(replace(each.run, config=config, words=tuple(again)), place := folder_of(folder, number))
        each.known.setup.profile.save(place / PROFILE)
        if each.known.disks:
            save_disks(place / DISKS, each.known.disks)


def _is_set_here(word: str) -> bool:
    key = word.lstrip("+~").partition("=")[0].partition("@")[0]
    return any(key == each or key.startswith(f"{each}.") for each in _CALIBRATION)


def _config(each: Round, place: Path) -> Mapping[str, Any]:
    """The configuration of a run that is planned with what this round was."""
    config = dict(each.run.config)
    measured = "experiments.configuration.constructors.measured"
    config["profile"] = {"_target_": measured, "_partial_": True, "path": str(place / PROFILE)}
    config["network"] = {**config["network"], "calibrated": str(place / NETWORK)}
    if each.known.disks:
        config["disks"] = str(place / DISKS)
    return config | {"execute": True}


def _told(each: Round) -> dict[str, Any]:
    return {
        "measured_before": each.measured,
        "plan": str(each.run.plan),
        "profile": each.known.setup.profile.hash,
        "simulated_s": each.simulated_s,
        "measured_s": each.measured_s,
        "measured_again": str(each.again),
        "tasks": [_of_task(found) for found in each.deviations],
    }


def _of_task(found: Deviation) -> dict[str, Any]:
    return {
        "kind": found.kind,
        "ranks": list(found.place),
        "tasks": found.tasks,
        "simulated_s": found.simulated_s,
        "measured_s": found.measured_s,
        "part": found.part,
        "tolerance": found.tolerance,
        "is_off": found.is_off,
    }
