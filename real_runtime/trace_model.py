"""What does each layer of a PyTorch model cost? Runs the layers once and writes the table that ``edgesim.model`` reads.

    python -m real_runtime.trace_model mobilenet_v2 --output edgesim/tables/mobilenet_v2.json

FLOPs come from torch's FlopCounterMode, stash bytes from saved-tensor hooks (parameters and buffers not counted; a
tensor saved twice counts once; the boundary input counts in the layer that saves it).
"""

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from edgesim.model import Block, BlockKind, Cost, Layer, Model, SplitBy, model_to_dict
from real_runtime.models import Architecture, architecture, build_layers, mobilenet_v2

_SAMPLES = 2  # batch norm needs more than one; costs are divided by it


def saved_bytes(module: nn.Module, entered: Tensor) -> tuple[Tensor, int]:
    """The module's output, and the bytes that its backward pass keeps beside parameters and buffers."""
    own = {t.untyped_storage().data_ptr() for t in (*module.parameters(), *module.buffers())}
    kept: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = max(kept.get(storage.data_ptr(), 0), tensor.nbytes)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        output = module(entered)
    return output, sum(kept.values())


def trace_layer(name: str, kind: BlockKind, module: nn.Module, entered: Tensor) -> tuple[Layer, Tensor]:
    """The layer's costs, at the given input, and its output."""
    if entered.is_floating_point():
        entered = entered.detach().requires_grad_()
    with FlopCounterMode(display=False) as forward:
        output, stash = saved_bytes(module, entered)
    with FlopCounterMode(display=False) as backward:
        output.backward(torch.ones_like(output))
    samples = entered.shape[0]
    parameters = sum(p.nbytes for p in module.parameters())
    # Estimated: weights once, stash and output once each way; the backward pass touches all of it twice.
    touched = Cost(fixed=parameters, per_sample=(stash + output.nbytes) / samples)
    block = Block(
        name=kind.value,
        kind=kind,
        forward_flop=Cost(per_sample=forward.get_total_flops() / samples),
        backward_flop=Cost(per_sample=backward.get_total_flops() / samples),
        forward_bytes=touched,
        backward_bytes=touched * 2,
        parameter_bytes=parameters,
        output_bytes=Cost(per_sample=output.nbytes / samples),
        stash_bytes=Cost(per_sample=stash / samples),
        split_by=SplitBy.NOTHING,
        splits=0,
    )
    return Layer(name=name, blocks=(block,)), output.detach()


def trace_mobilenet_v2(*, resolution: int, classes: int, width: float) -> Model:
    """MobileNetV2 as the runtime builds it."""
    hyper: Mapping[str, Any] = {"resolution": resolution, "classes": classes, "width": width}
    names = mobilenet_v2.layer_names()
    kinds = [BlockKind.HEAD if name == "head" else BlockKind.CONV for name in names]
    shell = Model(name="mobilenet_v2", architecture="mobilenet_v2", hyper=hyper, layers=())
    arch: Architecture = architecture(shell)
    tensor = arch.sample(hyper, 1).expand(_SAMPLES, -1, -1, -1)
    layers: list[Layer] = []
    for index, (name, kind) in enumerate(zip(names, kinds, strict=True)):
        layer, tensor = trace_layer(name, kind, build_layers(shell, [index], seed=0)[0], tensor)
        layers.append(layer)
    return Model(name=shell.name, architecture=shell.architecture, hyper=hyper, layers=tuple(layers))


def main() -> None:
    """Write one table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", choices=["mobilenet_v2"])
    parser.add_argument("--resolution", type=int, default=64, help="pixels of each side (default: 64)")
    parser.add_argument("--classes", type=int, default=10, help="classes of the head (default: 10)")
    parser.add_argument("--width", type=float, default=1.0, help="depth multiplier (default: 1.0)")
    parser.add_argument("--output", type=Path, required=True, help="the JSON file to write")
    given = parser.parse_args()
    model = trace_mobilenet_v2(resolution=given.resolution, classes=given.classes, width=given.width)
    given.output.write_text(json.dumps(model_to_dict(model), indent=1) + "\n")
    print(f"{model}\nwritten to {given.output}")


if __name__ == "__main__":
    main()
