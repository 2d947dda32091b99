"""Which outputs of a frozen backbone does an activation cache keep, and how many bytes are they?

Parallel adapters read the output of the embedding and of every layer (b_0 .. b_L of arXiv 2408.10746): for every token
that the layer works on, a row of as many numbers as the model is wide. A decoder layer keeps its own tokens only: what
the encoder has put out is kept once, as the output of its last layer. Rows are kept in FP32, in FP16, or as whole
numbers of 8 bits with a scale for each row.
"""

from edgesim.model import Layer, Model
from edgesim.since_3_11 import StrEnum
from edgesim.units import BYTES_PER_FLOAT32

SIDE_DOWN = "side_down"
"""The block that reads a frozen layer's output, and maps it to the side network's width."""


class Storage(StrEnum):
    """How the numbers of an output are kept."""

    FP32 = "fp32"
    FP16 = "fp16"
    INT8 = "int8"

    def nbytes(self, *, rows: int, numbers: int) -> int:
        """Return the bytes of so many rows of so many numbers each; 8 bits need a scale in FP32 for every row.

        >>> [storage.nbytes(rows=2, numbers=10) for storage in Storage]
        [80, 40, 28]
        """
        if self is Storage.INT8:
            return rows * (numbers + BYTES_PER_FLOAT32)
        return rows * numbers * (BYTES_PER_FLOAT32 if self is Storage.FP32 else 2)


def kept_rows(model: Model, *, tokens: int) -> tuple[int, ...]:
    """Return, [layer], the rows that are kept of one sample; 0 where no adapter reads the output.

    Raises ValueError for a model without parallel adapters: nothing of it stays the same from epoch to epoch.
    """
    if model.hyper.get("technique") != "parallel_adapters":
        raise ValueError(
            f"{model.name} has no parallel adapters, whose frozen layers a cache is of (choose "
            "finetuning=parallel_adapters, or no cache)"
        )
    width = model.hyper["hidden"] // model.hyper["k"]
    return tuple(_rows(layer, width, tokens) for layer in model.layers)


def kept_bytes(
    model: Model, layers: tuple[int, int], *, samples: int, tokens: int, storage: Storage = Storage.FP32
) -> int:
    """Return the bytes that a cache keeps of samples, of a half-open range of layers."""
    rows = sum(kept_rows(model, tokens=tokens)[slice(*layers)])
    return Storage(storage).nbytes(rows=rows * samples, numbers=int(model.hyper["hidden"]))


def _rows(layer: Layer, width: int, tokens: int) -> int:
    """As many as the side network's map makes, which reads them; where it ends its layer, frozen ones travel beside."""
    maps = (block for block in layer.blocks if block.name == SIDE_DOWN)
    mapped = (block.output_bytes if block.gradient_bytes is None else block.gradient_bytes for block in maps)
    return round(sum(nbytes(1, tokens) for nbytes in mapped) / (width * BYTES_PER_FLOAT32))
