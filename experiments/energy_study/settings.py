"""Which environments does the study of energy plan for, in which power modes, with which batteries?"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from edgesim.units import si

# The other power modes of each board, by its own file.
MODES: Mapping[str, Sequence[str]] = {
    "jetson_nano": ("jetson_nano_5w",),
    "jetson_nano_cpu": ("jetson_nano_cpu_5w",),
    "jetson_tx2": ("jetson_tx2_maxp", "jetson_tx2_maxq"),
    "jetson_tx2_cpu": ("jetson_tx2_cpu_maxp", "jetson_tx2_cpu_maxq"),
    "jetson_xavier_nx_15w": ("jetson_xavier_nx_20w", "jetson_xavier_nx_10w"),
    "jetson_xavier_nx_cpu_15w": (),
}
# The boards of each cluster, by file.
BOARDS: Mapping[str, Sequence[str]] = {
    "energy_study_gpu": ("jetson_nano",),
    "energy_study_cpu": ("jetson_nano_cpu",),
    "energy_study_tx2": ("jetson_tx2",),
    "energy_study_nx": ("jetson_xavier_nx_15w",),
    "energy_study_mixed": ("jetson_xavier_nx_15w", "jetson_tx2", "jetson_nano"),
    "energy_study_mixed_cpu": ("jetson_xavier_nx_cpu_15w", "jetson_tx2_cpu", "jetson_nano_cpu"),
}
MODELS: Mapping[str, Sequence[str]] = {
    "bert_base_untied": ("workload=text", "workload.tokens=128"),
    "bert_large_untied": ("workload=text", "workload.tokens=128"),
    "t5_base": ("workload=text", "workload.tokens=128", "finetuning=full_untied"),
    "resnet50": ("workload=images", "data=digits"),
    "tinyllama": ("workload=text", "workload.tokens=128"),
}
_KEYS = {"jetson_nano": "nano", "jetson_tx2": "tx2", "jetson_xavier_nx": "nx"}  # of boards in clusters' files
_WIFI, _RADIO = "_wifi", ("idle_w", "transmit_w", "receive_w")
BATCH, MICRO_BATCH = 32, 4
BATTERY_J = si("37 Wh")  # assumed: a power bank of 10 000 mAh at 3.7 V
BATTERY_SOURCE = "assumed: a power bank of 10 000 mAh at 3.7 V per board, all of it usable"
# Of MRPC in GLUE, as results/published/published.csv has it of arXiv 2408.10746.
TASK, TASK_SAMPLES, TASK_EPOCHS = "MRPC", 3668, 3


class Environment(NamedTuple):
    """A model on a cluster, at a rate."""

    model: str
    cluster: str
    rate: str = "100 Mbit/s"

    @property
    def words(self) -> list[str]:
        """The overrides of its problem, with all power modes."""
        return [*self.plain_words, *mode_words(self.cluster)]

    @property
    def plain_words(self) -> list[str]:
        """The overrides of its problem."""
        return [
            f"model={self.model}",
            *MODELS[self.model],
            f"cluster={self.cluster}",
            f"network.rate={self.rate}",
            f"workload.batch_samples={BATCH}",
            f"workload.micro_batch_samples={MICRO_BATCH}",
        ]

    @property
    def where(self) -> dict[str, Any]:
        """What identifies its rows."""
        return {"model": self.model, "cluster": self.cluster, "rate": self.rate}


def mode_words(cluster: str) -> list[str]:
    """Overrides that give boards their other power modes, in which a radio draws as in their own."""
    words = []
    for board in BOARDS[cluster.removesuffix(_WIFI)]:
        key = next(key for name, key in _KEYS.items() if board.startswith(name))
        for number, mode in enumerate(MODES[board]):
            path = f"modes.{board.replace('_', '-')}.m{number}"
            words.append(f"+device@{path}={mode}")
            if cluster.endswith(_WIFI):
                words += [f"{path}.power.{watt}=${{devices.{key}.power.{watt}}}" for watt in _RADIO]
    return words


CLUSTERS = (*BOARDS, "energy_study_gpu_wifi", "energy_study_cpu_wifi", "energy_study_mixed_wifi")
WIRED, BY_AIR = ("50 Mbit/s", "100 Mbit/s", "300 Mbit/s", "1000 Mbit/s"), ("50 Mbit/s", "100 Mbit/s", "300 Mbit/s")
# At every rate on every cluster; models with more layers, of which there are more stages to list, at some on some.
_LARGER = {
    "t5_base": ("gpu", "tx2", "nx", "mixed"),
    "bert_large_untied": ("gpu", "tx2", "nx", "mixed"),
    "tinyllama": ("nx", "mixed"),
}
FRONTS = (
    *(
        Environment(model, cluster, rate)
        for model in ("bert_base_untied", "resnet50")
        for cluster in CLUSTERS
        for rate in (BY_AIR if cluster.endswith(_WIFI) else WIRED)
    ),
    *(
        Environment(model, f"energy_study_{boards}", rate)
        for model, clusters in _LARGER.items()
        for boards in clusters
        for rate in ("100 Mbit/s", "1000 Mbit/s")
    ),
)
