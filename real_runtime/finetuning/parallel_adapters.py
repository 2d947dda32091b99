"""What is a side network beside frozen layers? Light layers fed by their outputs (arXiv 2408.10746).

    a_0 = W_down b_0        a_i = f_i(g a_(i-1) + (1 - g) W_down b_i)        g = sigmoid(alpha / T)

The last state is normed where the model norms its own, mapped up and added to what the head reads. A decoder's side
state begins with its first layer; its cross-attention looks at the encoder's side state, which travels beside it.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from edgesim.model import Model
from real_runtime.finetuning.boundary import SideState, side_width
from real_runtime.finetuning.pruning import kept_places, prune_into
from real_runtime.models import Layers, architecture, reads_labels
from real_runtime.models.encoder_decoder import DecoderLayer, FirstDecoderLayer

_TEMPERATURE = 0.1  # that of Ladder Side-Tuning (Sung et al., 2022), whose gate this is
_NEARLY_NOTHING = 1e-2  # standard deviation of what leads up: at first the model is nearly the frozen one


class Gate(nn.Module):
    """How much of the side state, and how much of what comes from the frozen layer, goes on: half of each at first."""

    def __init__(self) -> None:
        super().__init__()
        self.alpha = nn.Parameter(torch.zeros(()))

    def forward(self, side: Tensor, down: Tensor) -> Tensor:
        return torch.lerp(down, side, torch.sigmoid(self.alpha / _TEMPERATURE))


class SideLayer(nn.Module):
    """A frozen layer, and beside it the map down, the gate and the light layer; behind an embedding the map alone."""

    def __init__(self, frozen: nn.Module, down: nn.Linear, light: nn.Module | None, gate: Gate | None) -> None:
        super().__init__()
        self.frozen: nn.Module | None = frozen
        self.down, self.light, self.gate = down, light, gate
        self.READS_LABELS = reads_labels(frozen)

    def forward(self, entered: SideState | Tensor, labels: Tensor | None = None) -> SideState:
        """The frozen layer's next output, outside of any graph, and the next side state."""
        assert self.frozen is not None, "a layer without its frozen part is given that one's output"
        before, side = entered if isinstance(entered, SideState) else (entered, None)
        with torch.no_grad():
            output = self.frozen(before, labels) if self.READS_LABELS else self.frozen(before)
        if output.requires_grad:
            raise AssertionError("a gradient would enter the frozen model")
        return SideState(output, self.step(output, side))

    def step(self, output: Tensor, side: Tensor | None) -> Tensor:
        """The next side state, of the frozen layer's output and the last one."""
        light: Any = self.light
        down: Tensor = self.down(self.read_of(output))
        if light is None:
            return down
        assert side is not None, "only an embedding comes before any side state"
        if not isinstance(light, DecoderLayer):
            next_state: Tensor = light(self._mixed(side, down))
            return next_state
        if self.gate is None:  # the decoder's first layer: all that came so far is the encoder's
            return light.passed_on(side, light.decode(side, down))
        encoded, own = (part.contiguous() for part in light.apart(side))
        return light.passed_on(encoded, light.decode(encoded, self._mixed(own, down)))

    def _mixed(self, side: Tensor, down: Tensor) -> Tensor:
        mixed: Tensor = down if self.gate is None else self.gate(side, down)
        return mixed

    def read_of(self, output: Tensor) -> Tensor:
        """What the side network reads of a frozen layer's output: of a decoder layer's, the decoder's tokens alone."""
        light = self.light
        return output[:, -light.decoder_tokens :] if isinstance(light, DecoderLayer) else output


class SideHead(nn.Module):
    """The side network's norm, if the model has one there, its map up, and the frozen head behind the sum."""

    READS_LABELS = False

    def __init__(self, head: nn.Module, norm: nn.Module | None, up: nn.Linear) -> None:
        super().__init__()
        self.norm, self.up, self.head = norm, up, head

    def forward(self, entered: SideState) -> Tensor:
        normed = entered.side if self.norm is None else self.norm(entered.side)
        output: Tensor = self.head(entered.frozen + self.up(normed))
        return output


class SideNetwork(Layers):
    """All side layers and the head, without the frozen layers, whose outputs come from elsewhere."""

    def forward(self, entered: Sequence[Tensor], labels: Tensor | None = None) -> Tensor:
        """The head's output for what every frozen layer put out, the embedding first, or for what is read of that."""
        layers: list[Any] = list(self)
        *body, head = layers
        side: Tensor | None = None
        for layer, output in zip(body, entered, strict=True):
            side = layer.step(output, side)
        assert side is not None, "there is an embedding at least"
        logits: Tensor = head(SideState(entered[-1], side))
        return logits


def beside(model: Model, index: int, layer: nn.Module) -> nn.Module:
    """Put the side network's part beside a frozen layer."""
    hidden, width = int(model.hyper["hidden"]), side_width(model)
    assert width is not None, "asked for parallel adapters only"
    small: Any = architecture(model)
    small_hyper = model.hyper["side"]
    if index == len(model.layers) - 1:
        up = nn.Linear(width, hidden)
        nn.init.normal_(up.weight, std=_NEARLY_NOTHING)
        nn.init.zeros_(up.bias)
        norm = getattr(small.layer(small_hyper, index), "norm", None)
        if norm is not None:
            prune_into(norm, layer.get_submodule("norm"))
        return SideHead(layer, norm, up)
    down = nn.Linear(hidden, width)
    with torch.no_grad():  # what is kept of the output is what the light layer's weights are kept for
        down.weight.copy_(torch.eye(hidden)[kept_places(hidden, width)])
        down.bias.zero_()
    if index == 0:
        return SideLayer(layer, down, None, None)
    light: nn.Module = getattr(small, "body_layer", small.layer)(small_hyper, index)
    first_of_decoder = isinstance(layer, FirstDecoderLayer)
    prune_into(light, layer.layer if isinstance(layer, FirstDecoderLayer) else layer)
    return SideLayer(layer, down, light, None if first_of_decoder else Gate())


def without_frozen(layers: Layers) -> SideNetwork:
    """Let the frozen layers go; the head stays, since gradients come through it."""
    for layer in layers:
        if isinstance(layer, SideLayer):
            layer.frozen = None
    return SideNetwork(*layers)
