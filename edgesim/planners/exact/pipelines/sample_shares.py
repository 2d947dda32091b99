"""In which ways can a group share a micro-batch, and which of them does no plan need?"""

from collections.abc import Sequence
from itertools import product

import numpy as np
from numpy.typing import NDArray

from edgesim.planners.exact.pipelines.candidate_links import Floats, Ints


def minimal_shares(total: int, replicas: Sequence[int]) -> Ints:
    """[way, kind] the largest share of a replica of each kind, in all ways to share that no other way is below.

    >>> minimal_shares(4, [1, 2]).tolist()
    [[1, 2], [2, 1]]
    """
    *first, last = replicas
    minimal: list[tuple[int, ...]] = []
    for shares in product(range(1, total + 1), repeat=len(first)):
        left = total - sum(n * share for n, share in zip(first, shares, strict=True))
        most = (*shares, max(1, -(-left // last)))
        covered = sum(n * share for n, share in zip(replicas, most, strict=True))
        if all(share == 1 or covered - n < total for n, share in zip(replicas, most, strict=True)):
            minimal.append(most)
    return np.array(sorted(set(minimal)), dtype=np.int64).reshape(-1, len(replicas))


def beaten(kept: NDArray[np.bool_], forward: Floats, backward: Floats, links_s: Floats) -> NDArray[np.bool_]:
    """[split, range] splits that another one which is kept is never slower than."""
    if len(kept) == 1:
        return np.zeros_like(kept)
    both = np.where(kept, forward + backward, np.inf)
    order = np.argsort(np.where(kept, links_s, np.inf), axis=0, kind="stable")
    sorted_both = np.take_along_axis(both, order, axis=0)
    best_before = np.minimum.accumulate(sorted_both, axis=0)
    beaten = np.zeros_like(kept)
    later = np.zeros_like(kept)
    later[1:] = sorted_both[1:] >= best_before[:-1]
    np.put_along_axis(beaten, order, later, axis=0)
    fastest = np.argmin(np.where(beaten, np.inf, both), axis=0)
    where = np.arange(kept.shape[1])
    saved_s = links_s[fastest, where] - links_s
    lost_s = forward - forward[fastest, where]
    slower = lost_s >= saved_s
    slower[fastest, where] = False
    either: NDArray[np.bool_] = beaten | slower
    return either
