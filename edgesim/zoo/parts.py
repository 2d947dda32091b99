"""What do the parts of a transformer cost? Attention, MLP, norms, embeddings and heads as blocks, in closed form.

Lengths are polynomials as well: ``TOKENS`` is the workload's length, ``always(n)`` is n whatever the workload says. So
one formula serves encoders, decoders of a fixed length, and images.

FLOPs are those of matrix products and convolutions, a multiply-add counting two, as torch's FlopCounterMode. Attention
is the full square of tokens also where it is causal: PyTorch's math attention computes all of it. A fused kernel's
second computation of the scores in the backward pass is not counted.

Stashes are what PyTorch's autograd saves in FP32 when Hugging Face's modules run in training, once per tensor. Left
out is what does not grow with samples: position ids, rotary tables, T5's bucket numbers. With dropout, each dropped
tensor adds a mask of one byte per number, as CUDA's fused dropout saves it (on the CPU PyTorch saves floats instead).

Bytes touched are what every operation of these modules reads and writes, as if no cache kept anything: a matrix product
its two sides and its result, weights once forward and, with their gradients, twice backward.
"""

from enum import StrEnum

from edgesim.model import Block, BlockKind, Cost, SplitBy
from edgesim.units import BYTES_PER_FLOAT32

TOKENS = Cost(per_token=1.0)
"""As many tokens as the workload says."""
EMBEDDING = "embedding"
"""The layer that tied parameters are counted in."""
_BYTES_PER_ID = 8  # int64
_NOTHING = Cost()


def always(tokens: int) -> Cost:
    """A length that no workload changes."""
    return Cost(per_sample=tokens)


def pairs(queries: Cost, keys: Cost) -> Cost:
    """The product of two lengths: how many scores there are per head."""
    return Cost(
        per_sample=queries.per_sample * keys.per_sample,
        per_token=queries.per_sample * keys.per_token + queries.per_token * keys.per_sample,
        per_token_squared=queries.per_token * keys.per_token,
    )


class Activation(StrEnum):
    """What stands between an MLP's matrices; ``GELU_NEW`` is GPT-2's, written in Python; ``SWIGLU`` is gated."""

    GELU = "gelu"
    GELU_NEW = "gelu_new"
    RELU = "relu"
    SWIGLU = "swiglu"


# Tensors of one number per column that are saved: for the activation's own gradient; only for the weights behind it.
# GELU: its input; its output. GELU_NEW: x, tanh(..), x/2 and 1 + tanh(..); its output. ReLU: its output, which both
# need. SwiGLU: the gate's input and output, and the other factor; the product.
_KEPT = {Activation.GELU: (1, 1), Activation.GELU_NEW: (4, 1), Activation.RELU: (1, 0), Activation.SWIGLU: (3, 1)}
# Numbers per column that the activation reads and writes, forward and backward.
_MOVED = {Activation.GELU: (2, 3), Activation.GELU_NEW: (17, 21), Activation.RELU: (2, 3), Activation.SWIGLU: (5, 9)}


def floats(numbers: Cost) -> Cost:
    """Bytes of so many FP32 numbers."""
    return numbers * BYTES_PER_FLOAT32


def block(
    name: str,
    kind: BlockKind,
    *,
    parameters: int,
    output: Cost,
    stash: Cost,
    split_by: SplitBy,
    splits: int = 0,
    weights: Cost = _NOTHING,
    moved: Cost,
    moved_back: Cost,
    scores: Cost = _NOTHING,
    weight_stash: Cost = _NOTHING,
    tied: int = 0,
    tied_to: str = "",
    lookup: bool = False,
) -> Block:
    """Fill in what follows from the rest.

    ``moved`` and ``moved_back`` are the numbers that the passes read and write beside weights; a ``lookup`` reads none
    of its table, and writes all of the table's gradient.

    ``weights`` and ``scores`` are the FLOP of products with weights and of activations with one another: the gradient
    of a product's either side costs as much as the product. ``parameters``, ``tied`` and ``output`` are numbers,
    stashes are bytes.
    """
    output_bytes, forward = floats(output), weights + scores
    held = Cost(fixed=parameters + tied)
    return Block(
        name=name, kind=kind, forward_flop=forward, backward_flop=forward * 2,
        forward_bytes=floats(moved if lookup else moved + held),
        backward_bytes=floats(moved_back + held * (1 if lookup else 2)), parameter_bytes=parameters * BYTES_PER_FLOAT32,
        output_bytes=output_bytes, stash_bytes=stash, split_by=split_by, splits=splits,
        weight_flop=weights, weight_stash_bytes=weight_stash, score_flop=scores,
        tied_bytes=tied * BYTES_PER_FLOAT32, tied_to=tied_to,
    )  # fmt: skip


def attention(
    *,
    hidden: int,
    heads: int,
    head_size: int,
    name: str = "attention",
    groups: int | None = None,
    queries: Cost = TOKENS,
    keys: Cost | None = None,
    biases: bool = True,
    fused: bool = True,
    dropout: bool = False,
    more_parameters: int = 0,
    positions: bool = False,
) -> Block:
    """Multi-head attention; with ``keys`` from elsewhere it is cross-attention, with ``groups`` heads share K and V.

    FLOP, for q queries and k keys: ``4 q h i + 4 k h g`` with weights (i, g: all heads' and groups' width), and
    ``4 q k i`` for Q Kᵀ and P V. A split takes whole groups.

    Saved: the input(s), for the weights; Q, K, V; the heads' output. Fused kernels need that output themselves, with a
    log-sum-exp per head and query; they draw dropped scores anew. Otherwise the output is for the weights, and the
    probabilities are saved; with dropout also their mask and the probabilities that are left. With dropout of what
    attention puts out: its mask.
    """
    groups, crossed = groups or heads, keys is not None
    keys = keys or queries
    width, shared, scores = heads * head_size, groups * head_size, pairs(queries, keys)
    entered = queries * hidden + (keys * hidden if crossed else _NOTHING)
    moved, moved_back = _attention_moves(
        hidden, width, shared, queries, keys, scores * heads,
        crossed=crossed, biases=biases, fused=fused, dropout=dropout, positions=positions,
    )  # fmt: skip
    if fused:
        kept, for_weights, masks = queries * (width + heads), entered, _NOTHING
    else:
        kept, for_weights = scores * (heads * (2 if dropout else 1)), entered + queries * width
        masks = scores * heads if dropout else _NOTHING
    return block(
        name, BlockKind.ATTENTION,
        parameters=2 * hidden * (width + shared) + (width + 2 * shared + hidden) * biases + more_parameters,
        output=queries * hidden,
        stash=floats(for_weights + kept + queries * width + keys * (2 * shared))
        + masks + (queries * hidden if dropout else _NOTHING),
        split_by=SplitBy.HEADS, splits=groups,
        weights=queries * (4 * hidden * width) + keys * (4 * hidden * shared), scores=scores * (4 * width),
        weight_stash=floats(for_weights), moved=moved, moved_back=moved_back,
    )  # fmt: skip


def _attention_moves(
    hidden: int, width: int, shared: int, queries: Cost, keys: Cost, scores: Cost,
    *, crossed: bool, biases: bool, fused: bool, dropout: bool, positions: bool,
) -> tuple[Cost, Cost]:  # fmt: skip
    """Numbers that attention reads and writes, forward and backward, beside weights; ``scores`` are of all heads.

    Four projections: both sides of each, backward for either gradient; the input's gradients are added up. A fused
    kernel reads Q, K and V and writes its output; backward it reads these and a gradient, writes three. Otherwise Q,
    K, V and the output are copied into place, and scores are written, scaled, made probabilities and read, and so back.
    ``positions`` are added to the scores, or with a fused kernel turn Q and K, in Python.
    """
    there = queries * (2 * hidden + 2 * width) + keys * (2 * hidden + 2 * shared)
    back = there * 2 + (keys if crossed else queries) * (6 * hidden)
    if biases:
        back = back + queries * (width + hidden) + keys * (2 * shared)
    if dropout:
        there, back = there + queries * (2.25 * hidden), back + queries * (2.25 * hidden)
    if fused:
        # Q and K by their positions: halves swapped and one negated, two products, a sum; counted both ways.
        turned = queries * width + keys * shared if positions else _NOTHING
        there = there + queries * (2 * width) + keys * (2 * shared) + turned * 14
        return there, back + queries * (4 * width) + keys * (4 * shared) + turned * 14
    copies = queries * (2 * width) + keys * (2 * shared)
    dropped = 2.25 if dropout else 0.0  # read, written, and a mask of a byte
    moved = there + copies * 3 + scores * (6 + 2 * positions + dropped)
    return moved, back + copies * 4 + scores * (9 + positions + dropped)


def mlp(
    *,
    hidden: int,
    columns: int,
    activation: Activation,
    length: Cost = TOKENS,
    biases: bool = True,
    dropout: bool = False,
    inner_dropout: bool = False,
) -> Block:
    """Two matrices, or three where the activation is gated: ``2 h f`` FLOP each per token.

    Saved: the input, for the weights, and what the activation's table above says. Dropout behind the last matrix adds
    its mask; ``inner_dropout``, behind the activation, adds its mask and what it leaves, in place of the activation's
    output unless the activation needs that itself.
    """
    matrices = 3 if activation is Activation.SWIGLU else 2
    own, behind = _KEPT[activation]
    for_weights = length * hidden + length * (columns * (1 if inner_dropout else behind))
    masks = length * (hidden * dropout + columns * inner_dropout)
    there, back = _MOVED[activation]
    dropped = 2.25 * (hidden * dropout + columns * inner_dropout)
    return block(
        "mlp", BlockKind.MLP, parameters=matrices * hidden * columns + ((matrices - 1) * columns + hidden) * biases,
        output=length * hidden, stash=floats(for_weights + length * (columns * own)) + masks,
        split_by=SplitBy.COLUMNS, splits=columns,
        weights=length * (2 * matrices * hidden * columns), weight_stash=floats(for_weights),
        moved=length * (matrices * (hidden + columns) + there * columns + dropped),
        moved_back=length * (
            2 * matrices * (hidden + columns) + back * columns + dropped
            + biases * ((matrices - 1) * columns + hidden) + (3 * hidden if matrices > 2 else 0)
        ),
    )  # fmt: skip


def layer_norm(name: str, *, hidden: int, length: Cost = TOKENS) -> Block:
    """Residual add and layer norm. Saved: its input, and mean and deviation per token."""
    return block(
        name, BlockKind.CONNECTIVE, parameters=2 * hidden, output=length * hidden,
        stash=floats(length * (hidden + 2)), split_by=SplitBy.TOKENS,
        moved=length * (5 * hidden), moved_back=length * (6 * hidden),
    )  # fmt: skip


def rms_norm(name: str, *, hidden: int, length: Cost = TOKENS, dropout: bool = False) -> Block:
    """Residual add and RMS norm, in Python. Saved: its input, one root per token, and, for the weight, the quotient."""
    return block(
        name, BlockKind.CONNECTIVE, parameters=hidden, output=length * hidden,
        stash=floats(length * (2 * hidden + 1)) + (length * hidden if dropout else _NOTHING),
        split_by=SplitBy.TOKENS, weight_stash=floats(length * hidden),
        moved=length * ((10 + 2.25 * dropout) * hidden), moved_back=length * ((26 + 2.25 * dropout) * hidden),
    )  # fmt: skip


def embedding(
    *,
    hidden: int,
    rows: int,
    length: Cost = TOKENS,
    ids: int = 1,
    norm: bool = False,
    dropout: bool = False,
    tied_rows: int = 0,
) -> Block:
    """Tables of so many ``rows``, looked up and added; a layer norm behind where ``norm``.

    ``tied_rows`` more are those of the layer ``embedding``.

    Saved: ``ids`` ids per token (positions count where each sample has its own), for the weights; the norm's input with
    two statistics; the dropout's mask.
    """
    saved_ids = length * (ids * _BYTES_PER_ID)
    saved = floats(length * (hidden + 2)) if norm else _NOTHING
    return block(
        EMBEDDING, BlockKind.EMBEDDING, parameters=rows * hidden + 2 * hidden * norm, output=length * hidden,
        stash=saved_ids + saved + (length * hidden if dropout else _NOTHING), split_by=SplitBy.TOKENS,
        weight_stash=saved_ids, tied=tied_rows * hidden, tied_to=EMBEDDING if tied_rows else "", lookup=True,
        moved=length * ((2 * ids + 2 * norm + 2.25 * dropout) * hidden),
        moved_back=length * ((ids + 3 * norm + 2.25 * dropout) * hidden),
    )  # fmt: skip


def language_head(*, hidden: int, vocabulary: int, tied: bool, length: Cost = TOKENS) -> Block:
    """A matrix onto the vocabulary, and cross-entropy. Saved: the input, for the weights, and the log-probabilities."""
    matrix = hidden * vocabulary
    return block(
        "head", BlockKind.HEAD, parameters=0 if tied else matrix, output=length * vocabulary,
        stash=floats(length * (hidden + vocabulary)), split_by=SplitBy.COLUMNS, splits=vocabulary,
        weights=length * (2 * matrix), weight_stash=floats(length * hidden),
        # Cross-entropy makes log-probabilities of the logits, and backward a gradient of both.
        moved=length * (hidden + 3 * vocabulary), moved_back=length * (2 * hidden + 7 * vocabulary),
        tied=matrix if tied else 0, tied_to=EMBEDDING if tied else "",
    )  # fmt: skip


def at_least_one(name: str, **counts: int) -> None:
    """Raise ValueError for a count below one."""
    for what, count in counts.items():
        if count < 1:
            raise ValueError(f"{name}: {what} must be at least 1, got {count}")


def head_size_of(name: str, *, hidden: int, heads: int) -> int:
    """Columns per head. Raises ValueError if the heads do not divide the hidden size."""
    if hidden % heads:
        raise ValueError(f"{name}: hidden={hidden} is no multiple of heads={heads}")
    return hidden // heads
