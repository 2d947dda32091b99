"""How is a prepared run played for real without loading PyTorch before it is? Loading it takes seconds."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from omegaconf import DictConfig

from experiments.configuration.setup import Prepared

if TYPE_CHECKING:
    from real_runtime.job import Execution


def executed(cfg: DictConfig, prepared: Prepared, tell: Callable[[str], object]) -> "Execution":
    """The iterations that count, on a testbed that opens for them; ``tell`` hears which.

    Raises RunError where a rank fails, ValueError for what cannot be executed.
    """
    # Every worker of a sweep imports this module, and most sweeps only simulate.
    from experiments.execution.testbed_jobs import execute_once

    return execute_once(cfg, prepared, tell)
