"""What does one call of a PyTorch module cost? Counted op by op, on fake tensors: nothing is computed or allocated.

Fake tensors (torch's FakeTensorMode) are meta tensors that say they live on the CPU, so that operations which choose
their kernel by device, as attention does, are counted as the CPU runs them.

FLOPs are FlopCounterMode's, with two corrections: it counts the weights' gradient of a convolution of g groups g times,
and does not know the CPU's fused attention. Bytes touched are those that every operation reads and writes, views not
counted, as if nothing stayed in a cache. Bytes kept are what saved-tensor hooks see: whole storages, each once,
parameters and buffers not counted.
"""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode, conv_flop_count, sdpa_backward_flop_count, sdpa_flop_count

from edgesim.model import BlockKind

INPUT, OUTPUT = "input", "output"  # names of a layer's boundary tensors among what it keeps
_aten = torch.ops.aten


@dataclass(slots=True, kw_only=True)
class Counts:
    """What one call costs, in FLOP and bytes; ``kept`` is what its backward pass needs, by storage."""

    forward_flop: int = 0
    backward_flop: int = 0
    forward_bytes: int = 0
    backward_bytes: int = 0
    output_bytes: int = 0
    kept: dict[int | str, int] = field(default_factory=dict)
    kind: BlockKind = BlockKind.CONNECTIVE


def count(
    module: nn.Module, entered: Tensor, *, frozen: bool, loss: Callable[[Tensor], Tensor] | None
) -> tuple[Counts, Tensor]:
    """The costs of a forward and a backward pass, and the output. With ``frozen``, weights get no gradients.

    ``entered`` gets a gradient if it requires one. ``loss``, of the last layer, is counted with it.
    """
    parameters = list(module.parameters())
    for p in parameters:
        p.requires_grad_(not frozen)
        p.grad = None if frozen else torch.zeros_like(p)  # gradients are added up over micro-batches
    own = {t.untyped_storage()._cdata for t in (*parameters, *module.buffers())}
    saved: list[torch.UntypedStorage] = []  # held, so that no two of them get the same address

    def pack(tensor: Tensor) -> Tensor:
        saved.append(tensor.untyped_storage())
        return tensor

    with _Counter() as forward, torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        output = module(entered)
        end = output if loss is None or not isinstance(output, Tensor) else loss(output)
    if not isinstance(output, Tensor):
        raise ValueError(f"gives a {type(output).__name__}; what crosses to the next layer is one tensor")
    with _Counter() as backward:
        if end.requires_grad:
            end.backward(torch.ones_like(end))
    names: dict[int, int | str] = {output.untyped_storage()._cdata: OUTPUT, entered.untyped_storage()._cdata: INPUT}
    kept = {names.get(s._cdata, s._cdata): s.nbytes() for s in saved if s._cdata not in own}
    counts = Counts(
        forward_flop=forward.flop,
        backward_flop=backward.flop,
        forward_bytes=forward.touched_bytes,
        backward_bytes=backward.touched_bytes,
        output_bytes=output.nbytes,
        kept=kept,
        kind=_kind(forward, module),
    )
    return counts, output


def _kind(forward: "_Counter", module: nn.Module) -> BlockKind:
    """The kind of the operation with the most FLOPs; without any, the kind of the modules."""
    if forward.flops:
        op = max(forward.flops, key=lambda op: forward.flops[op])
        if any(str(op).startswith(("aten._scaled_dot", "aten.bmm", "aten.baddbmm")) for op in forward.flops):
            return BlockKind.ATTENTION
        return BlockKind.CONV if "convolution" in str(op) else BlockKind.MLP
    embeds = any(isinstance(part, nn.Embedding | nn.EmbeddingBag) for part in module.modules())
    return BlockKind.EMBEDDING if embeds else BlockKind.CONNECTIVE


class _Counter:
    """Counts FLOPs by operation, and bytes touched, of everything that runs within it."""

    def __enter__(self) -> "_Counter":
        self._flops = FlopCounterMode(display=False, custom_mapping=_CORRECTED)
        self._touched = Touched()
        self._modes = ExitStack()
        self._modes.enter_context(self._flops)
        self._modes.enter_context(self._touched)
        return self

    def __exit__(self, *error: Any) -> None:
        self._modes.__exit__(*error)
        self.flops: dict[Any, int] = dict(self._flops.get_flop_counts().get("Global", {}))
        self.flop: int = self._flops.get_total_flops()
        self.touched_bytes = self._touched.nbytes


# These read as much of their first tensor as they write.
_LOOKUPS = {_aten.embedding.default, _aten.index_select.default, _aten.gather.default, _aten.index.Tensor}


class Touched(TorchDispatchMode):
    """Adds up the bytes of every operation's inputs and outputs."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.nbytes = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        read = [t for t in tree_leaves((args, kwargs)) if isinstance(t, Tensor)]
        written = [t for t in tree_leaves(result) if isinstance(t, Tensor)]
        storages = {t.untyped_storage()._cdata for t in read}
        is_view = not func._schema.is_mutable and all(t.untyped_storage()._cdata in storages for t in written)
        if not is_view:
            source = [*written, *read[1:]] if func in _LOOKUPS else read
            self.nbytes += sum(min(t.nbytes, t.untyped_storage().nbytes()) for t in (*source, *written))
        return result


def _convolution_backward(
    gradient: Sequence[int], entered: Sequence[int], weight: Sequence[int], *more: Any, **_: Any
) -> int:
    """Each of the two gradients costs what the forward pass did, whatever the groups."""
    transposed, wanted = more[4], more[7]
    forward = conv_flop_count(entered, weight, gradient, transposed=transposed)  # type: ignore[arg-type]
    return int(forward) * sum(map(bool, wanted[:2]))


def _attention(q: Sequence[int], k: Sequence[int], v: Sequence[int], *_: Any, **__: Any) -> int:
    return int(sdpa_flop_count(q, k, v))


def _attention_backward(
    gradient: Sequence[int], q: Sequence[int], k: Sequence[int], v: Sequence[int], *_: Any, **__: Any
) -> int:
    return int(sdpa_backward_flop_count(gradient, q, k, v))


_CORRECTED: dict[Any, Any] = {
    _aten.convolution_backward: _convolution_backward,
    _aten._scaled_dot_product_flash_attention_for_cpu: _attention,
    _aten._scaled_dot_product_flash_attention_for_cpu_backward: _attention_backward,
}
