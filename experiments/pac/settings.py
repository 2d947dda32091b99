"""Which runs are the cells of PAC's tables (arXiv 2408.10746)? Models, systems, techniques and tasks as overrides."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from experiments.published.claims import FILLS_CACHE, MODELS, SAMPLES, TOKENS

NANOS = 8
FULL, ADAPTERS, LORA = "Full", "Adapters", "LoRA"
STANDALONE, ECO_FL, EDDL, PAC, PROVEN = "Standalone", "Eco-FL", "EDDL", "PAC", "PAC, proven"
SYSTEMS: Mapping[str, Sequence[str]] = {
    STANDALONE: ("method=one_device", "planner.micro_batch=best"),
    ECO_FL: ("method=eco_fl", "planner.micro_batch=best"),
    EDDL: ("method=eddl_even",),
    PAC: ("method=pac",),
    PROVEN: ("method=pac", "planner=ilp_two_phases"),  # our planner, both phases together
}
BASELINES = (STANDALONE, ECO_FL, EDDL)
# Full fine-tuning parts layers of T5 and BART that share words; nobody says how the paper's pipelines added these up.
_TECHNIQUES: Mapping[str, Sequence[str]] = {
    FULL: ("finetuning=full",),
    ADAPTERS: ("finetuning=houlsby",),
    LORA: ("finetuning=lora", "finetuning.dropout=true"),
    FILLS_CACHE: ("finetuning=parallel_adapters",),
}
# PAC's micro-batches, chosen so that its planner's groups are those of Fig. 10: all at once, or four samples.
PAC_MICRO_BATCH: Mapping[str, int] = {"T5-Base": 16, "BART-Large": 4, "T5-Large": 4}


class Task(NamedTuple):
    """A task of GLUE, as published: samples of an epoch, and epochs."""

    name: str
    samples: int
    epochs: int


TASKS = (Task("MRPC", 3668, 3), Task("STS-B", 5749, 3), Task("SST-2", 67349, 1), Task("QNLI", 104743, 1))


class Cell(NamedTuple):
    """A model, fine-tuned in one way by one system."""

    model: str
    system: str
    technique: str

    @property
    def method(self) -> str:
        """As the paper's table names it."""
        return f"{self.system}, {'Parallel Adapters' if self.technique == FILLS_CACHE else self.technique}"


def cells() -> list[Cell]:
    """Every cell of the table of hours."""
    found = []
    for model in MODELS:
        for technique in (FULL, ADAPTERS, LORA):
            found += [Cell(model, system, technique) for system in BASELINES]
        found += [Cell(model, system, FILLS_CACHE) for system in (PAC, PROVEN)]
    return found


def nanos(model: str, *, count: int = NANOS, batch: int = SAMPLES, micro_batch: int | None = None) -> list[str]:
    """Overrides of a model on so many of the paper's Nanos, as the PyTorch 1 of a Nano trains it."""
    return [
        f"model={MODELS[model]}",
        "+model.dropout=true",
        *(["+model.fused=false"] if model == "BART-Large" else []),
        "cluster=pac",
        f"cluster.count={count}",
        "device@devices.nano=jetson_nano_pac_fitted",
        "workload.purpose=fine_tune",
        f"workload.batch_samples={batch}",
        f"workload.micro_batch_samples={batch if micro_batch is None else micro_batch}",
        f"workload.tokens={TOKENS}",
        "workload.optimiser=sgd",
    ]


def technique_words(cell: Cell) -> Sequence[str]:
    """Overrides of its technique; a pipeline's stages have copies of words that full fine-tuning trains twice."""
    apart = cell.technique == FULL and cell.system == ECO_FL
    return ("finetuning=full_untied",) if apart else _TECHNIQUES[cell.technique]


def words(cell: Cell, task: Task) -> list[str]:
    """Overrides of a cell's job."""
    cached = cell.technique == FILLS_CACHE
    micro_batch = PAC_MICRO_BATCH[cell.model] if cached else None
    return [
        "+job=pac",
        *SYSTEMS[cell.system],
        *technique_words(cell),
        *nanos(cell.model, micro_batch=micro_batch),
        f"workload.epochs={task.epochs}",
        f"workload.cache={str(cached).lower()}",
        f"job.samples={task.samples}",
        *([f"planner.samples={task.samples}"] if cell.system == PROVEN else []),
    ]
