"""One page of a run, a sweep or a job: the verdict, a timeline to zoom into, tables that sort, where numbers come from.

    python -m experiments.report results/runs/default               # writes results/runs/default/report.html
    python -m experiments.report results/runs/lost_device           # of a job
    python -m experiments.report parallelisms --to parallelisms.html   # of a sweep, by its name, folder or table

The page is one file that needs nothing else: it is opened from the disk, and no request leaves it.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

from edgesim.whole_files import write_text
from experiments.commands import as_typed, command_parser
from experiments.configuration.command_line import told
from experiments.configuration.result_folders import refuse_unwritable
from experiments.report.job_page import JOB, job_page
from experiments.report.reading import read_run
from experiments.report.run_page import PAGE, page_of
from experiments.report.sweep_page import sweep_page
from experiments.tables.sources import located, source


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the page, and say where; 2 for a mistake."""
    parser = command_parser("experiments.report", __doc__)
    parser.add_argument("what", metavar="RUN|SWEEP|JOB", help="a folder, the name of a sweep or study, or a table")
    parser.add_argument("--to", metavar="FILE", type=Path, help=f"the file (default: {PAGE} in the folder)")
    parser.add_argument("--results", type=Path, default=Path("results"), help="folder of results (default: results)")
    asked = parser.parse_args(arguments)
    return told(lambda: _report(asked.what, asked.to, asked.results))


def _report(what: str, to: Path | None, results: Path) -> int:
    path = located(what, results)
    text = _page(what, path, results)
    assert path is not None, "what there is none of has no page"
    target = to or (path if path.is_dir() else path.parent) / PAGE
    refuse_unwritable(target.parent)
    write_text(target, text)
    print(f"The page is in {target}: open it in a browser ({len(text.encode()) / 1e6:.2f} MB)")
    return 0


def _page(what: str, path: Path | None, results: Path) -> str:
    if path is not None and path.is_dir() and (path / JOB).is_file():
        return job_page(path)
    if path is not None and path.is_dir() and (path / "schedule.txt").is_file():
        run = read_run(path)
        return page_of(run, f"{' and '.join(trace.player for trace in run.traces)}, from {path}")
    try:
        return sweep_page(source(what, results))
    except ValueError as error:
        if path is None or not path.is_dir():
            raise
        raise ValueError(as_typed(f"{path} is no run, no job and no sweep: {error}")) from error


if __name__ == "__main__":
    sys.exit(main())
