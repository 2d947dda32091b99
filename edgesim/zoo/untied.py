"""What is a model whose layers share no weights any more? Each that read another's weights has a copy of its own.

So a pipeline may part layers that share trained weights. Nobody adds the gradients of copies up: they drift apart.
"""

from dataclasses import replace

from edgesim.model import Block, Model


def untied(model: Model) -> Model:
    """Return the model in which every block owns what it reads.

    The copies count as parameters, and are trained where their block is.
    """
    layers = tuple(replace(layer, blocks=tuple(map(_own, layer.blocks))) for layer in model.layers)
    return replace(model, name=f"{model.name}+full_untied", layers=layers)


def _own(block: Block) -> Block:
    if not block.tied_bytes:
        return block
    return replace(block, parameter_bytes=block.parameter_bytes + block.tied_bytes, tied_bytes=0, tied_to="")
