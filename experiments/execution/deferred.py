"""How is a prepared run played for real without loading PyTorch before it is? Loading it takes seconds."""

from omegaconf import DictConfig

from experiments.configuration.setup import Prepared
from experiments.execution.listener import Listener
from real_runtime.execution import Execution


def executed(cfg: DictConfig, prepared: Prepared, listener: Listener) -> Execution:
    """The iterations that count, on a testbed that opens for them; who listens hears which, and of each as it ends.

    Raises RunError where a rank fails, ValueError for what cannot be executed.
    """
    # Every worker of a sweep imports this module, and most sweeps only simulate.
    from experiments.execution.testbed_jobs import execute_once

    return execute_once(cfg, prepared, listener)
