"""What is computed? A chain of layers, each a few blocks whose costs are polynomials in samples and tokens.

FLOPs count a multiply-add as two, as torch's FlopCounterMode does. Bytes are FP32, but those of activations where a
workload says otherwise (:func:`with_activation_bytes`). Transformers are in closed form in
``edgesim.zoo``; other models are traced once into a table (:func:`from_table`).
"""

from edgesim.model.block import CROSS_ATTENTION, Block, BlockKind, Cost, SplitBy, Unsplit, divided
from edgesim.model.layer_table import from_table, model_from_dict, model_to_dict
from edgesim.model.model import Layer, Model
from edgesim.model.precision import with_activation_bytes

__all__ = [
    "CROSS_ATTENTION",
    "Block",
    "BlockKind",
    "Cost",
    "Layer",
    "Model",
    "SplitBy",
    "Unsplit",
    "divided",
    "from_table",
    "model_from_dict",
    "model_to_dict",
    "with_activation_bytes",
]
