"""How are a testbed's blocks and links timed from Python? As the command ``calibrate`` does it."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf
from rich.console import Console

from edgesim.cluster import Cluster
from edgesim.model import Model
from edgesim.workload import Workload
from experiments.api.mistakes import in_sentences
from experiments.api.runs import Named, asked_for, composed_for
from experiments.execution.calibration import Calibration
from experiments.progress import ProgressReport


@in_sentences
def calibrate(
    *,
    model: Model | Named | None = None,
    cluster: Cluster | Named | None = None,
    rate: str | None = None,
    latency: str | float | None = None,
    workload: Workload | Named | None = None,
    testbed: str | Path | Mapping[str, Any] | None = None,
    samples: Sequence[int] | None = None,
    repeats: int | None = None,
    **overrides: Any,
) -> Calibration:
    """Time the model's blocks and the links on emulated devices, so that what is simulated is of this machine.

    It takes minutes, on a machine that does nothing else meanwhile; ``str(calibration.profile)`` says how it was made,
    and whether other programs disturbed it. The calibration is used by a run of the same model, cluster and workload::

        found = es.calibrate(rate="100 Mbit/s")
        run = es.execute(rate="100 Mbit/s", strategy="data", **found.save("calibrated"))

    Args:
        model: Whose blocks are timed; one that the runtime can build.
        cluster: The devices that the testbed emulates, and their network.
        rate: What every NIC of a named cluster sends per second, like ``"100 Mbit/s"``.
        latency: What a message between two of its devices needs beside its bytes, like ``"0.1 ms"``.
        workload: What is asked of the model: purpose, batch, tokens.
        testbed: Where ranks live: ``"netns"``, ``"loopback"``, or ``"auto"`` for the best there is.
        samples: How many samples blocks are timed with, one after the other; with none, links are timed alone.
        repeats: How often each is timed.
        **overrides: Any other key of the configuration, as for ``simulate``.

    Returns:
        The seconds of blocks and the links, to use at once or to keep.

    Raises:
        RunError: If a rank fails.
        ValueError: If a name is unknown, a value does not fit its key, or the runtime cannot build the model.
    """
    given = {key: value for key, value in locals().items() if key not in ("samples", "repeats")}
    how = {"samples": None if samples is None else list(samples), "repeats": repeats}
    asked = {**asked_for(given), "calibration": {key: value for key, value in how.items() if value is not None}}
    return composed_for({**asked, **overrides}, _calibrated)


def _calibrated(config: Mapping[str, Any], *_: object) -> Calibration:
    # PyTorch takes seconds to load, and scripts that only simulate do without.
    from experiments.calibrate import calibrated

    return calibrated(OmegaConf.create(dict(config)), ProgressReport(console=Console(quiet=True)))
