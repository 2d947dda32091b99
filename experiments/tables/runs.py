"""How does a run's folder read as tables? A part each, of names and values: what it says, not where it was written."""

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from statistics import median
from typing import Any

from omegaconf import OmegaConf
from pandas import DataFrame

from edgesim.schedule import Schedule
from experiments.analysis.fidelity import kind
from experiments.execution.unfinished import UNFINISHED

VERSIONS = "versions"  # the part that tells what made the others
VALUE = "value"


def read_run(folder: Path) -> dict[str, DataFrame]:
    """What experiments.run wrote, part by part. Raises ValueError if the folder is no run, or a file is damaged."""
    return {
        "configuration": _read(folder, "config.yaml", _configuration),
        "plan": _read(folder, "plan.json", json.loads),
        "schedule": _read(folder, "schedule.txt", _schedule),
        "metrics": _read(folder, "metrics.json", _metrics),
        VERSIONS: _read(folder, "versions.json", json.loads),
    }


def _read(folder: Path, name: str, parse: Callable[[str], object]) -> DataFrame:
    path = folder / name
    if not path.is_file():
        tables = ", ".join(str(entry) for entry in sorted(folder.glob("*")) if entry.suffix in (".parquet", ".csv"))
        way_out = f"a table in it: {tables}" if tables else "python -m experiments.run writes runs"
        if unfinished := sorted(folder.glob(f"{UNFINISHED}*")):
            way_out = f"it did not end; its iterations are in {unfinished[-1]}"
        raise ValueError(f"{folder} is no run: it has no {name} ({way_out})")
    try:
        values = dict(_flat(parse(path.read_text())))
    except Exception as error:  # every parser has errors of its own
        raise ValueError(f"{path} cannot be read ({type(error).__name__}: {error}); make the run again") from error
    return DataFrame({"name": list(values), VALUE: list(values.values())}, dtype=object)


def _flat(node: object, prefix: str = "") -> Iterator[tuple[str, object]]:
    """``stages[0].samples[1]`` and its value, for every leaf."""
    if isinstance(node, Mapping):
        for key, value in node.items():
            yield from _flat(value, f"{prefix}.{key}" if prefix else str(key))
    elif isinstance(node, list):
        for place, value in enumerate(node):
            yield from _flat(value, f"{prefix}[{place}]")
    else:
        yield prefix, node


def _configuration(text: str) -> Mapping[str, Any]:
    plain = OmegaConf.to_container(OmegaConf.create(text))
    assert isinstance(plain, dict), "a configuration is a mapping"
    return {str(key): value for key, value in plain.items() if key != "results"}


def _schedule(text: str) -> Mapping[str, object]:
    """How many tasks of each kind a rank has; the hash says whether their order and needs are the same as well."""
    schedule = Schedule.from_text(text)
    return {"hash": schedule.hash} | Counter(f"rank {task.rank} {kind(task)}" for task in schedule)


def _metrics(text: str) -> Mapping[str, object]:
    """By player; of several iterations their number and the median."""
    figures = json.loads(text)
    values: dict[str, object] = {"losses": figures["losses"]}
    for player in dict.fromkeys(entry["player"] for entry in figures["iterations"]):
        mine = [dict(_flat(entry)) for entry in figures["iterations"] if entry["player"] == player]
        values[player] = {"iterations": len(mine)} | {
            name: _middle([entry[name] for entry in mine]) for name in mine[0]
        }
    return values


def _middle(values: list[Any]) -> object:
    """The median of numbers; a text is the same in every iteration."""
    return median(values) if isinstance(values[0], int | float) else values[0]
