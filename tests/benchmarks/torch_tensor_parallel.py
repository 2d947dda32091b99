"""PyTorch's own tensor parallelism on BERT-like layers: one rank as a process that times forward passes when told.

``python torch_tensor_parallel.py RANK WORLD STORE INTERFACE LAYERS HIDDEN HEADS COLUMNS SAMPLES TOKENS``; a line on
its standard input asks for so many passes, a line of JSON answers with each one's start and end on the monotonic clock.
"""

import json
import os
import sys
import time
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor.parallel import ColwiseParallel, RowwiseParallel, parallelize_module
from torch.nn import functional

from real_runtime.playing.freed_memory import keep_freed_memory

PLAN = {
    **dict.fromkeys(("query", "key", "value", "inner"), ColwiseParallel),
    **dict.fromkeys(("out", "outer"), RowwiseParallel),
}


class Layer(nn.Module):
    """Attention and MLP, post-norm, as BERT has them; a rank's heads follow from its columns of Q, K and V."""

    def __init__(self, hidden: int, heads: int, columns: int) -> None:
        super().__init__()
        self.head_size = hidden // heads
        self.query, self.key, self.value = (nn.Linear(hidden, hidden) for _ in range(3))
        self.out, self.norm_attention = nn.Linear(hidden, hidden), nn.LayerNorm(hidden)
        self.inner, self.outer = nn.Linear(hidden, columns), nn.Linear(columns, hidden)
        self.norm_mlp = nn.LayerNorm(hidden)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (
            matrix(x).unflatten(-1, (-1, self.head_size)).transpose(1, 2)
            for matrix in (self.query, self.key, self.value)
        )
        context = functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
        x = self.norm_attention(x + self.out(context))
        return self.norm_mlp(x + self.outer(functional.gelu(self.inner(x))))


def main(rank: int, world: int, store: str, interface: str, *sizes: int) -> None:
    """Join the others, cut the layers, and answer until the input ends."""
    layers, hidden, heads, columns, samples, tokens = sizes
    os.environ["GLOO_SOCKET_IFNAME"] = interface
    torch.set_num_threads(1)
    keep_freed_memory()  # as our ranks do
    dist.init_process_group(
        "gloo", init_method=f"file://{store}", rank=rank, world_size=world, timeout=timedelta(seconds=60)
    )
    mesh = init_device_mesh("cpu", (world,))
    torch.manual_seed(0)
    model = nn.Sequential(*(Layer(hidden, heads, columns) for _ in range(layers))).eval()
    for layer in model:
        parallelize_module(layer, mesh, {name: style() for name, style in PLAN.items()})
    x = torch.randn(samples, tokens, hidden)
    print("ready", flush=True)
    with torch.no_grad():
        for line in sys.stdin:
            times = []
            for _ in range(int(line)):
                dist.barrier()
                start_s = time.monotonic()
                model(x)
                times.append((start_s, time.monotonic()))
            print(json.dumps(times), flush=True)
    dist.destroy_process_group()


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4], *map(int, sys.argv[5:]))
