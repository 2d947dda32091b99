"""How do tensors cross the network? One gloo group per channel, receives posted ahead, a deadline on every wait.

Separate groups keep directions apart: on one group an isend before an irecv serialises both ways. gloo is rendezvous at
every size, and its requests end only by being waited for: every receive stream has its own waiting thread (worker.py).
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import partial

import torch
import torch.distributed as dist
from torch import Tensor
from torch._C._distributed_c10d import PrefixStore, Store
from torch.distributed.distributed_c10d import _world

from edgesim.ring import ring_steps
from edgesim.schedule import Channel
from real_runtime.control.listeners import close_listeners
from real_runtime.other_load.priority import passing_on, serving
from real_runtime.pacing import Pacer

# Chunk of a paced message: 5 ms at 100 Mbit/s, many times the timer's overshoot, small against a message.
_CHUNK_SECONDS = 0.005
_MIN_CHUNK_BYTES = 4096
_LETTERS = 64  # of a hash
_GLOO_FROM_BYTES = 1 << 18  # all-reduces that gloo does by itself


# gloo's own deadlines only poison its connections: whoever watches all ranks ends the run (control/coordinator.py).
_PATIENCE = timedelta(days=30)


class PeerGoneError(Exception):
    """The other end of a connection was closed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Membership:
    """Who this rank is among whom, and the network interface that they use.

    ``generation`` counts how often ranks have been connected anew: those of another one are strangers.
    """

    rank: int
    members: tuple[int, ...]
    interface: str
    generation: int = 0


class Transport:
    """This rank's connections; where a rate is given, its messages are paced to it in both directions."""

    def __init__(self, member: Membership, store: Store, *, nic_bytes_per_s: float | None) -> None:
        os.environ["GLOO_SOCKET_IFNAME"] = member.interface
        self.ranks, self.generation = member.members, member.generation
        self.place = {rank: place for place, rank in enumerate(self.ranks)}  # as the library counts them
        ours = PrefixStore(str(self.generation), store)
        own, many = self.place[member.rank], len(self.ranks)
        with self.typed_errors("all ranks"), serving():
            dist.init_process_group("gloo", store=ours, rank=own, world_size=many, timeout=_PATIENCE)
            self.groups = {channel: dist.new_group(backend="gloo", timeout=_PATIENCE) for channel in Channel}
            dist.barrier()  # now everybody is connected to everybody
        close_listeners()
        self.uplink = None if nic_bytes_per_s is None else Pacer(nic_bytes_per_s)
        self.downlink = None if nic_bytes_per_s is None else Pacer(nic_bytes_per_s)

    def close(self) -> None:
        """Leave all groups."""
        leave_groups()

    def change_rate(self, bytes_per_s: float) -> None:
        """Let paced messages pass at this rate from now on; both ends still cut them as before."""
        for direction in (self.uplink, self.downlink):
            if direction is not None:
                direction.change(bytes_per_s)

    def barrier(self) -> None:
        """Wait for all ranks. Raises PeerGoneError."""
        with self.typed_errors("all ranks"):
            dist.barrier()

    def gather(self, own: str) -> list[str]:
        """[rank] what every rank gave, a text of up to 64 letters; as bytes: nothing that peers send is unpickled."""
        letters = torch.frombuffer(bytearray(own.encode().ljust(_LETTERS)), dtype=torch.uint8)
        if len(letters) != _LETTERS:
            raise ValueError(f"ranks tell each other up to {_LETTERS} letters, got {own!r}")
        everyone = [torch.empty_like(letters) for _ in self.ranks]
        with self.typed_errors("all ranks"):
            dist.all_gather(everyone, letters)
        return [bytes(theirs.tolist()).decode().rstrip() for theirs in everyone]

    @contextmanager
    def typed_errors(self, awaited: str) -> Iterator[None]:
        """Call gloo: before computation, and with types for its errors, which are all RuntimeErrors.

        ``awaited`` says what is waited for within. Raises PeerGoneError, and others as they are.
        """
        try:
            with passing_on():
                yield
        except RuntimeError as error:
            text = str(error).lower()
            if ("closed" in text and "peer" in text) or "reset by peer" in text:
                raise PeerGoneError(f"lost the connection while waiting for {awaited}: {error}") from error
            raise

    def chunks(self, tensor: Tensor) -> Iterator[Tensor]:
        """The tensor's pieces on the wire: itself, or paced chunks; both ends cut alike."""
        flat = tensor.reshape(-1)
        if self.uplink is None:
            yield flat
            return
        nbytes = max(_MIN_CHUNK_BYTES, int(self.uplink.bytes_per_s * _CHUNK_SECONDS))
        yield from torch.split(flat, max(1, nbytes // flat.element_size()))

    def send(self, tensor: Tensor, peer: int, channel: Channel, tag: int) -> None:
        """Send and wait until the peer took it; both ends give the same tag. Raises PeerGoneError."""
        for chunk in self.chunks(tensor):
            if self.uplink is not None:
                self.uplink.transmit(chunk.nbytes)
            self.wait(self.post_send(chunk, peer, channel, tag), f"rank {peer} to receive")

    def post_receive(self, tensor: Tensor, peer: int, channel: Channel, tag: int) -> "Receive":
        """Announce where the peer's message with this tag goes."""
        return Receive(self, list(self.chunks(tensor)), peer, channel, tag)

    def post_send(self, chunk: Tensor, peer: int, channel: Channel, tag: int = 0) -> dist.Work:
        """Begin to send one chunk. Raises PeerGoneError."""
        with self.typed_errors(f"rank {peer} to receive"):
            work = dist.isend(chunk, self.place[peer], group=self.groups[channel], tag=tag)
        assert work is not None, "gloo gives work for every request of a member"
        return work

    def post_chunk(self, chunk: Tensor, peer: int, channel: Channel, tag: int = 0) -> dist.Work:
        """Announce where one chunk goes. Raises PeerGoneError."""
        with self.typed_errors(f"rank {peer}"):
            work = dist.irecv(chunk, self.place[peer], group=self.groups[channel], tag=tag)
        assert work is not None, "gloo gives work for every request of a member"
        return work

    def wait(self, work: dist.Work, awaited: str) -> None:
        """Wait until it is done. Raises PeerGoneError."""
        with self.typed_errors(awaited):
            work.wait(_PATIENCE)

    def all_reduce(self, flat: Tensor, ring: tuple[int, ...], rank: int) -> None:
        """Add up ``flat`` over the ring's members, in place: reduce-scatter, then all-gather, in 2(n-1) steps of 1/n.

        Patarasuk & Yuan, JPDC 2009. gloo does the same without Python, and so without taking the lock from who
        computes meanwhile, but for all ranks only and at the line's own rate. Where little is added up it is not used,
        so that rings of all ranks and of some take alike, as calibration supposes. Raises PeerGoneError.
        """
        if ring == self.ranks and self.uplink is None and flat.nbytes >= _GLOO_FROM_BYTES:
            with self.typed_errors("all ranks"):
                dist.all_reduce(flat, group=self.groups[Channel.WEIGHTS])
            return
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
        outgoing, incoming = list(self.chunks(out)), list(self.chunks(into))
        for i in range(max(len(outgoing), len(incoming))):
            received = self.post_chunk(incoming[i], source, Channel.WEIGHTS) if i < len(incoming) else None
            if i < len(outgoing):
                if self.uplink is not None:
                    self.uplink.transmit(outgoing[i].nbytes)
                self.wait(self.post_send(outgoing[i], to, Channel.WEIGHTS), f"rank {to} to receive")
            if received is not None:
                self.wait(received, f"rank {source}")
                if self.downlink is not None:
                    self.downlink.receive(incoming[i].nbytes)


def leave_groups() -> None:
    """Leave all groups that this process is in, also such as never came up.

    The library names a group by how many it has counted, and leaves one that never came up in its count: who joined
    in vain would look for the next groups under other names than its peers, for ever.
    """
    if dist.is_initialized():
        dist.destroy_process_group()
    _world.group_count = 0


class Receive:
    """A receive that was posted ahead; a paced one posts each further chunk when the last has passed the downlink."""

    def __init__(self, transport: Transport, chunks: list[Tensor], peer: int, channel: Channel, tag: int) -> None:
        self.transport, self.chunks = transport, chunks
        self.post = partial(transport.post_chunk, peer=peer, channel=channel, tag=tag)
        self.awaited = f"rank {peer}"
        self.first = self.post(chunks[0])

    def wait(self) -> None:
        """Wait until all has arrived. Raises PeerGoneError."""
        for i, chunk in enumerate(self.chunks):
            self.transport.wait(self.post(chunk) if i else self.first, self.awaited)
            if self.transport.downlink is not None:
                self.transport.downlink.receive(chunk.nbytes)
