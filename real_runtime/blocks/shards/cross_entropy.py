"""What is the loss where every rank holds the logits of its own words only? Two numbers per token from each suffice.

Logits are [samples, tokens, own vocabulary]; ``first`` is the vocabulary's first own word. Megatron-LM (Shoeybi et
al., 2019, section 3) does the same with three all-reduces.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from real_runtime.models.language import IGNORED


def _own_target(logits: Tensor, targets: Tensor, first: int) -> tuple[Tensor, Tensor]:
    """[samples, tokens]: whether the label is a word of this rank's, and its place here (0 where it is not)."""
    place = targets - first
    here = (targets != IGNORED) & (place >= 0) & (place < logits.shape[-1])
    return here, place.where(here, 0)


@torch.no_grad()
def statistics(logits: Tensor, targets: Tensor, first: int) -> Tensor:
    """[samples, tokens, 2]: the log-sum-exp of the own logits, and the label's own logit.

    The latter is 0 where the label is another rank's word or IGNORED, so that the ranks' sum is the label's logit.
    """
    here, place = _own_target(logits, targets, first)
    label = logits.gather(-1, place[..., None]).squeeze(-1).where(here, 0.0)
    return torch.stack([logits.logsumexp(-1), label], dim=-1)


@torch.no_grad()
def loss_gradient(logits: Tensor, targets: Tensor, first: int, everyone: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """The cross-entropy summed over all labelled tokens, a scalar, and its gradient of the own logits.

    ``everyone`` holds the :func:`statistics` of all ranks for these tokens, the own among them. Neither is divided by
    the number of labels: the caller divides both by what a mean is over. The loss is the same on every rank.
    """
    all_ranks, labelled = torch.stack(list(everyone)), targets != IGNORED
    total, label = all_ranks[..., 0].logsumexp(0), all_ranks[..., 1].sum(0)
    loss = (total - label).where(labelled, 0.0).sum()
    here, place = _own_target(logits, targets, first)
    gradient = (logits - total[..., None]).exp() * labelled[..., None]
    gradient.scatter_add_(-1, place[..., None], -here.to(logits.dtype)[..., None])
    return loss, gradient
