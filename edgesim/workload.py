"""What is asked of the model: train, fine-tune or infer, in which batches."""

from dataclasses import dataclass

from edgesim.apportion import refuse_remainder
from edgesim.since_3_11 import StrEnum
from edgesim.units import require_numbers


class Purpose(StrEnum):
    """What a workload does with the model."""

    TRAIN = "train"
    FINE_TUNE = "fine_tune"
    INFER = "infer"


class Optimiser(StrEnum):
    """How parameters are updated; the value's state is counted in parameters' worth of memory."""

    SGD = "sgd"
    MOMENTUM = "momentum"
    ADAM = "adam"

    @property
    def state_per_parameter(self) -> int:
        """Numbers of optimiser state kept per trainable parameter."""
        return {Optimiser.SGD: 0, Optimiser.MOMENTUM: 1, Optimiser.ADAM: 2}[self]


# By what is kept, the bytes per number that it may take beside FP32's.
_LENGTHS = {"weight_bytes": (2,), "kv_bytes": (2, 1), "activation_bytes": (2,)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """One iteration is ``batch_samples`` samples, cut into micro-batches of ``micro_batch_samples``.

    ``tokens`` is the sequence length; 1 for models without sequences. ``cache`` keeps activations of a frozen backbone
    between epochs (PAC): on disk, but for those of ``cached_in_memory_samples``, which every rank keeps in memory.

    ``new_tokens`` are generated one by one behind the ``tokens`` of the prompt. ``weight_bytes`` is what a parameter
    takes in memory: 2 are weights kept in half precision and computed with in FP32, as Galaxy's published budgets count
    them (arXiv 2405.17245). ``kv_bytes`` is the same for each number of K and V that is kept for generating, 1 where it
    has 8 bits, and ``activation_bytes`` for each number that a block puts out, in memory and in messages. All of these
    are for inference; what is executed keeps and sends numbers of 2 bytes as BF16.
    """

    purpose: Purpose
    batch_samples: int
    micro_batch_samples: int
    tokens: int
    optimiser: Optimiser
    learning_rate: float
    epochs: int = 1
    cache: bool = False
    cached_in_memory_samples: int = 0
    new_tokens: int = 0
    weight_bytes: int = 4
    kv_bytes: int = 4
    activation_bytes: int = 4

    def __post_init__(self) -> None:
        require_numbers("workload", self)
        object.__setattr__(self, "purpose", Purpose(self.purpose))
        object.__setattr__(self, "optimiser", Optimiser(self.optimiser))
        for name in ("batch_samples", "micro_batch_samples", "tokens", "epochs"):
            if getattr(self, name) < 1:
                raise ValueError(f"workload: {name} must be at least 1, got {getattr(self, name)}")
        for name in ("cached_in_memory_samples", "new_tokens"):
            if getattr(self, name) < 0:
                raise ValueError(f"workload: {name} must be at least 0, got {getattr(self, name)}")
        if self.cached_in_memory_samples and not self.cache:
            raise ValueError(
                f"workload: cached_in_memory_samples={self.cached_in_memory_samples} without a cache (try cache: true)"
            )
        if self.new_tokens and self.trains:
            raise ValueError(
                f"workload: only inference generates tokens, got new_tokens={self.new_tokens} and purpose "
                f"{self.purpose} (try purpose: infer)"
            )
        for name, shorter in _LENGTHS.items():
            length = getattr(self, name)
            if length not in (4, *shorter) or (length != 4 and self.trains):
                others = " or ".join(map(str, shorter))
                raise ValueError(
                    f"workload: {name} must be 4, or {others} in inference, got {length} and purpose {self.purpose}"
                )
        whole, part = ("batch_samples", self.batch_samples), ("micro_batch_samples", self.micro_batch_samples)
        refuse_remainder("workload", divided=whole, by=part)
        if not self.learning_rate >= 0:
            raise ValueError(f"workload: learning_rate must be >= 0, got {self.learning_rate}")

    @property
    def trains(self) -> bool:
        """Whether parameters are updated: training and fine-tuning have backward passes, inference has none."""
        return self.purpose is not Purpose.INFER

    @property
    def micro_batches(self) -> int:
        """How many micro-batches an iteration has."""
        return self.batch_samples // self.micro_batch_samples
