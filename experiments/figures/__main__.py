"""Redraw figures from the tables in the results folder, as PDF and PNG beside them; nothing is run.

    python -m experiments.figures                  # all (or: make figures)
    python -m experiments.figures parallelisms     # of one study, of validation, or of a kept run
    python -m experiments.figures my_study --config-dir my_conf --figures my_figures

or draw any sweep, by its name, its folder or its table's file, into the folder where you are:

    python -m experiments.figures my_sweep                                   # a figure that suits what varied
    python -m experiments.figures results/sweeps/my_sweep --draw throughput --draw time_energy --out plots
    python -m experiments.figures my_sweep --only batch_samples=16           # of a sweep that makes too many panels

A study's file in conf/experiment names its figures. A figure is a file with ``draw(rows, ax)``. Of runs that differ in
their seeds alone figures show the mean and its 95 % t interval.
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from experiments.commands import command_parser
from experiments.configuration.command_line import told
from experiments.configuration.places import CONF
from experiments.configuration.result_folders import refuse_unwritable
from experiments.configuration.studies import studies, table_path
from experiments.configuration.suggestions import suggestion
from experiments.figures.any_table import requests_of
from experiments.figures.catalogue import HERE, Folders, Request, requests
from experiments.figures.style import save
from experiments.tables.sources import located, narrowed, source


def main(words: Sequence[str] | None = None) -> int:
    """Draw and name what was drawn; 2 for a mistake."""
    parser = command_parser("experiments.figures", __doc__)
    parser.add_argument(
        "names",
        nargs="*",
        metavar="NAME",
        help="studies, kept runs, validation; sweeps, folders, files (default: all that is kept)",
    )
    parser.add_argument("--results", type=Path, default=Path("results"), help="folder of the tables (default: results)")
    parser.add_argument("--config-dir", type=Path, action="append", default=[], help="further configuration files")
    parser.add_argument("--figures", type=Path, action="append", default=[], help="folder of further figures")
    parser.add_argument(
        "--draw", action="append", default=[], metavar="FIGURE", help="a figure by its name, again for more"
    )
    parser.add_argument("--out", type=Path, help="folder for figures of tables (default: where you are)")
    parser.add_argument(
        "--only",
        action="append",
        default=[],
        metavar="COLUMN=VALUE",
        help="of a table the rows with this value, again for more",
    )
    asked = parser.parse_args(words)
    folders = Folders(results=asked.results, conf=(*asked.config_dir, CONF), figures=(*asked.figures, HERE))
    return told(lambda: _draw(folders, asked))


def _draw(folders: Folders, asked: argparse.Namespace) -> int:
    drawn = wanted(folders, asked.names, draw=asked.draw, out=asked.out, only=_only(asked.only))
    for place in {request.stem.parent for request in drawn}:
        refuse_unwritable(place)
    for request in drawn:
        print(save(request.make(), request.stem))
    return 0


def wanted(
    folders: Folders,
    names: Sequence[str],
    *,
    draw: Sequence[str] = (),
    out: Path | None = None,
    only: Mapping[str, str] | None = None,
) -> list[Request]:
    """The figures of these names, or all that are kept; what no study draws is drawn from its table, into ``out``.

    Raises ValueError if there is nothing to draw them from.
    """
    kept = list(requests(folders)) if folders.results.is_dir() else []
    if not names:
        if not folders.results.is_dir():
            raise ValueError(f"no such results folder: {folders.results}")
        if draw or out or only:
            raise ValueError("--draw, --only and --out need a table to draw (name a sweep, a folder or a file)")
        if not kept:
            raise ValueError(f"{folders.results} holds no table to draw ({_way_out(folders)})")
        return kept
    drawn: list[Request] = []
    for name in names:
        mine = [request for request in kept if request.of == name]
        if mine and not (draw or out or only):
            drawn += mine
        elif located(name, folders.results) is not None:
            runs = narrowed(source(name, folders.results), only or {})
            drawn += requests_of(runs, draw or _of_study(name, folders), folders, out or Path())
        else:
            raise ValueError(_unknown(name, {request.of for request in kept}, folders))
    return drawn


def _only(words: Sequence[str]) -> dict[str, str]:
    """Columns and values. Raises ValueError for a word that names none."""
    for word in words:
        if "=" not in word:
            raise ValueError(f"--only {word!r} is no COLUMN=VALUE (say --only batch_samples=8)")
    return {column: value for column, _, value in (word.partition("=") for word in words)}


def _of_study(name: str, folders: Folders) -> tuple[str, ...]:
    """The figures that a study names for its sweep; none of another sweep's."""
    return next((study.figures for study in studies(folders.conf) if study.name == Path(name).name), ())


def _way_out(folders: Folders) -> str:
    """What can be drawn instead of kept tables."""
    sweeps = sorted(path.parent.name for path in (folders.results / "sweeps").glob("*/runs.parquet"))
    return f"name a sweep: {', '.join(sweeps)}" if sweeps else "run a study, then collect it"


def _unknown(name: str, known: set[str], folders: Folders) -> str:
    """Why nothing of this name can be drawn, and the way out."""
    planned = {study.name: study for study in studies(folders.conf)}
    if name not in planned:
        sweeps = {path.name for path in (folders.results / "sweeps").glob("*")}
        return f"no results of {name!r} in {folders.results}{suggestion(name, known | planned.keys() | sweeps)}"
    return (
        f"no table {table_path(folders.results, name)} (run python -m experiments.run -m "
        f"experiment={planned[name].experiment}, then python -m experiments.collect {name})"
    )


if __name__ == "__main__":
    sys.exit(main())
