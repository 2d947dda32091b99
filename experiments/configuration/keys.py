"""Which keys belong to no constructor, what may each hold, and which numbers must be positive?"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from edgesim.cluster import Device
from edgesim.scenario import Event
from edgesim.units import Dimension

# By their path without the numbers of list entries.
TYPES: dict[str, Any] = {
    "execute": bool,
    "iterations": int,
    "power": bool,
    "rehearsals": int,
    "checkpoint": str | None,
    "save_weights": str | None,
    "activations": str | None,
    "seed": int,
    "head_room": float,
    "groups": str | Sequence[Sequence[int]] | None,
    "results": str,
    "config_dirs": Sequence[str],
    "study": Mapping[str, Any] | None,
    "devices": Mapping[str, Device],
    "disks": str | None,
    "residuals": str | None,
    "meters": Mapping[str, Any],
    "scenario.events": Mapping[str, Event | Sequence[Event]],
    "modes": Mapping[str, Mapping[str, Device]],
    "planner.micro_batch": Literal["workload", "best"],
    "data.kind": Literal["text", "digits", "task"],
    "data.task": str | None,
    "data.tokenizer": str | None,
    "data.folder": str | None,
    "testbed.kind": Literal["auto", "netns", "loopback", "ssh"],
    "launcher.workers": int | None,
    "launcher.retries": int,
    "launcher.shared_files": bool,
    "launcher.minutes": int,
    "launcher.cpus": int,
    "launcher.parallel": int,
    "network": Mapping[str, Any],
    "network.goodput": float,
    "network.calibrated": str | None,
    "sweep.name": str | None,
    "sweep.batch": int | None,
    "sweep.shrink": bool,
    "calibration.name": str | None,
    "calibration.samples": Sequence[int],
    "calibration.repeats": int,
    "calibration.segment_s": float,
    "calibration.disk_folder": str | None,
    "autopilot.loops": int,
    "fit.knots": int,
}
# Keys of the first level and of the network that are read by name; others must be read by some ${...}.
TOP = frozenset(
    """
    cluster model finetuning workload profile planner strategy method scenario testbed data launcher grid meter
    experiment groups depth divides device devices network modes job config_dirs sweep search study calibration fit demo
    validation planner_regret job_validation pac_validation fidelity_study autopilot
    """.split()  # noqa: SIM905
) | {key for key in TYPES if "." not in key}
NOUNS = frozenset(
    """
    cluster model finetuning workload profile planner strategy scenario testbed grid data launcher job meter
    """.split()  # noqa: SIM905
)
NETWORK = frozenset(("rate", "latency", "goodput", "calibrated"))
OR_NULL = frozenset(("grid", "job", "meter"))  # nouns that may be left out
LINKED = frozenset(("devices", "network"))  # mappings to whose values others refer
# What to do about a value that is not known: no silence, and no zero.
IF_NULL = {
    key: "a board without a meter has the watts of its datasheet: write them, and in source where they come from"
    for key in ("power", "idle_w", "compute_w", "transmit_w", "receive_w")
}
# Quantities whose names do not say their unit: of these a bare number says nothing where two units are usual.
QUANTITIES = {
    "network.rate": (Dimension.BYTE_RATE, False),
    "network.latency": (Dimension.TIME, True),
    "planner_regret.rates": (Dimension.BYTE_RATE, False),
    "fidelity_study.rates": (Dimension.BYTE_RATE, False),
    "validation.rates.rate": (Dimension.BYTE_RATE, False),
}
AT_LEAST_ONE = frozenset(
    """
    iterations layers encoder_layers decoder_layers hidden heads groups columns vocabulary positions
    head_size buckets resolution patch channels classes bottleneck k count batch_samples micro_batch_samples
    tokens epochs keep replicas stages column_unit samples batch repeats knots rounds finetuning.rank
    """.split()  # noqa: SIM905
)
ABOVE_ZERO = frozenset(("calibration.segment_s",))  # amounts that no constructor checks
ANY_SIGN = frozenset(("launcher.workers",))  # -1: one per core; 0 and less are the launcher's to judge
