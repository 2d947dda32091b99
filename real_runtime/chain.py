"""How long does each layer take while a whole pass runs? The layers in one chain, timed at their boundaries.

A run computes stages: layers one right after the other, in one graph. A layer that is timed alone pays for a call of
its own and for what it finds cold, and all alone together take up to a tenth longer than the stage that they form. What
a stage pays for once, a layer says that is timed both ways: in the chain, and alone behind a rest.
"""

import time
from collections.abc import Callable
from contextlib import nullcontext
from itertools import pairwise
from typing import Any, TypeVar

import torch
from torch import Tensor

from edgesim.cached_outputs import kept_rows
from edgesim.model import Model
from edgesim.workload import Workload
from real_runtime.finetuning.boundary import SideState, boundary_of
from real_runtime.finetuning.techniques import build_tuned, is_frozen
from real_runtime.models import architecture
from real_runtime.stages.module import flatten_gradients, make_optimiser
from real_runtime.weights.precision import widening

T = TypeVar("T")
# What a slow host sleeps before all that is timed. Its caches grow colder meanwhile: a stage pays half as much for that
# after 0.02 s as after 0.06 s, and hardly less after 0.06 s than after 0.2 s.
_REST_S = 0.06
_SMALL = 1e-6  # a gradient that changes nothing much, and is a number like others


class HostClock:
    """The seconds of an emulated host: processor time of this thread, stretched; of a whole core, time as it is."""

    def __init__(self, fraction: float) -> None:
        self.fraction = fraction

    def now_s(self) -> float:
        """Seconds from any beginning."""
        return time.thread_time() / self.fraction if self.fraction < 1 else time.monotonic()

    def rest(self) -> None:
        """Sleep before work, as the host does in a run, but not as long."""
        if self.fraction < 1:
            time.sleep(_REST_S)


class Chain:
    """All layers of a model on this rank, with an optimiser for each."""

    def __init__(self, model: Model, workload: Workload, clock: HostClock) -> None:
        self.model, self.workload, self.clock = model, workload, clock
        self.arch, self.boundary = architecture(model), boundary_of(model)
        self.layers = build_tuned(
            model,
            range(len(model.layers)),
            seed=0,
            weight_bytes=workload.weight_bytes,
            frozen=is_frozen(model),
        )
        self.cached: list[Tensor] = []  # by layer, what frozen layers that are left out would have put out
        if workload.trains:
            self.flats = [flatten_gradients(layer.parameters()) for layer in self.layers]
            self.optimisers = [make_optimiser(layer.parameters(), workload) for layer in self.layers]

    def samples(self, count: int) -> Tensor:
        """So many inputs, drawn where it is known of what: of zeros, numbers may become too small for their format."""
        one = self.arch.sample(self.model.hyper, self.workload.tokens)
        whole = one.repeat(count, *[1] * (one.dim() - 1))
        if self.model.hyper.get("cached"):
            rows, width = kept_rows(self.model, tokens=self.workload.tokens), int(self.model.hyper["hidden"])
            self.cached = [torch.randn(count, each, width) for each in rows if each]
        if "resolution" in self.model.hyper:
            return torch.rand_like(whole)
        return torch.randint(self.model.hyper["vocabulary"], whole.shape) if "vocabulary" in self.model.hyper else whole

    def inference(self, inputs: Tensor) -> list[float]:
        """[layer] seconds of a forward pass that keeps nothing."""
        with torch.no_grad(), widening(self.workload.weight_bytes):
            seconds, _ = self._forward(inputs)
        return seconds

    def training(self, inputs: Tensor) -> tuple[list[float], list[float]]:
        """[layer] seconds of a forward pass, and of the backward pass behind it."""
        forward_s, outputs = self._forward(inputs)
        reached_s: dict[int, float] = {}
        for i, output in enumerate(outputs[:-1]):
            if (root := self.boundary.root(output)).requires_grad:
                root.register_hook(lambda _, i=i: reached_s.update({i: self.clock.now_s()}))
        self.clock.rest()
        reached_s[len(self.layers) - 1] = self.clock.now_s()
        outputs[-1].backward()
        reached_s[-1] = self.clock.now_s()
        # The gradient of a layer's output is there when the layers behind it are done; where it wants none, at the end.
        reached = [reached_s.get(i, reached_s[-1]) for i in range(-1, len(self.layers))]
        return forward_s, [before - behind for before, behind in pairwise(reached)]

    def updates(self) -> list[float]:
        """[layer] seconds of the optimiser's step, all layers' one right after the other."""
        self.clock.rest()
        return [self._update(i) for i in range(len(self.layers))]

    def alone(self, i: int, inputs: Tensor) -> list[float]:
        """Seconds of one layer as a stage of its own: of its forward pass and, in training, its backward and update.

        Its forward pass takes what it reads out of a message, and puts what it makes into one; not where frozen outputs
        are cached: then a rank has all layers.
        """
        computed = nullcontext() if self.workload.trains else widening(self.workload.weight_bytes)
        with torch.no_grad(), computed:
            entered: Any = inputs
            for before in range(i):
                entered = self._layer(before, entered)
            if not self.workload.trains:
                seconds, _ = self._timed(lambda: self._layer(i, entered))
                return [seconds]
        if self.cached:
            forward_s, output = self._timed(lambda: self._layer(i, self.boundary.apart(entered)[0]))
        else:
            arrived = self.boundary.message(entered)
            forward_s, output = self._timed(lambda: self._as_stage(i, arrived))
        root = self.boundary.root(output)
        gradient = torch.full_like(root, _SMALL)
        backward_s, _ = self._timed(lambda: root.backward(gradient) if root.requires_grad else None)
        self.clock.rest()
        return [forward_s, backward_s, self._update(i)]

    def _as_stage(self, i: int, arrived: Tensor) -> Any:
        entered, _ = self.boundary.entered(arrived, wants_gradient=True)
        made = self._layer(i, entered)
        self.boundary.message(made)
        return made

    def _timed(self, work: Callable[[], T]) -> tuple[float, T]:
        """Seconds and result of work, before which the host rests."""
        self.clock.rest()
        begin_s = self.clock.now_s()
        result = work()
        return self.clock.now_s() - begin_s, result

    def _forward(self, inputs: Tensor) -> tuple[list[float], list[Any]]:
        """[layer] seconds and output, behind a rest; of the last one of a training the loss."""
        self.clock.rest()
        seconds, outputs = list[float](), list[Any]()
        for i in range(len(self.layers)):
            begin_s = self.clock.now_s()
            outputs.append(self._layer(i, outputs[-1] if i else inputs))
            seconds.append(self.clock.now_s() - begin_s)
        return seconds, outputs

    def _layer(self, i: int, entered: Any) -> Any:
        output = self._computed(i, entered)
        if not self.workload.trains or i + 1 < len(self.layers):
            return output
        target = torch.randint(output.shape[-1], output.shape[:-1])
        loss: Tensor = self.arch.loss(self.model.hyper, self.workload.tokens, output, target)
        return loss / len(entered)

    def _computed(self, i: int, entered: Any) -> Any:
        """What a layer puts out; one whose frozen part is left out is given that one's output beside its side state."""
        if i >= len(self.cached):
            return self.layers[i](entered)
        layer: Any = self.layers[i]
        output = self.cached[i]
        return SideState(output, layer.step(output, entered.side if i else None))

    def _update(self, i: int) -> float:
        begin_s = self.clock.now_s()
        self.optimisers[i].step()
        self.flats[i].zero_()
        return self.clock.now_s() - begin_s
