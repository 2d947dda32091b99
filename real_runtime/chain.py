"""How long does each layer take while a whole pass runs? The layers in one chain, timed at their boundaries.

A run computes stages: layers one right after the other, in one graph. A layer that is timed alone pays for a call of
its own and for what it finds cold, and all alone together take up to a tenth longer than the stage that they form.
"""

import time
from collections.abc import Callable

import torch
from torch import Tensor

from edgesim.model import Model
from edgesim.workload import Workload
from real_runtime.models import architecture, build_layers
from real_runtime.stages.module import flatten_gradients, make_optimiser

# Of what a slow host would sleep behind a pass: its caches are as cold after that as they get.
_LONGEST_REST_S = 0.02


class HostClock:
    """The seconds of an emulated host: processor time of this thread, stretched; of a whole core, time as it is."""

    def __init__(self, fraction: float) -> None:
        self.fraction = fraction

    def now_s(self) -> float:
        """Seconds from any beginning."""
        return time.thread_time() / self.fraction if self.fraction < 1 else time.monotonic()

    def rest(self, since_s: float) -> None:
        """Sleep after work that began at ``since_s``, as the host does in a run, but not as long."""
        if self.fraction < 1:
            time.sleep(min((self.now_s() - since_s) * (1 - self.fraction), _LONGEST_REST_S))


class Chain:
    """All layers of a model on this rank, with an optimiser for each."""

    def __init__(self, model: Model, workload: Workload, clock: HostClock) -> None:
        self.model, self.workload, self.clock = model, workload, clock
        self.arch = architecture(model)
        self.layers = build_layers(model, range(len(model.layers)), seed=0)
        if workload.trains:
            self.flats = [flatten_gradients(layer.parameters()) for layer in self.layers]
            self.optimisers = [make_optimiser(layer.parameters(), workload) for layer in self.layers]
            self.call = make_optimiser([_least_parameter()], workload)

    def samples(self, count: int) -> Tensor:
        """So many inputs, drawn where it is known of what: of zeros, numbers may become too small for their format."""
        one = self.arch.sample(self.model.hyper, self.workload.tokens)
        whole = one.repeat(count, *[1] * (one.dim() - 1))
        if "resolution" in self.model.hyper:
            return torch.rand_like(whole)
        return torch.randint(self.model.hyper["vocabulary"], whole.shape) if "vocabulary" in self.model.hyper else whole

    def forward(self, inputs: Tensor, passed: Callable[[int, Tensor], object]) -> tuple[list[float], Tensor]:
        """[layer] seconds, and the output or the loss; ``passed`` hears each layer's output."""
        seconds, tensor = [], inputs
        for i, layer in enumerate(self.layers):
            begin_s = self.clock.now_s()
            tensor = layer(tensor)
            if self.workload.trains and i + 1 == len(self.layers):
                target = torch.randint(tensor.shape[-1], tensor.shape[:-1])
                tensor = self.arch.loss(self.model.hyper, self.workload.tokens, tensor, target) / len(inputs)
            seconds.append(self.clock.now_s() - begin_s)
            passed(i, tensor)
        return seconds, tensor

    def inference(self, inputs: Tensor) -> list[float]:
        """[layer] seconds of a forward pass that keeps nothing."""
        begin_s = self.clock.now_s()
        with torch.no_grad():
            seconds, _ = self.forward(inputs, lambda i, output: None)
        self.clock.rest(begin_s)
        return seconds

    def training(self, inputs: Tensor) -> tuple[list[float], list[float]]:
        """[layer] seconds of a forward pass, and of the backward pass behind it."""
        reached_s: dict[int, float] = {}

        def passed(i: int, output: Tensor) -> None:
            if i + 1 < len(self.layers):
                output.register_hook(lambda _: reached_s.update({i: self.clock.now_s()}))

        begin_s = self.clock.now_s()
        forward_s, loss = self.forward(inputs, passed)
        self.clock.rest(begin_s)
        reached_s[len(self.layers) - 1] = begin_s = self.clock.now_s()
        loss.backward()
        reached_s[-1] = self.clock.now_s()
        self.clock.rest(begin_s)
        # The gradient of a layer's output is there when the layers behind it are done.
        return forward_s, [reached_s[i - 1] - reached_s[i] for i in range(len(self.layers))]

    def update(self) -> tuple[list[float], float]:
        """[layer] seconds of a step of its own, and those that the call of a step takes whatever it updates."""
        self.clock.rest(begin_s := self.clock.now_s())
        seconds = []
        for optimiser, flat in zip(self.optimisers, self.flats, strict=True):
            begin_s = self.clock.now_s()
            optimiser.step()
            flat.zero_()
            seconds.append(self.clock.now_s() - begin_s)
        begin_s = self.clock.now_s()
        self.call.step()
        return seconds, self.clock.now_s() - begin_s


def _least_parameter() -> torch.nn.Parameter:
    parameter = torch.nn.Parameter(torch.zeros(1))
    parameter.grad = torch.zeros(1)
    return parameter
