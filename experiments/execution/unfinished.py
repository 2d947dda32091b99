"""What is on the disk of a real run that has not ended? Its iterations, as they come, apart from what is whole."""

import os
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from edgesim.whole_files import append_lines, whole_folder
from experiments.configuration.setup import Prepared
from experiments.execution.folders import write_asked
from experiments.execution.iteration_lines import ITERATIONS, TRACES, line_of, trace_line_of
from real_runtime.execution import Iteration

UNFINISHED = "unfinished-"


class UnfinishedRun:
    """The iterations of a run, in a folder within the run's, which the whole run replaces when it has ended.

    The folder has the time and the process of its run in its name: no other run writes to it, and what a killed one
    left stays until a run of that name has ended.
    """

    def __init__(self, target: Path, config: Mapping[str, Any], prepared: Prepared) -> None:
        self.config, self.prepared = config, prepared
        self.folder = target / f"{UNFINISHED}{datetime.now(UTC):%Y%m%dT%H%M%S.%f}-{os.getpid()}"

    def add(self, iteration: Iteration) -> None:
        """Write an iteration; it is on the disk when this returns. Raises ValueError where that takes no more."""
        if not self.folder.exists():
            with whole_folder(self.folder) as folder:
                write_asked(folder, self.config, self.prepared)
        append_lines(self.folder / TRACES, [trace_line_of(iteration)])
        append_lines(self.folder / ITERATIONS, [line_of(iteration)])
