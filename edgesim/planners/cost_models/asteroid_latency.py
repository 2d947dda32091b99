"""How long does one round of a pipeline take? The closed form of Asteroid (arXiv 2408.08015), over steps.

A pipeline of P stages has S = 2P - 1 steps: stages that compute, and between them messages. Step s takes ``forward_s``
and ``backward_s`` per micro-batch, and its stage ``all_reduce_s`` once. With E = forward + backward:

    waiting      T_w(s) = Σ_{i<s} forward(i)
    dominant     dm, the step with the largest M E(dm) + Σ_{i<dm} E(i): the one with the fewest bubbles, aligned
    execution    T_e(s) = M E(dm) + Σ_{s<=i<dm} E(i),  or  M E(dm) - Σ_{dm<=i<s} E(i) behind it
    round        T = max over s of T_w(s) + T_e(s) + T_a(s)
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A stage, or the message behind one: seconds per micro-batch, and of the gradients' all-reduce per round."""

    forward_s: float
    backward_s: float
    all_reduce_s: float = 0.0

    @property
    def both_s(self) -> float:
        """A micro-batch's way there and back."""
        return self.forward_s + self.backward_s


def dominant(steps: Sequence[Step], micro_batches: int) -> int:
    """The step with the fewest bubbles; the first of equals."""
    before = tuple(accumulate((step.both_s for step in steps), initial=0.0))
    aligned = [micro_batches * step.both_s + before[s] for s, step in enumerate(steps)]
    return aligned.index(max(aligned))


def round_s(steps: Sequence[Step], micro_batches: int) -> float:
    """Seconds of one round: of all micro-batches of a mini-batch."""
    before = tuple(accumulate((step.both_s for step in steps), initial=0.0))
    waiting = tuple(accumulate((step.forward_s for step in steps), initial=0.0))
    dm = dominant(steps, micro_batches)
    # T_e(s) = M E(dm) + Σ_{s<=i<dm} E(i): negative sums behind the dominant step are the same difference.
    return max(
        waiting[s] + micro_batches * steps[dm].both_s + before[dm] - before[s] + step.all_reduce_s
        for s, step in enumerate(steps)
    )
