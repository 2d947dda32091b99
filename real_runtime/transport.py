"""How do tensors cross the network? One gloo group per channel, receives posted ahead, a deadline on every wait.

Separate groups keep directions apart: on one group an isend before an irecv serialises both ways. gloo is rendezvous at
every size, and its requests end only by being waited for: every receive stream has its own waiting thread (worker.py).
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from edgesim.ring import ring_steps
from edgesim.schedule import Channel
from real_runtime.pacing import Pacer

# Chunk of a paced message: 5 ms at 100 Mbit/s, many times the timer's overshoot, small against a message.
_CHUNK_SECONDS = 0.005
_MIN_CHUNK_BYTES = 4096


class DeadlineError(Exception):
    """A wait took longer than its deadline."""


class Transport:
    """This rank's connections."""

    def __init__(
        self, *, rank: int, world: int, store: str, interface: str, deadline_s: float, nic_bytes_per_s: float | None
    ) -> None:
        os.environ["GLOO_SOCKET_IFNAME"] = interface
        self.deadline_s = deadline_s
        timeout = timedelta(seconds=deadline_s)
        dist.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=world, timeout=timeout)
        self.groups = {channel: dist.new_group(backend="gloo", timeout=timeout) for channel in Channel}
        self.uplink = None if nic_bytes_per_s is None else Pacer(nic_bytes_per_s)
        self.downlink = None if nic_bytes_per_s is None else Pacer(nic_bytes_per_s)

    def close(self) -> None:
        """Leave all groups."""
        dist.destroy_process_group()

    def barrier(self) -> None:
        """Wait for all ranks. Raises DeadlineError."""
        with self.deadline("all ranks"):
            dist.barrier()

    def gather(self, own: Any) -> list[Any]:
        """[rank] what every rank gave. Raises DeadlineError."""
        everyone: list[Any] = [None] * dist.get_world_size()
        with self.deadline("all ranks"):
            dist.all_gather_object(everyone, own)
        return everyone

    @contextmanager
    def deadline(self, what: str) -> Iterator[None]:
        """Tell gloo's time-out from its other errors, which have the same type."""
        try:
            yield
        except RuntimeError as error:
            if "timed out" in str(error).lower() or "timeout" in str(error).lower():
                raise DeadlineError(f"waited {self.deadline_s:g} s for {what}") from error
            raise

    def chunks(self, tensor: Tensor) -> Iterator[Tensor]:
        """The tensor's pieces on the wire: itself, or paced chunks; both ends cut alike."""
        flat = tensor.reshape(-1)
        if self.uplink is None:
            yield flat
            return
        nbytes = max(_MIN_CHUNK_BYTES, int(self.uplink.bytes_per_s * _CHUNK_SECONDS))
        yield from flat.split(max(1, nbytes // flat.element_size()))

    def send(self, tensor: Tensor, peer: int, channel: Channel, tag: int) -> None:
        """Send and wait until the peer took it; both ends give the same tag. Raises DeadlineError."""
        for chunk in self.chunks(tensor):
            if self.uplink is not None:
                self.uplink.transmit(chunk.nbytes)
            self.wait(dist.isend(chunk, peer, group=self.groups[channel], tag=tag), f"rank {peer} to receive")

    def post_receive(self, tensor: Tensor, peer: int, channel: Channel, tag: int) -> "Receive":
        """Announce where the peer's message with this tag goes."""
        return Receive(self, list(self.chunks(tensor)), peer, channel, tag)

    def wait(self, work: "dist.Work | None", what: str) -> None:
        """Wait within the deadline. Raises DeadlineError."""
        assert work is not None, "gloo gives work for every request of a member"
        with self.deadline(what):
            work.wait(timedelta(seconds=self.deadline_s))

    def all_reduce(self, flat: Tensor, ring: tuple[int, ...], rank: int) -> None:
        """Add up ``flat`` over the ring's members, in place: reduce-scatter, then all-gather, in 2(n-1) steps of 1/n.

        Patarasuk & Yuan, JPDC 2009. Raises DeadlineError.
        """
        n, me = len(ring), ring.index(rank)
        left, right = ring[me - 1], ring[(me + 1) % n]
        parts = list(flat.tensor_split(n))
        spare = torch.empty_like(max(parts, key=len))
        for step in range(ring_steps(n)):
            adding = step < n - 1
            # Reduce-scatter: pass on the part just added to; all-gather: the part just completed.
            out = parts[(me - step) % n] if adding else parts[(me + 1 - (step - (n - 1))) % n]
            into = parts[(me - step - 1) % n] if adding else parts[(me - (step - (n - 1))) % n]
            buffer = spare[: len(into)] if adding else into
            self.exchange(out, right, buffer, left)
            if adding:
                into += buffer

    def exchange(self, out: Tensor, to: int, into: Tensor, source: int) -> None:
        """Send and receive at once on the weights channel, chunk by chunk."""
        group = self.groups[Channel.WEIGHTS]
        outgoing, incoming = list(self.chunks(out)), list(self.chunks(into))
        for i in range(max(len(outgoing), len(incoming))):
            received = dist.irecv(incoming[i], source, group=group) if i < len(incoming) else None
            if i < len(outgoing):
                if self.uplink is not None:
                    self.uplink.transmit(outgoing[i].nbytes)
                self.wait(dist.isend(outgoing[i], to, group=group), f"rank {to} to receive")
            if received is not None:
                self.wait(received, f"rank {source}")
                if self.downlink is not None:
                    self.downlink.receive(incoming[i].nbytes)


class Receive:
    """A receive that was posted ahead; a paced one posts each further chunk when the last has passed the downlink."""

    def __init__(self, transport: Transport, chunks: list[Tensor], peer: int, channel: Channel, tag: int) -> None:
        self.transport, self.chunks, self.peer, self.tag = transport, chunks, peer, tag
        self.group = transport.groups[channel]
        self.first = self.post(chunks[0])

    def post(self, chunk: Tensor) -> "dist.Work | None":
        return dist.irecv(chunk, self.peer, group=self.group, tag=self.tag)

    def wait(self) -> None:
        """Wait until all has arrived. Raises DeadlineError."""
        for i, chunk in enumerate(self.chunks):
            self.transport.wait(self.post(chunk) if i else self.first, f"rank {self.peer}")
            if self.transport.downlink is not None:
                self.transport.downlink.receive(chunk.nbytes)
