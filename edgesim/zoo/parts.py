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

from dataclasses import fields, replace
from enum import StrEnum
from typing import Any

from edgesim.apportion import refuse_remainder
from edgesim.model import Block, BlockKind, Cost, SplitBy, Unsplit
from edgesim.units import BYTES_PER_FLOAT32

TOKENS = Cost(per_token=1.0)
"""As many tokens as the workload says."""
KEYS = Cost(per_key=1.0)
"""As many keys as these tokens look at: their own number, unless a rank computes fewer than it sees."""
EMBEDDING = "embedding"
"""The layer that tied parameters are counted in."""
_BYTES_PER_ID = 8  # int64
_NOTHING = Cost()
_ALL_SPLIT = Unsplit()


def always(tokens: int) -> Cost:
    """A length that no workload changes."""
    return Cost(per_sample=tokens)


def pairs(queries: Cost, keys: Cost) -> Cost:
    """The product of two lengths, the second of ``KEYS`` or not of: how many scores there are per head."""
    return Cost(
        per_sample=queries.per_sample * keys.per_sample,
        per_token=queries.per_sample * keys.per_token + queries.per_token * keys.per_sample,
        per_key=queries.per_sample * keys.per_key,
        per_token_squared=queries.per_token * (keys.per_token + keys.per_key),
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
    unsplit: Unsplit = _ALL_SPLIT,
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
        name=name,
        kind=kind,
        forward_flop=forward,
        backward_flop=forward * 2,
        forward_bytes=floats(moved if lookup else moved + held),
        backward_bytes=floats(moved_back + held * (1 if lookup else 2)),
        parameter_bytes=parameters * BYTES_PER_FLOAT32,
        output_bytes=output_bytes,
        stash_bytes=stash,
        split_by=split_by,
        splits=splits,
        weight_flop=weights,
        weight_stash_bytes=weight_stash,
        score_flop=scores,
        tied_bytes=tied * BYTES_PER_FLOAT32,
        tied_to=tied_to,
        unsplit=unsplit,
    )


def unsplit(
    *,
    parameters: int = 0,
    output: Cost = _NOTHING,
    stash: Cost = _NOTHING,
    weights: Cost = _NOTHING,
    moved: Cost = _NOTHING,
    moved_back: Cost = _NOTHING,
    weight_stash: Cost = _NOTHING,
) -> Unsplit:
    """Of what :func:`block` is told, that which every rank has in full; nothing else unless told."""
    held = Cost(fixed=parameters)
    return Unsplit(
        forward_flop=weights,
        backward_flop=weights * 2,
        forward_bytes=floats(moved + held),
        backward_bytes=floats(moved_back + held * 2),
        parameter_bytes=parameters * BYTES_PER_FLOAT32,
        output_bytes=floats(output),
        stash_bytes=stash,
        weight_flop=weights,
        weight_stash_bytes=weight_stash,
    )


def everything(part: Block) -> Unsplit:
    """Of a part that is not split: all of it, but what it hands on within its block."""
    names = {field.name: getattr(part, field.name) for field in fields(Unsplit)}
    return Unsplit(**names | {"output_bytes": _NOTHING})


def joined(name: str, *parts: Block) -> Block:
    """The block that these parts make, one after the other; it puts out what the last one does."""
    first, *others = parts
    sums = {cost: getattr(first, cost) for cost in _SUMMED}
    for part in others:
        sums = {cost: sums[cost] + getattr(part, cost) for cost in _SUMMED}
    inner = [replace(part.unsplit, output_bytes=_NOTHING) for part in parts[:-1]]
    last = parts[-1]
    return replace(
        first, **sums, name=name, output_bytes=last.output_bytes, unsplit=sum(inner, last.unsplit), parts=parts
    )


_SUMMED = (
    "forward_flop",
    "backward_flop",
    "forward_bytes",
    "backward_bytes",
    "parameter_bytes",
    "stash_bytes",
    "weight_flop",
    "score_flop",
    "weight_stash_bytes",
)


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

    Its parts make Q, K and V; weigh V by the scores, with ``more_parameters`` for these; and map the heads' output
    back. FLOP, for q queries and k keys: ``2 q h i + 4 k h g``, ``4 q k i`` (Q Kᵀ and P V) and ``2 q h i`` (i, g: all
    heads' and groups' width). A split takes whole groups; each rank reads the input, and writes an output, in full.

    ``positions`` are added to the scores, or with a fused kernel turn Q and K, in Python.
    """
    groups, crossed = groups or heads, keys is not None
    width, shared = heads * head_size, groups * head_size
    seen = keys or (KEYS if queries == TOKENS else queries)
    common = {"kind": BlockKind.ATTENTION, "split_by": SplitBy.HEADS, "splits": groups}
    return joined(
        name,
        _projections(
            f"{name}.in",
            common,
            hidden,
            width,
            shared,
            queries,
            keys or queries,
            crossed=crossed,
            biases=biases,
            turned=fused and positions,
        ),
        _weighing(
            f"{name}.core",
            common,
            width,
            shared,
            heads,
            queries,
            seen,
            parameters=more_parameters,
            fused=fused,
            dropout=dropout,
            positions=positions,
        ),
        _exiting(
            f"{name}.out",
            common,
            width,
            hidden,
            queries,
            biases=biases,
            dropout=dropout,
            kept=_NOTHING if fused else queries * width,
        ),
    )


def _projections(
    name: str,
    common: dict[str, Any],
    hidden: int,
    width: int,
    shared: int,
    queries: Cost,
    keys: Cost,
    *,
    crossed: bool,
    biases: bool,
    turned: bool,
) -> Block:
    """Q, K and V. Saved: the input(s), for the weights.

    Moved: both sides of each product, backward for either gradient; the input's gradients are added up. Q and K by
    their positions: halves swapped and one negated, two products, a sum; counted both ways.
    """
    made, read = queries * width + keys * (2 * shared), queries * hidden + keys * (2 * hidden)
    summed = (keys if crossed else queries) * (6 * hidden)
    entered = floats(queries * hidden + (keys * hidden if crossed else _NOTHING))
    turns = (queries * width + keys * shared) * (14 * turned)
    return block(
        name,
        **common,
        parameters=(hidden + biases) * (width + 2 * shared),
        output=made,
        stash=entered,
        weight_stash=entered,
        weights=made * (2 * hidden),
        moved=read + made + turns,
        moved_back=(read + made) * 2 + summed + made * biases + turns,
        unsplit=unsplit(stash=entered, weight_stash=entered, moved=read, moved_back=read * 2 + summed),
    )


def _weighing(
    name: str,
    common: dict[str, Any],
    width: int,
    shared: int,
    heads: int,
    queries: Cost,
    seen: Cost,
    *,
    parameters: int,
    fused: bool,
    dropout: bool,
    positions: bool,
) -> Block:
    """Scores, softmax, and the sum of V by them: split by heads in full.

    Saved: Q, K, V. Fused kernels save their output as well, with a log-sum-exp per head and query; they draw dropped
    scores anew. Otherwise the probabilities are saved; with dropout also their mask and what it leaves of them.

    A fused kernel reads Q, K and V and writes its output; backward it reads these and a gradient, writes three.
    Otherwise Q, K, V and the output are copied into place, and scores are written, scaled, made probabilities and read,
    and so back.
    """
    scores, touched = pairs(queries, seen) * heads, queries * (2 * width) + seen * (2 * shared)
    inputs = queries * width + seen * (2 * shared)
    if fused:
        kept, moved, moved_back = floats(queries * (width + heads)), touched, touched * 2
    else:
        dropped = 2.25 * dropout  # read, written, and a mask of a byte
        kept = floats(scores * (1 + dropout)) + scores * dropout
        moved = touched * 3 + scores * (6 + 2 * positions + dropped)
        moved_back = touched * 4 + scores * (9 + positions + dropped)
    return block(
        name,
        **common,
        parameters=parameters,
        output=queries * width,
        stash=floats(inputs) + kept,
        scores=pairs(queries, seen) * (4 * width),
        moved=moved,
        moved_back=moved_back,
    )


def _exiting(
    name: str,
    common: dict[str, Any],
    inner: int,
    hidden: int,
    length: Cost,
    *,
    biases: bool,
    dropout: bool,
    kept: Cost,
) -> Block:
    """The matrix back to the hidden size. Saved: ``kept``, the numbers only its weights need; a dropout's mask."""
    mask, dropped = length * (hidden * dropout), length * (2.25 * hidden * dropout)
    written = length * hidden
    return block(
        name,
        **common,
        parameters=(inner + biases) * hidden,
        output=written,
        stash=floats(kept) + mask,
        weight_stash=floats(kept),
        weights=length * (2 * inner * hidden),
        moved=written + length * inner + dropped,
        moved_back=(written + length * inner) * 2 + written * biases + dropped,
        unsplit=unsplit(
            parameters=hidden * biases,
            output=written,
            stash=mask,
            moved=written + dropped,
            moved_back=written * (2 + biases) + dropped,
        ),
    )


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

    Its parts are the matrix or matrices onto the columns with the activation, and the matrix back. Each rank reads the
    input, and writes an output, in full.
    """
    common = {"kind": BlockKind.MLP, "split_by": SplitBy.COLUMNS, "splits": columns}
    behind = 1 if inner_dropout else _KEPT[activation][1]
    return joined(
        "mlp",
        _onto_columns(common, hidden, columns, activation, length, biases=biases, dropout=inner_dropout),
        _exiting(
            "mlp.out", common, columns, hidden, length, biases=biases, dropout=dropout, kept=length * (columns * behind)
        ),
    )


def _onto_columns(
    common: dict[str, Any],
    hidden: int,
    columns: int,
    activation: Activation,
    length: Cost,
    *,
    biases: bool,
    dropout: bool,
) -> Block:
    """Saved: the input, for the weights; what the activation's table above says; a mask of what is dropped.

    What the activation, or the dropout behind it, leaves for the next matrix is among what that one saves.
    """
    matrices = 2 if activation is Activation.SWIGLU else 1
    (own, _), (there, back) = _KEPT[activation], _MOVED[activation]
    made, read, dropped = length * (matrices * columns), length * (matrices * hidden), 2.25 * columns * dropout
    summed = length * (3 * hidden if matrices > 1 else 0)
    entered = floats(length * hidden)
    return block(
        "mlp.in",
        **common,
        parameters=matrices * columns * (hidden + biases),
        output=length * columns,
        stash=entered + floats(length * (columns * own)) + length * (columns * dropout),
        weight_stash=entered,
        weights=made * (2 * hidden),
        moved=read + made + length * (there * columns + dropped),
        moved_back=(read + made) * 2 + length * (back * columns + dropped) + made * biases + summed,
        unsplit=unsplit(stash=entered, weight_stash=entered, moved=read, moved_back=read * 2 + summed),
    )


def layer_norm(name: str, *, hidden: int, length: Cost = TOKENS) -> Block:
    """Residual add and layer norm. Saved: its input, and mean and deviation per token."""
    return block(
        name,
        BlockKind.CONNECTIVE,
        parameters=2 * hidden,
        output=length * hidden,
        stash=floats(length * (hidden + 2)),
        split_by=SplitBy.TOKENS,
        moved=length * (5 * hidden),
        moved_back=length * (6 * hidden),
    )


def rms_norm(name: str, *, hidden: int, length: Cost = TOKENS, dropout: bool = False) -> Block:
    """Residual add and RMS norm, in Python. Saved: its input, one root per token, and, for the weight, the quotient."""
    return block(
        name,
        BlockKind.CONNECTIVE,
        parameters=hidden,
        output=length * hidden,
        stash=floats(length * (2 * hidden + 1)) + (length * hidden if dropout else _NOTHING),
        split_by=SplitBy.TOKENS,
        weight_stash=floats(length * hidden),
        moved=length * ((10 + 2.25 * dropout) * hidden),
        moved_back=length * ((26 + 2.25 * dropout) * hidden),
    )


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
        EMBEDDING,
        BlockKind.EMBEDDING,
        parameters=rows * hidden + 2 * hidden * norm,
        output=length * hidden,
        stash=saved_ids + saved + (length * hidden if dropout else _NOTHING),
        split_by=SplitBy.TOKENS,
        weight_stash=saved_ids,
        tied=tied_rows * hidden,
        tied_to=EMBEDDING if tied_rows else "",
        lookup=True,
        moved=length * ((2 * ids + 2 * norm + 2.25 * dropout) * hidden),
        moved_back=length * ((ids + 3 * norm + 2.25 * dropout) * hidden),
    )


def language_head(
    *, hidden: int, vocabulary: int, tied: bool, length: Cost = TOKENS, name: str = "head", biases: bool = False
) -> Block:
    """A matrix onto the vocabulary, and cross-entropy. Saved: the input, for the weights, and the log-probabilities."""
    matrix = hidden * vocabulary
    return block(
        name,
        BlockKind.HEAD,
        parameters=(0 if tied else matrix) + vocabulary * biases,
        output=length * vocabulary,
        stash=floats(length * (hidden + vocabulary)),
        split_by=SplitBy.COLUMNS,
        splits=vocabulary,
        weights=length * (2 * matrix),
        weight_stash=floats(length * hidden),
        # Cross-entropy makes log-probabilities of the logits, and backward a gradient of both.
        moved=length * (hidden + 3 * vocabulary),
        moved_back=length * (2 * hidden + (7 + biases) * vocabulary),
        tied=matrix if tied else 0,
        tied_to=EMBEDDING if tied else "",
        unsplit=unsplit(
            stash=floats(length * hidden),
            weight_stash=floats(length * hidden),
            moved=length * hidden,
            moved_back=length * (2 * hidden),
        ),
    )


def at_least_one(name: str, **counts: int) -> None:
    """Raise ValueError for a count below one."""
    for what, count in counts.items():
        if count < 1:
            raise ValueError(f"{name}: {what} must be at least 1, got {count}")


def head_size_of(name: str, *, hidden: int, heads: int) -> int:
    """Columns per head. Raises ValueError if the heads do not divide the hidden size."""
    refuse_remainder(name, divided=("hidden", hidden), by=("heads", heads))
    return hidden // heads
