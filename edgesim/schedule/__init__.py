"""When does each rank do what? The score that the simulator and the runtime both play; it holds no seconds.

A task starts when its ``needs`` are done and its stream is free. A rank has one compute stream, one disk stream, and
for every peer and channel one stream per direction: what one connection carries, in order. A message starts when its
send and its receive are both ready (rendezvous); a collective starts when all its members are.

Tasks print as ``2F0@1``: stage 2, forward of micro-batch 0, on rank 1. Roughly, on a stage's module and its tensors:

    F         outputs[m] = module(inputs[m])
    B         input_gradients[m] = backward(outputs[m], output_gradients[m])
    RECOMPUTE the same forward once more, whose F kept nothing but its input: what B needs is there again
    UPDATE    optimiser step over the stage's parameters
    SEND      the peer's RECV gets samples a:b of a tensor
    RECV      samples a:b of a tensor arrive from the peer
    ALL_REDUCE, ALL_GATHER, REDUCE_SCATTER   over all peers, in ring order
    CACHE_READ, CACHE_WRITE                  activations from and to disk
    COMMIT    all peers have their gradients of this iteration, and may update (edgesim/job)
"""

from edgesim.schedule.columns import NONE, TaskColumns
from edgesim.schedule.graph import Graph
from edgesim.schedule.kind import (
    COLLECTIVE,
    COMPUTE,
    COMPUTE_STREAM,
    DISK,
    MEETING,
    MESSAGE,
    Channel,
    Kind,
    Op,
    Payload,
    Peers,
    Stream,
    StreamKind,
)
from edgesim.schedule.kind_table import KindTable
from edgesim.schedule.recurrence import Recurrence
from edgesim.schedule.schedule import Schedule
from edgesim.schedule.task import Task
from edgesim.schedule.text import task_from_text, task_to_text

__all__ = [
    "COLLECTIVE",
    "COMPUTE",
    "COMPUTE_STREAM",
    "DISK",
    "MEETING",
    "MESSAGE",
    "NONE",
    "Channel",
    "Graph",
    "Kind",
    "KindTable",
    "Op",
    "Payload",
    "Peers",
    "Recurrence",
    "Schedule",
    "Stream",
    "StreamKind",
    "Task",
    "TaskColumns",
    "task_from_text",
    "task_to_text",
]
