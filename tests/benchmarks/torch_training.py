"""PyTorch's own pipeline and data parallelism on our layers and samples: one rank as a process that trains when told.

``python torch_training.py RANK WORLD STORE INTERFACE JOB``, where JOB is JSON (:class:`Asked`); a line on its standard
input asks for so many iterations, a line of JSON answers with each one's start and end on the monotonic clock.
"""

import json
import os
import sys
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from datetime import timedelta
from itertools import pairwise
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.pipelining import PipelineStage, Schedule1F1B
from torch.nn.parallel import DistributedDataParallel

from edgesim.workload import Workload
from edgesim.zoo.bert import bert
from real_runtime.data import DataSpec
from real_runtime.data.samples import Source
from real_runtime.models import architecture, build_layers
from real_runtime.playing.freed_memory import keep_freed_memory
from real_runtime.stages.module import make_optimiser


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What is trained: BERT of these sizes, of which stage s is layers cuts[s] to cuts[s + 1].

    One stage is data parallelism, with gradients in buckets of ``bucket_mib``.
    """

    sizes: dict[str, Any]
    workload: dict[str, Any]
    cuts: list[int]
    bucket_mib: float

    def to_json(self) -> str:
        return json.dumps(asdict(self))


def trainer(asked: Asked, rank: int, world: int) -> Callable[[], None]:
    """What trains one iteration of this rank's part."""
    model, work = bert(**asked.sizes), Workload(**asked.workload)
    source = Source(DataSpec(kind="text"), model, work, 0)
    inputs, targets = source.batch(0)
    stages = list(pairwise(asked.cuts))
    layers = stages[rank] if len(stages) > 1 else stages[0]
    module = build_layers(model, range(*layers), seed=0)
    optimiser = make_optimiser(module.parameters(), work)
    micro_batches = work.batch_samples // work.micro_batch_samples

    def loss_of(output: Tensor, target: Tensor) -> Tensor:
        return architecture(model).loss(model.hyper, work.tokens, output, target) / work.batch_samples

    if len(stages) > 1:
        stage = PipelineStage(module, rank, world, torch.device("cpu"))
        schedule = Schedule1F1B(stage, micro_batches, loss_fn=loss_of, scale_grads=False)
        first, last = rank == 0, rank == world - 1

        def compute() -> None:
            schedule.step(*([inputs] if first else []), target=targets if last else None, return_outputs=False)
    else:
        replica = DistributedDataParallel(module, bucket_cap_mb=asked.bucket_mib)
        own = work.micro_batch_samples // world

        def compute() -> None:
            for m in range(micro_batches):
                start = m * work.micro_batch_samples + rank * own
                rows = slice(start, start + own)
                with nullcontext() if m == micro_batches - 1 else replica.no_sync():
                    # Gradients are averaged there, and added here.
                    (world * loss_of(replica(inputs[rows]), targets[rows])).backward()

    def iteration() -> None:
        compute()
        optimiser.step()
        optimiser.zero_grad()

    return iteration


def main(rank: int, world: int, store: str, interface: str, asked: Asked) -> None:
    """Join the others, and answer until the input ends."""
    os.environ["GLOO_SOCKET_IFNAME"] = interface
    torch.set_num_threads(1)
    keep_freed_memory()  # as our ranks do
    dist.init_process_group(
        "gloo", init_method=f"file://{store}", rank=rank, world_size=world, timeout=timedelta(seconds=120)
    )
    iteration = trainer(asked, rank, world)
    print("ready", flush=True)
    for line in sys.stdin:
        times = []
        for _ in range(int(line)):
            dist.barrier()
            start_s = time.monotonic()
            iteration()
            times.append((start_s, time.monotonic()))
        print(json.dumps(times), flush=True)
    dist.destroy_process_group()


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4], Asked(**json.loads(sys.argv[5])))
