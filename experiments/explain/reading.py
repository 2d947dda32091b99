"""What did a user name to be explained? A run's folder, or a trace in it; with what was simulated, if that is known."""

import json
from collections.abc import Sequence
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from edgesim.errors import reading, text_of
from edgesim.plan import Plan
from edgesim.profile import Profile
from edgesim.schedule import Schedule
from edgesim.trace import Trace
from experiments.configuration.command_line import USERS, sentence
from experiments.configuration.setup import read_setup, read_strategy
from experiments.configuration.suggestions import suggestion
from experiments.execution.folders import REHEARSED
from experiments.execution.iteration_lines import TRACES
from experiments.explain.worlds import Side, World, typical, world_of

SIMULATED, MEASURED = "simulated", "measured"
_FILES = {f"{player}.jsonl": player for player in (SIMULATED, MEASURED)}


def read_side(path: Path, *, player: str = "") -> Side:
    """A run's folder, or a file of it called simulated.jsonl or measured.jsonl.

    Of a folder the measured iteration of median length, or where none was measured or ``player`` says so the simulated
    one. Raises ValueError for what is neither.
    """
    (side,) = read_sides(path, [player])
    return side


def read_sides(path: Path, players: Sequence[str]) -> list[Side]:
    """One for each of these players, of a run whose schedule and world are read once. Raises as :func:`read_side`."""
    if not path.exists():
        near = [str(entry) for entry in path.parent.glob("*")]
        raise ValueError(f"no such run or trace: {path}{suggestion(str(path), near)}")
    if path.is_file() and path.name not in _FILES:
        raise ValueError(f"{path} is no trace of a run: expected its folder, or {' or '.join(_FILES)} in it")
    folder = path if path.is_dir() else path.parent
    if not (folder / "schedule.txt").is_file():
        raise ValueError(f"{folder} is no run: it has no schedule.txt (python -m experiments.run writes runs)")
    name = folder.name if path.is_dir() else f"{folder.name}, {_FILES[path.name]}"
    schedule = Schedule.from_text(text_of(folder / "schedule.txt", "schedule"), source=str(folder / "schedule.txt"))
    traces = [
        _of_file(path, schedule) if path.is_file() else _of_folder(folder, schedule, player) for player in players
    ]
    try:
        world, unknown = _world(folder), ""
    except USERS as error:
        world, unknown = None, f"{folder}: {sentence(error)}"
    return [Side(name=name, trace=trace, world=world, unknown=unknown) for trace in traces]


def players_of(path: Path) -> set[str]:
    """Who played a run: simulated, measured. Of a file, who wrote it."""
    return (
        {_FILES[path.name]}
        if path.is_file() and path.name in _FILES
        else {player for file, player in _FILES.items() if (path / file).is_file()}
    )


def _of_file(path: Path, schedule: Schedule) -> Trace:
    return Trace.from_lines(text_of(path, "trace"), schedule, source=str(path))


def _of_folder(folder: Path, schedule: Schedule, player: str) -> Trace:
    measured = folder / TRACES
    if player != SIMULATED and measured.is_file():
        return typical(_all_measured(measured, schedule))
    wanted = [player] if player else [MEASURED, SIMULATED]
    files = [folder / f"{each}.jsonl" for each in wanted if (folder / f"{each}.jsonl").is_file()]
    if not files:
        raise ValueError(f"{folder} has no {' or '.join(f'{each}.jsonl' for each in wanted)} (make the run again)")
    return _of_file(files[0], schedule)


def _all_measured(path: Path, schedule: Schedule) -> list[Trace]:
    with reading(str(path), "traces", written_by="a run (traces.jsonl)"):
        rows = [json.loads(line) for line in path.read_text().splitlines()]
        return [
            Trace(schedule=schedule, start_s=tuple(row["start_s"]), end_s=tuple(row["end_s"]), player=MEASURED)
            for row in rows
        ]


def _world(folder: Path) -> World:
    """What was simulated, read again. Raises an error of a user for files that are not there, or damaged."""
    path = folder / "config.yaml"
    cfg = OmegaConf.create(text_of(path, "configuration"))
    if not isinstance(cfg, DictConfig):
        raise ValueError(f"{path} holds no mapping (make the run again)")
    plan = Plan.from_json(text_of(folder / "plan.json", "plan"), source=str(folder / "plan.json"))
    setup = read_setup(cfg).as_planned(plan)
    if (folder / REHEARSED).is_file():
        setup = setup.calibrated(Profile.load(folder / REHEARSED), setup.cluster.network)
    return world_of(cfg, setup, plan, read_strategy(cfg))
