"""How many micro-batches are in flight? The depth of a stage, by what GPipe, 1F1B and Asteroid say."""

from edgesim.since_3_11 import StrEnum


class Depth(StrEnum):
    """How many micro-batches a stage forwards before its first backward."""

    GPIPE = "gpipe"
    ONE_F_ONE_B = "one_f_one_b"
    ASTEROID = "asteroid"


def in_flight(depth: Depth, *, stage: int, stages: int, micro_batches: int) -> int:
    """Return the warm-up depth K_p of stage p of P, which is never more than the M micro-batches.

    GPipe: M (Huang et al., 2019). 1F1B: P - p (PipeDream-Flush, Narayanan et al., 2021). Asteroid: 2(P - p) - 1
    (arXiv 2408.08015: communication steps count as pipeline slots).
    """
    depths = {Depth.GPIPE: micro_batches, Depth.ONE_F_ONE_B: stages - stage, Depth.ASTEROID: 2 * (stages - stage) - 1}
    return min(depths[Depth(depth)], micro_batches)
