"""What is trained, where must gradients travel, and what is kept for them? Techniques as functions from Model to Model.

In the backward pass a block computes the gradients of its weights if they are trained, and the gradient of its input if
anything before it is trained. What it keeps from the forward pass follows: ``weight_flop`` and ``weight_stash_bytes``
fall away with the first, everything with both.

    full               everything is trained
    houlsby            a bottleneck after attention and after the MLP (Houlsby et al., 2019)
    lora               low-rank matrices beside those of Q and V (Hu et al., 2021)
    parallel_adapters  a side network of 1/k of all sizes, fed by the outputs of the frozen layers (arXiv 2408.10746)
"""

from dataclasses import replace

from edgesim.finetuning.beside_matrices import houlsby, lora
from edgesim.finetuning.gradients import passing, resting, with_gradients
from edgesim.finetuning.side_network import cached, parallel_adapters
from edgesim.model import Model

__all__ = ["cached", "full", "houlsby", "lora", "parallel_adapters", "passing", "resting", "with_gradients"]


def full(model: Model, *, exchange_ties: bool = False) -> Model:
    """Return the model as it is: every parameter is trained.

    Weights that layers share keep these in one stage, unless they ``exchange_ties``: then every stage that has some of
    these layers holds and trains a copy, and a strategy adds up its gradients with the others'.
    """
    if not exchange_ties:
        return model
    return replace(
        model,
        layers=tuple(
            replace(layer, blocks=tuple(replace(part, tied_exchanged=bool(part.tied_bytes)) for part in layer.blocks))
            for layer in model.layers
        ),
    )
