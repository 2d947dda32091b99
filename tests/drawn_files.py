"""Which files does the suite read, what does a right one say, and what reads it? Strategies that draw wrong ones."""

import csv
import io
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from drawn_inputs import json_texts, torn
from hypothesis import strategies as st

from edgesim import read_recording
from edgesim.errors import text_of
from edgesim.model.layer_table import from_table, model_to_dict
from edgesim.plan import Plan
from edgesim.profile import Profile
from edgesim.schedule import Schedule
from edgesim.trace import Trace
from edgesim.zoo.hugging_face import read_config
from experiments.configuration.command_line import composed
from experiments.configuration.network_file import load_network
from experiments.configuration.places import KEPT
from experiments.configuration.provenance import MADE, recorded
from experiments.configuration.setup import Prepared, prepare

CONFIGS = Path(__file__).parent / "configs"
MODEL = "model=bert_tiny_bytes"
CELLS = st.sampled_from(
    ["", "x", "nan", "inf", "-1", "0", "1e999", "true", "é", "done", "failed", "late", '"', "a,b", "{}", "[]"]
)


@dataclass(frozen=True, kw_only=True)
class KindOfFile:
    """A right text, the file's name, what reads it, and what draws a wrong one."""

    text: str
    read: Callable[[Path], object]
    wrong: Callable[[str], st.SearchStrategy[str]] = json_texts
    name: str = "given.json"


@cache
def prepared() -> Prepared:
    """A small run, which every kind of file is of."""
    return prepare(composed(MODEL))


@cache
def kinds_of_files() -> Mapping[str, KindOfFile]:
    """What is read by the library itself; of Hugging Face's configurations one of every type."""
    small = prepared()
    profile, table = json.loads(small.setup.profile.to_json()), model_to_dict(small.setup.model)
    network = {"bytes_per_s": [[1.0, 2.0], [2.0, 1.0]], "latency_s": [[0.0, 0.1], [0.1, 0.0]], "goodput": 1.0}
    network |= {"topology": "switched", "origin": "assumed", "source": "x"}
    made = {"table.csv": {"command": "x", "commit": "y", "tree": "clean", "date": "2026-01-01", "versions": {}}}
    trace = small.setup.simulate(small.schedule)
    return {
        "plan": KindOfFile(
            text=small.plan.to_json(), read=lambda path: Plan.from_json(text_of(path, "plan"), source=str(path))
        ),
        "profile": KindOfFile(text=json.dumps(profile | {"points": profile["points"][:3]}), read=Profile.load),
        "network": KindOfFile(text=json.dumps(network), read=load_network),
        "layer table": KindOfFile(
            text=json.dumps(table | {"layers": table["layers"][:2]}), read=lambda path: from_table(table=str(path))
        ),
        "schedule": KindOfFile(
            text=small.schedule.to_text(),
            read=lambda path: Schedule.from_text(text_of(path, "schedule"), source=str(path)),
            wrong=torn_texts,
            name="schedule.txt",
        ),
        "trace": KindOfFile(
            text=trace.to_lines(),
            read=lambda path: Trace.from_lines(text_of(path, "trace"), small.schedule, source=str(path)),
            wrong=lines_of_json,
            name="simulated.jsonl",
        ),
        "rates": KindOfFile(
            text="time_s,rate Mbit/s\n0,54\n0.5,24\n1,6\n",
            read=lambda path: read_recording(path=str(path)),
            wrong=csv_texts,
            name="rates.csv",
        ),
        "deliveries": KindOfFile(
            text="0\n1\n1\n5\n7\n", read=lambda path: read_recording(path=str(path)), wrong=torn_texts, name="rates.txt"
        ),
        "record of what made tables": KindOfFile(
            text=json.dumps(made), read=lambda path: recorded(path.parent), name=MADE
        ),
    } | {
        f"configuration of {path.stem}": KindOfFile(text=path.read_text(), read=read_config)
        for path in sorted(CONFIGS.glob("*.json"))
    }


def kept_lines(path: str, count: int) -> str:
    """The head of a kept table."""
    return "".join((KEPT / path).read_text().splitlines(keepends=True)[: count + 1])


@st.composite
def torn_texts(draw: st.DrawFn, text: str) -> str:
    """A text with something wrong at one place or two."""
    text = torn(draw, text)
    return torn(draw, text) if draw(st.booleans()) else text


@st.composite
def lines_of_json(draw: st.DrawFn, text: str) -> str:
    """A text of which each line is JSON, with a line that is wrong."""
    if draw(st.integers(0, 2)) == 0:
        return torn(draw, text)
    lines = text.splitlines()
    at = draw(st.integers(0, len(lines) - 1))
    lines[at] = draw(json_texts(lines[at])).replace("\n", " ")
    return "\n".join(lines) + "\n"


@st.composite
def csv_texts(draw: st.DrawFn, text: str) -> str:
    """A table without a column, with one renamed, cells of another kind, lines that are doubled, none, or torn."""
    if draw(st.integers(0, 3)) == 0:
        return torn(draw, text)
    head, *rows = csv.reader(io.StringIO(text))
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(head) - 1))
        match draw(st.sampled_from(["cell", "cell", "cell", "column", "drop", "rename", "none", "twice", "swap"])):
            case "cell" if rows:
                row = draw(st.sampled_from(rows))
                row[at : at + 1] = [draw(CELLS)]
            case "column":
                same = draw(CELLS)
                for row in rows:
                    row[at : at + 1] = [same]
            case "drop" if len(head) > 1:
                for row in [head, *rows]:
                    del row[at : at + 1]
            case "rename":
                head[at] = draw(st.sampled_from([head[at][:-1], "player", "x", "", head[0]]))
            case "none":
                rows = rows[: draw(st.integers(0, 1))]
            case "twice" if rows:
                rows = [*rows, list(rows[0])]
            case _:
                other = draw(st.integers(0, len(head) - 1))
                head[at], head[other] = head[other], head[at]
    written = io.StringIO()
    csv.writer(written, lineterminator="\n").writerows([head, *rows])
    return written.getvalue()
