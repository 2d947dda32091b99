"""How many bytes of tensors are alive at once, at most? Counted operation by operation, storage by storage.

Every tensor that an operation reads or makes is counted, once for all that share its storage, until PyTorch lets the
storage go: what autograd keeps, and temporary tensors between operations too. What an operation takes for itself and
frees before it returns is not seen.
"""

import weakref
from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class LiveTensors(TorchDispatchMode):
    """Counts while it is entered; what was there before is counted once it is watched or used."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.sizes: dict[int, int] = {}  # by the storage's address, which no other has while this one lives
        self.nbytes = 0
        self.peak_bytes = 0

    def watch(self, tensor: Tensor) -> None:
        """Count a tensor from now on until its storage is freed."""
        storage = tensor.untyped_storage()
        place, nbytes = storage._cdata, storage.nbytes()
        if place not in self.sizes:
            weakref.finalize(storage, self._gone, place)
        self.nbytes += nbytes - self.sizes.get(place, 0)
        self.sizes[place] = nbytes
        self.peak_bytes = max(self.peak_bytes, self.nbytes)

    def _gone(self, place: int) -> None:
        self.nbytes -= self.sizes.pop(place)

    def __torch_dispatch__(
        self, func: Any, types: Sequence[type], args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        made = func(*args, **(kwargs or {}))
        for each in tree_leaves((args, kwargs, made)):
            if isinstance(each, Tensor):
                self.watch(each)
        return made
