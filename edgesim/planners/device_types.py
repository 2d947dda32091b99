"""Which devices are of one type? Equal ones; or only those that can be swapped, their links being equal too."""

from collections.abc import Callable, Hashable

from edgesim.cluster import Cluster

Types = tuple[tuple[int, ...], ...]  # [type] ranks, rising; types by their first rank


def equal_devices(cluster: Cluster) -> Types:
    """Group the ranks whose devices are equal, wherever they are in the network."""
    return _classes(len(cluster.devices), lambda a, b: cluster.devices[a] == cluster.devices[b])


def interchangeable(cluster: Cluster) -> Types:
    """Group the ranks that can be swapped at no cost: equal devices with equal ways to all others."""
    ranks, network = range(len(cluster.devices)), cluster.network

    def way(source: int, destination: int) -> tuple[float, ...]:
        return (network.latency_s[source][destination], *(s for _, s in network.hops(source, destination)))

    def swappable(a: int, b: int) -> bool:
        if cluster.devices[a] != cluster.devices[b] or way(a, b) != way(b, a):
            return False
        return all(way(a, c) == way(b, c) and way(c, a) == way(c, b) for c in ranks if c not in (a, b))

    return _classes(len(ranks), swappable)


def split(types: Types, label: Callable[[int], Hashable]) -> Types:
    """Split types so that all ranks of one have the same label; ranks labelled None are left out."""
    members_of: dict[tuple[int, Hashable], list[int]] = {}
    for number, members in enumerate(types):
        for rank in members:
            if (of := label(rank)) is not None:
                members_of.setdefault((number, of), []).append(rank)
    return tuple(sorted(map(tuple, members_of.values())))


def _classes(ranks: int, alike: Callable[[int, int], bool]) -> Types:
    """The classes of an equivalence: it is enough to ask the first of each."""
    classes: list[list[int]] = []
    for rank in range(ranks):
        same = next((members for members in classes if alike(members[0], rank)), None)
        if same is None:
            classes.append([rank])
        else:
            same.append(rank)
    return tuple(map(tuple, classes))
