"""What does an MLP cost? Matrices onto its columns, an activation, and the matrix back."""

from dataclasses import dataclass

from edgesim.model import Block, BlockKind, Cost, SplitBy
from edgesim.since_3_11 import StrEnum
from edgesim.zoo.parts.costs import DROPPED, TOKENS, PartCosts, Split, TransformerWidths, block, floats, joined
from edgesim.zoo.parts.exit_product import ExitProduct


class Activation(StrEnum):
    """What stands between an MLP's matrices; ``GELU_NEW`` is GPT-2's, written in Python.

    ``SWIGLU`` and ``GEGLU_NEW`` are gated: one of two matrices' outputs, behind SiLU or ``GELU_NEW``, times the other.
    A gate of one fused kernel, such as GELU by tanh, costs what SiLU does.
    """

    GELU = "gelu"
    GELU_NEW = "gelu_new"
    RELU = "relu"
    SWIGLU = "swiglu"
    GEGLU_NEW = "geglu_new"

    @property
    def gated(self) -> bool:
        """Whether two matrices lead onto the columns."""
        return self in (Activation.SWIGLU, Activation.GEGLU_NEW)


# Tensors of one number per column that are saved: for the activation's own gradient; only for the weights behind it.
# GELU: its input; its output. GELU_NEW: x, tanh(..), x/2 and 1 + tanh(..); its output. ReLU: its output, which both
# need. Gated: what the gate keeps, its output, and the other factor; the product.
_KEPT = {
    Activation.GELU: (1, 1),
    Activation.GELU_NEW: (4, 1),
    Activation.RELU: (1, 0),
    Activation.SWIGLU: (3, 1),
    Activation.GEGLU_NEW: (6, 1),
}
# Numbers per column that the activation reads and writes, forward and backward, a gate's product among them.
_MOVED = {
    Activation.GELU: (2, 3),
    Activation.GELU_NEW: (17, 21),
    Activation.RELU: (2, 3),
    Activation.SWIGLU: (5, 9),
    Activation.GEGLU_NEW: (21, 34),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class MlpStyle:
    """How a library writes an MLP.

    Attributes:
        dropout: whether what it puts out is dropped.
        inner_dropout: whether what the activation puts out is dropped.
    """

    activation: Activation
    biases: bool = True
    dropout: bool = False
    inner_dropout: bool = False


def mlp(widths: TransformerWidths, style: MlpStyle, length: Cost = TOKENS) -> Block:
    """Return an MLP of two matrices, or three where the activation is gated: ``2 h f`` FLOP each per token.

    Its parts are the matrix or matrices onto the columns with the activation, and the matrix back. Each rank reads the
    input, and writes an output, in full.
    """
    split = Split(by=SplitBy.COLUMNS, units=widths.columns)
    behind = 1 if style.inner_dropout else _KEPT[style.activation][1]
    back = ExitProduct(
        inner=widths.columns,
        hidden=widths.hidden,
        length=length,
        biases=style.biases,
        dropout=style.dropout,
        kept=length * (widths.columns * behind),
    )
    return joined("mlp", _onto_columns(widths, style, length, split), back.block("mlp.out", BlockKind.MLP, split))


def _onto_columns(widths: TransformerWidths, style: MlpStyle, length: Cost, split: Split) -> Block:
    """Saved: the input, for the weights; what the activation's table above says; a mask of what is dropped.

    What the activation, or the dropout behind it, leaves for the next matrix is among what that one saves.
    """
    hidden, columns, biases, dropout = widths.hidden, widths.columns, style.biases, style.inner_dropout
    matrices = 2 if style.activation.gated else 1
    (own, _), (there, back) = _KEPT[style.activation], _MOVED[style.activation]
    made, read, dropped = length * (matrices * columns), length * (matrices * hidden), DROPPED * columns * dropout
    summed = length * (3 * hidden if matrices > 1 else 0)
    entered = floats(length * hidden)
    costs = PartCosts(
        parameters=matrices * columns * (hidden + biases),
        output=length * columns,
        stash=entered + floats(length * (columns * own)) + length * (columns * dropout),
        weight_stash=entered,
        weights=made * (2 * hidden),
        moved=read + made + length * (there * columns + dropped),
        moved_back=(read + made) * 2 + length * (back * columns + dropped) + made * biases + summed,
    )
    alike = PartCosts(stash=entered, weight_stash=entered, moved=read, moved_back=read * 2 + summed)
    return block("mlp.in", BlockKind.MLP, split, costs, alike)
