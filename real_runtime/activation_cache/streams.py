"""How is a cache written and read beside computing? By a thread each, which is never far behind, or never far ahead."""

import queue
import threading
from collections.abc import Sequence
from types import TracebackType
from typing import NamedTuple

from real_runtime.activation_cache.cache import ActivationCache, Outputs


class _Write(NamedTuple):
    samples: Sequence[int]
    layer: int
    outputs: Outputs


class BackgroundWriter:
    """Writes on a thread of its own. What waits for it stays in memory: at most so many outputs of micro-batches.

    Outputs must not be changed after they were handed over.
    """

    def __init__(self, cache: ActivationCache, *, most_waiting: int = 64) -> None:
        self.cache = cache
        self.waiting: queue.Queue[_Write | None] = queue.Queue(most_waiting)
        self.failed: Exception | None = None
        self.thread = threading.Thread(target=self._run, name="activation cache writer", daemon=True)
        self.thread.start()

    def __enter__(self) -> "BackgroundWriter":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.waiting.put(None)
        self.thread.join()
        if kind is None:
            self._refuse_failed()

    def write(self, samples: Sequence[int], layer: int, outputs: Outputs) -> None:
        """Hand over a layer's outputs; wait where too many wait already. Raises what writing has raised before."""
        self._refuse_failed()
        self.waiting.put(_Write(tuple(samples), layer, outputs))

    def _run(self) -> None:
        while (write := self.waiting.get()) is not None:
            if self.failed is not None:
                continue  # whoever hands over must not wait for ever
            try:
                self.cache.write(*write)
            except Exception as error:
                self.failed = error

    def _refuse_failed(self) -> None:
        if self.failed is not None:
            raise self.failed
