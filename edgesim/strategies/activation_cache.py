"""When does a rank write or read what a frozen backbone puts out? On its disk's own stream, beside its computations.

In the epoch that fills the cache each forward pass is followed by a CACHE_WRITE of the outputs of the stage's frozen
layers, for the samples that the rank computes; nothing waits for it, and the iteration ends when all is written. In
later epochs a CACHE_READ of the same bytes goes before each forward pass, of the model without its backbone
(:func:`edgesim.finetuning.cached`). Reading goes ahead of computing, but never by more than ``ahead`` micro-batches:
the read of one begins when the forward pass of the one that lies so far before it has ended.
"""

from dataclasses import dataclass

from edgesim.cached_outputs import Storage, kept_bytes
from edgesim.errors import PlanError
from edgesim.model import Model
from edgesim.schedule import Kind, Op
from edgesim.since_3_11 import StrEnum


class CacheUse(StrEnum):
    """What an epoch does with the activation cache."""

    NOTHING = "nothing"
    WRITE = "write"
    READ = "read"


@dataclass(frozen=True, kw_only=True)
class CacheTasks:
    """Which tasks of the activation cache go into a pipeline's schedule: none, a write behind each F, a read before it.

    ``storage`` is how outputs are kept on the disk, ``ahead`` how many micro-batches are read before they are needed.
    """

    use: CacheUse = CacheUse.NOTHING
    storage: Storage = Storage.FP32
    ahead: int = 2

    def __post_init__(self) -> None:
        object.__setattr__(self, "use", CacheUse(self.use))
        object.__setattr__(self, "storage", Storage(self.storage))
        if self.ahead < 1:
            raise ValueError(f"an activation cache is read at least one micro-batch ahead, got ahead={self.ahead}")

    def check(self, model: Model) -> None:
        """Raise PlanError where a model has no frozen outputs to keep."""
        if self.use is CacheUse.NOTHING:
            return
        try:
            kept_bytes(model, (0, len(model.layers)), samples=1, tokens=1)
        except ValueError as error:
            raise PlanError(str(error)) from error

    def written(self, forward: Kind, model: Model, tokens: int) -> Kind | None:
        """Return what is written behind a forward pass; None where nothing is."""
        return self._beside(forward, Op.CACHE_WRITE, model, tokens) if self.use is CacheUse.WRITE else None

    def read(self, forward: Kind, model: Model, tokens: int) -> Kind | None:
        """Return what is read before a forward pass; None where nothing is."""
        return self._beside(forward, Op.CACHE_READ, model, tokens) if self.use is CacheUse.READ else None

    def _beside(self, forward: Kind, op: Op, model: Model, tokens: int) -> Kind | None:
        start, stop = forward.samples
        nbytes = kept_bytes(model, forward.layers, samples=stop - start, tokens=tokens, storage=self.storage)
        return forward._replace(op=op, nbytes=nbytes) if nbytes else None


NO_CACHE = CacheTasks()
"""Every epoch computes the backbone anew."""
