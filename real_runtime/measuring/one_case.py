"""What does one model take, fine-tuned by one technique, in a process of its own? Played by the runtime's own stage.

Iterations are whole batches: forward, backward, update. Those that warm up are not counted. With parallel adapters they
are the first epoch, whose frozen outputs are kept on disk and which who learns from the cache plays again. Time and
resident memory are of iterations without any counting; live tensors are of one more.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from torch import Tensor

from edgesim.cached_outputs import Storage, kept_rows
from edgesim.model import Model
from edgesim.workload import Workload
from real_runtime.activation_cache.cache import ActivationCache
from real_runtime.activation_cache.hashes import model_hash, samples_hash
from real_runtime.activation_cache.key import CacheKey
from real_runtime.activation_cache.streams import BackgroundWriter
from real_runtime.data import DataSpec
from real_runtime.data.samples import Source
from real_runtime.finetuning.boundary import SideState
from real_runtime.finetuning.parallel_adapters import SideLayer
from real_runtime.measuring.live_tensors import LiveTensors
from real_runtime.measuring.resident import forget_resident_peak, resident_bytes, resident_peak_bytes
from real_runtime.playing.freed_memory import keep_freed_memory, release_freed_memory
from real_runtime.stages.module import StageModule

_SEED = 0
_EPOCH = 2
"""Batches whose frozen outputs are kept: what learns from the cache learns from these again."""
_AFTER_EPOCH = "after_the_epoch.npz"


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """What is measured, and how often.

    Attributes:
        fills: whether it is parallel adapters beside the frozen model, which fills a cache in ``folder``.
        learns_from_cache: whether it reads that cache.
        iterations: that are timed.
        pairs: of iterations, one that fills the cache and one that does not; their difference is what writing costs.
    """

    model: Model
    workload: Workload
    folder: Path
    threads: int
    iterations: int
    pairs: int

    @property
    def learns_from_cache(self) -> bool:
        return bool(self.model.hyper.get("cached"))

    @property
    def fills(self) -> bool:
        return self.model.hyper.get("technique") == "parallel_adapters" and not self.learns_from_cache


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What a case took.

    Attributes:
        trained_bytes: of parameters that are trained.
        resting_bytes: of tensors that stay from one iteration to the next.
        live_peak_bytes: of all tensors that were alive at once, at most.
        resident_peak_bytes: the process's own, without what it held before there was a model.
        resident_baseline_bytes: that is, with the libraries and the text.
        iteration_s: median of those that were timed.
        loss: of the last iteration.
        moved: how far the trained parameter went in the first epoch that went farthest, where there is a cache.
        max_diff: of trained parameters after that epoch, learnt from the cache and beside the frozen model.
        writing_share: of an iteration that fills the cache, what it takes longer than one that does not.
        writing_thread_share: how much of it the thread was busy that writes.
        cached_bytes: that the cache keeps of a batch.
    """

    trained_bytes: int
    resting_bytes: int
    live_peak_bytes: int
    resident_peak_bytes: int
    resident_baseline_bytes: int
    iteration_s: float
    slowest_s: float
    loss: float
    moved: float | None = None
    max_diff: float | None = None
    writing_share: float | None = None
    writing_thread_share: float | None = None
    cached_bytes: float | None = None


def measure(case: Case) -> Measured:
    """Build the model and play it; memory is that of this process from here on."""
    keep_freed_memory()
    torch.set_num_threads(case.threads)
    source = Source(DataSpec(kind="text"), case.model, case.workload, _SEED)
    batches = [source.batch(number) for number in range(_EPOCH)]
    del source
    release_freed_memory()
    baseline_bytes = resident_bytes()
    played = _Played(case, batches)
    compared = played.first_epoch() if played.cache is not None else {}
    if not compared:
        played.iterate(0)
    release_freed_memory()
    forget_resident_peak()
    times_s = [_seconds(partial(played.iterate, number)) for number in range(case.iterations)]
    peak_bytes = resident_peak_bytes()
    live = LiveTensors()
    for tensor in played.resting():
        live.watch(tensor)
    resting_bytes = live.nbytes
    with live:
        played.iterate(0, entering=live.watch)
    writing = played.writing() if case.fills else {}
    return Measured(
        trained_bytes=played.stage.flat_gradients.nbytes,
        resting_bytes=resting_bytes,
        live_peak_bytes=live.peak_bytes,
        resident_peak_bytes=peak_bytes - baseline_bytes,
        resident_baseline_bytes=baseline_bytes,
        iteration_s=median(times_s),
        slowest_s=max(times_s),
        loss=played.stage.loss,
        **compared,
        **writing,
    )


class _Played:
    """A case's stage with its batches, and its cache where it has one."""

    def __init__(self, case: Case, batches: Sequence[tuple[Tensor, Tensor]]) -> None:
        self.case, self.batches = case, batches
        self.stage = StageModule(case.model, case.workload, (0, len(case.model.layers)), seed=_SEED)
        self.cache: ActivationCache | None = None
        if case.fills or case.learns_from_cache:
            rows = kept_rows(case.model, tokens=case.workload.tokens)
            self.layers = [layer for layer, count in enumerate(rows) if count]
            self.cache = ActivationCache(case.folder / "cache", self._key(), keep=True)
        self.drawn = 0  # which samples an iteration that fills the cache writes

    def _key(self) -> CacheKey:
        return CacheKey(
            backbone=model_hash(self.case.model, seed=_SEED, checkpoint=None),
            samples=samples_hash(*(part.numpy() for batch in self.batches for part in batch)),
            width=int(self.case.model.hyper["hidden"]),
            storage=Storage.FP32,
        )

    def first_epoch(self) -> dict[str, float]:
        """Fill the cache, or learn from it: how far parameters go, and how far apart both are in the end."""
        before = self._trained()
        with self._filling() if self.case.fills else nullcontext():
            for number in range(_EPOCH):
                self.iterate(number)
        after, path = self._trained(), self.case.folder / _AFTER_EPOCH
        moved = {"moved": _largest_difference(after, before)}
        if self.case.fills:
            np.savez(path, **after)  # type: ignore[arg-type]
            return moved
        with np.load(path) as beside:
            return moved | {"max_diff": _largest_difference(after, beside)}

    def iterate(self, number: int, *, entering: Callable[[Tensor], object] | None = None) -> None:
        """Forward, backward and update of a whole batch; what comes from the cache is read first.

        ``entering`` is told what enters the model.
        """
        inputs, targets = self.batches[number % len(self.batches)]
        entered = self._read(number) if self.case.learns_from_cache else inputs
        for each in (*entered, targets) if isinstance(entered, list) else (entered, targets):
            if entering is not None:
                entering(each)
        self.stage.loss, self.drawn = 0.0, number
        self.stage.forward(0, entered, targets)
        del entered
        self.stage.backward(0, self.stage.layers, None)
        self.stage.update()

    def _samples(self, number: int) -> range:
        size = self.case.workload.batch_samples
        return range(number * size, (number + 1) * size)

    def _read(self, number: int) -> list[Tensor]:
        assert self.cache is not None, "it was opened for who learns from it"
        read = self.cache.read(self._samples(number % len(self.batches)), self.layers)
        return [torch.from_numpy(read[layer]) for layer in self.layers]

    @contextmanager
    def _filling(self) -> Iterator[None]:
        """Within, frozen outputs are written beside computing; at the end all of them are."""
        assert self.cache is not None, "it was opened for who fills it"
        beside = [(index, layer) for index, layer in enumerate(self.stage.module) if isinstance(layer, SideLayer)]
        with BackgroundWriter(self.cache) as writer:
            hooks = [layer.register_forward_hook(partial(self._keep, writer, index)) for index, layer in beside]
            try:
                yield
            finally:
                for hook in hooks:
                    hook.remove()

    def _keep(self, writer: BackgroundWriter, index: int, layer: SideLayer, _: object, made: SideState) -> None:
        writer.write(self._samples(self.drawn), index, layer.read_of(made.frozen).numpy())

    def _fill(self, number: int) -> None:
        with self._filling():
            self.iterate(number)

    def writing(self) -> dict[str, float]:
        """What filling the cache costs, by turns with iterations that do not; each fills until all is written."""
        assert self.cache is not None, "it was opened for who fills it"
        plain_s, filling_s, busy_s, before_bytes = list[float](), list[float](), self.cache.writing_s, self.cache.nbytes
        for pair in range(self.case.pairs):
            plain_s.append(_seconds(partial(self.iterate, pair)))
            filling_s.append(_seconds(partial(self._fill, len(self.batches) + pair)))
        busy_s = self.cache.writing_s - busy_s
        report = self.cache.report()
        if report.refused:
            raise ValueError(f"the cache in {self.case.folder} did not take all: {report.why_refused}")
        return {
            "writing_share": 1 - median(plain_s) / median(filling_s),
            "writing_thread_share": busy_s / sum(filling_s),
            "cached_bytes": (self.cache.nbytes - before_bytes) / self.case.pairs,
        }

    def _trained(self) -> dict[str, np.ndarray[Any, Any]]:
        """The parameters that are trained, as they are now."""
        named = self.stage.module.named_parameters()
        return {name: weight.detach().numpy().copy() for name, weight in named if weight.requires_grad}

    def resting(self) -> Iterator[Tensor]:
        """What stays from one iteration to the next: weights, gradients, and what the optimiser keeps."""
        yield from self.stage.module.parameters()
        yield from self.stage.module.buffers()
        yield self.stage.flat_gradients
        for state in self.stage.optimiser.state.values():
            yield from (each for each in state.values() if isinstance(each, Tensor))


def _seconds(play: Callable[[], None]) -> float:
    begin_s = time.perf_counter()
    play()
    return time.perf_counter() - begin_s


def _largest_difference(ours: Mapping[str, np.ndarray[Any, Any]], theirs: Mapping[str, np.ndarray[Any, Any]]) -> float:
    """Of any number. Raises ValueError for parameters of other names."""
    if set(ours) != set(theirs):
        raise ValueError(f"they train different parameters: {sorted(set(ours) ^ set(theirs))[:3]}")
    return max(float(np.abs(weight - theirs[name]).max(initial=0.0)) for name, weight in ours.items())
