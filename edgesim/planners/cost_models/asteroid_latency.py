"""How long does one iteration of a pipeline take in Asteroid's closed form? The HPP-Round latency of its planner.

In Asteroid (Ye et al., MobiCom 2024, arXiv 2408.08015) an iteration of hybrid pipeline parallelism is an HPP-Round: all
micro-batches of a mini-batch, forwards and backwards, and the all-reduce of the gradients. A pipeline of P stages has
S = 2P - 1 steps: stages that compute, and between them messages. Step s takes ``forward_s`` and ``backward_s`` per
micro-batch, and its stage ``all_reduce_s`` once. With M micro-batches and E = forward + backward:

    waiting      T_w(s) = Σ_{i<s} forward(i)
    dominant     dm, the step with the largest M E(dm) + Σ_{i<dm} E(i): the one with the fewest bubbles, aligned
    execution    T_e(s) = M E(dm) + Σ_{s<=i<dm} E(i),  or  M E(dm) - Σ_{dm<=i<s} E(i) after it
    HPP-Round    T = max over s of T_w(s) + T_e(s) + T_a(s), T_a being the step's all-reduce
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate


@dataclass(frozen=True, slots=True, kw_only=True)
class PipelineStep:
    """A stage, or the message that follows one: seconds per micro-batch, and of its all-reduce per iteration."""

    forward_s: float
    backward_s: float
    all_reduce_s: float = 0.0

    @property
    def both_s(self) -> float:
        """The seconds of one micro-batch's forward and backward pass through the step."""
        return self.forward_s + self.backward_s


def dominant_step(steps: Sequence[PipelineStep], micro_batches: int) -> int:
    """Return the place of the step with the fewest bubbles; the first of equals."""
    before = tuple(accumulate((step.both_s for step in steps), initial=0.0))
    aligned = [micro_batches * step.both_s + before[s] for s, step in enumerate(steps)]
    return aligned.index(max(aligned))


def hpp_round_latency_s(steps: Sequence[PipelineStep], micro_batches: int) -> float:
    """Return the seconds of one iteration of these steps: an HPP-Round of so many micro-batches."""
    before = tuple(accumulate((step.both_s for step in steps), initial=0.0))
    waiting = tuple(accumulate((step.forward_s for step in steps), initial=0.0))
    dm = dominant_step(steps, micro_batches)
    # T_e(s) = M E(dm) + Σ_{s<=i<dm} E(i): the negative sums after the dominant step are the same difference.
    return max(
        waiting[s] + micro_batches * steps[dm].both_s + before[dm] - before[s] + step.all_reduce_s
        for s, step in enumerate(steps)
    )
