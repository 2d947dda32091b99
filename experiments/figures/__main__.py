"""Redraw figures from the tables in the results folder, as PDF and PNG beside them; nothing is run.

    python -m experiments.figures                  # all (or: make figures)
    python -m experiments.figures parallelisms     # of one study, of validation, or of a kept run
    python -m experiments.figures my_study --config-dir my_conf --figures my_figures

A study's file in conf/experiment names its figures. A figure is a file with ``draw(rows, ax)``.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from experiments.configuration.command_line import USERS, sentence
from experiments.configuration.places import CONF
from experiments.configuration.studies import studies, table_path
from experiments.configuration.suggestions import suggestion
from experiments.figures.catalogue import HERE, Folders, Request, requests
from experiments.figures.style import save


def main(words: Sequence[str] | None = None) -> int:
    """Draw and name what was drawn; 2 for a mistake."""
    parser = argparse.ArgumentParser(
        prog="python -m experiments.figures", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="studies, kept runs, or validation (default: all)")
    parser.add_argument("--results", type=Path, default=Path("results"), help="folder of the tables (default: results)")
    parser.add_argument("--config-dir", type=Path, action="append", default=[], help="further configuration files")
    parser.add_argument("--figures", type=Path, action="append", default=[], help="folder of further figures")
    asked = parser.parse_args(words)
    folders = Folders(results=asked.results, conf=(*asked.config_dir, CONF), figures=(*asked.figures, HERE))
    try:
        for request in wanted(folders, asked.names):
            print(save(request.make(), request.stem))
    except USERS as error:
        print(f"error: {sentence(error)}", file=sys.stderr)
        return 2
    return 0


def wanted(folders: Folders, names: Sequence[str]) -> list[Request]:
    """The figures of these names, or all. Raises ValueError if there is nothing to draw them from."""
    if not folders.results.is_dir():
        raise ValueError(f"no such results folder: {folders.results}")
    found = list(requests(folders))
    known, planned = {request.of for request in found}, {study.name: study for study in studies(folders.conf)}
    for name in names:
        if name in known:
            continue
        if name not in planned:
            raise ValueError(f"no results of {name!r} in {folders.results}{suggestion(name, known | planned.keys())}")
        if not planned[name].figures:
            raise ValueError(f"the study {name!r} names no figures of its own (study.figures)")
        raise ValueError(
            f"no table {table_path(folders.results, name)} (run python -m experiments.run -m "
            f"experiment={planned[name].experiment}, then python -m experiments.collect {name})"
        )
    if not found:
        raise ValueError(f"{folders.results} holds no table to draw (run a study, then collect it)")
    return [request for request in found if not names or request.of in names]


if __name__ == "__main__":
    sys.exit(main())
