"""How long do many large transfers take that run at once? As long as the busiest network card, or the shared channel.

Latencies and acknowledgements are not counted: these are megabytes. Where rates depend on both ends (radio, pairs), a
rank is taken at the slowest of its links to the others: a transfer is never faster than this says.
"""

from collections.abc import Iterable, Mapping

from edgesim.cluster import Network, Topology


class Transfers:
    """Rates at which the ranks that are there send and receive."""

    def __init__(self, network: Network, ranks: Iterable[int]) -> None:
        self.network, self.ranks = network, tuple(ranks)

    @property
    def shares_air(self) -> bool:
        """Whether all bytes go through one channel."""
        return self.network.topology is Topology.RADIO

    def download_s(self, rank: int) -> float:
        """Return the seconds per byte that the rank receives."""
        if self.network.topology is Topology.SWITCHED:
            return 1 / (self.network.bytes_per_s[1][rank] * self.network.goodput)
        return self._slowest_s((peer, rank) for peer in self.ranks if peer != rank)

    def upload_s(self, rank: int) -> float:
        """Return the seconds per byte that the rank sends."""
        if self.network.topology is Topology.SWITCHED:
            return 1 / (self.network.bytes_per_s[0][rank] * self.network.goodput)
        return self._slowest_s((rank, peer) for peer in self.ranks if peer != rank)

    def _slowest_s(self, pairs: Iterable[tuple[int, int]]) -> float:
        return max((s for a, b in pairs for _, s in self.network.hops(a, b)), default=0.0)

    def seconds(self, received: Mapping[int, float], sent: Mapping[int, float]) -> float:
        """Return the seconds of all transfers, given the bytes that each rank receives and sends."""
        downloads = [nbytes * self.download_s(rank) for rank, nbytes in received.items()]
        if self.shares_air:
            return sum(downloads)
        uploads = [nbytes * self.upload_s(rank) for rank, nbytes in sent.items()]
        return max([0.0, *downloads, *uploads])
