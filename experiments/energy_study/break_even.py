"""From which mini-batch on does sequence parallelism send fewer bytes than tensor parallelism? In tokens.

    8 (n-1)/n b s h L  >  4 (n-1)/n b s h L + 2 (n-1)/n W    for b s > W / (2 h L)

bytes on the left of two all-reduces forward and two backward in each of L layers; on the right of gathering K and V
and scattering their gradients, and of one all-reduce of the gradients of W numbers for each mini-batch. The number of
devices falls out.
"""

from edgesim.model import Model

_NUMBER_BYTES = 4


def break_even_tokens(model: Model) -> float:
    """Tokens of a mini-batch. Raises ValueError for a model that is no plain transformer."""
    layers, hidden = model.hyper.get("layers"), model.hyper.get("hidden")
    if not isinstance(layers, int) or not isinstance(hidden, int):
        raise ValueError(
            f"{model.name} is no chain of transformer layers (a model of edgesim.zoo with layers and hidden)"
        )
    parameters = sum(layer.parameter_bytes for layer in model.layers) / _NUMBER_BYTES
    return parameters / (2 * hidden * layers)
