"""What does multi-head attention cost? Its projections, its scores and the sum by them, and its exiting product."""

from dataclasses import dataclass, replace

from edgesim.model import Block, BlockKind, Cost, SplitBy
from edgesim.zoo.parts.costs import (
    DROPPED,
    KEYS,
    NOTHING,
    RMS_MOVED,
    RMS_MOVED_BACK,
    TOKENS,
    PartCosts,
    Split,
    TransformerWidths,
    block,
    floats,
    joined,
    pairs,
)
from edgesim.zoo.parts.exit_product import ExitProduct


@dataclass(frozen=True, slots=True, kw_only=True)
class AttentionStyle:
    """How a library writes attention.

    Attributes:
        biases: whether the projections of Q, K and V have them.
        exit_bias: whether the exiting product has one; None: as the projections.
        qk_norms: whether an RMS norm over each head's numbers stands behind the projections of Q and of K.
        fused: whether one kernel computes scores, softmax and sum, and so keeps no probabilities.
        dropout: whether probabilities, and what attention puts out, are dropped.
        positions: whether they are added to the scores, or with a fused kernel turn Q and K, in Python.
        capped: whether scores pass a tanh, which no fused kernel has: in Python, with positions that turn Q and K.
        window_tokens: how many of the last tokens each query looks at; 0: all before it.
    """

    biases: bool = True
    exit_bias: bool | None = None
    qk_norms: bool = False
    fused: bool = True
    dropout: bool = False
    positions: bool = False
    capped: bool = False
    window_tokens: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Lengths:
    """From how many tokens attention makes Q, and from how many K and V; ``keys`` is None where they are the same."""

    queries: Cost = TOKENS
    keys: Cost | None = None

    @property
    def crossed(self) -> bool:
        """Whether it is cross-attention: K and V come from elsewhere."""
        return self.keys is not None

    @property
    def made(self) -> Cost:
        """The tokens that K and V are made of."""
        return self.keys or self.queries

    @property
    def seen(self) -> Cost:
        """The tokens that each query looks at."""
        return self.keys or (KEYS if self.queries == TOKENS else self.queries)


_OWN_TOKENS, _USUAL = Lengths(), AttentionStyle()


def attention(
    widths: TransformerWidths,
    style: AttentionStyle = _USUAL,
    lengths: Lengths = _OWN_TOKENS,
    *,
    name: str = "attention",
    more_parameters: int = 0,
) -> Block:
    """Return a multi-head attention block.

    Its parts make Q, K and V; weigh V by the scores, with ``more_parameters`` for these; and map the heads' output
    back. FLOP, for q queries and k keys: ``2 q h i + 4 k h g``, ``4 q k i`` (Q Kᵀ and P V) and ``2 q h i`` (i, g: all
    heads' and groups' width). A split takes whole groups; each rank reads the input, and writes an output, in full.
    """
    made = _Attention(widths=widths, style=style, lengths=lengths)
    split = Split(by=SplitBy.HEADS, units=made.groups)
    whole = joined(
        name,
        made.projections(f"{name}.in", split),
        made.weighing(f"{name}.core", split, more_parameters),
        made.exiting(f"{name}.out", split),
    )
    return replace(whole, window_tokens=style.window_tokens)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Attention:
    """An attention's three parts."""

    widths: TransformerWidths
    style: AttentionStyle
    lengths: Lengths

    @property
    def groups(self) -> int:
        """How many heads of K and V there are."""
        return self.widths.groups or self.widths.heads

    @property
    def width(self) -> int:
        """All heads' numbers per token: those of Q, and of what leaves."""
        return self.widths.heads * self.widths.head_size

    @property
    def shared(self) -> int:
        """All groups' numbers per token: those of K, and of V."""
        return self.groups * self.widths.head_size

    def projections(self, name: str, split: Split) -> Block:
        """Q, K and V. Saved: the input(s), for the weights.

        Moved: both sides of each product, backward for either gradient; the input's gradients are added up. Q and K by
        their positions: halves swapped and one negated, two products, a sum; counted both ways. Norms of Q and K keep
        what the norms between blocks do, a root per head; every rank has their weights.
        """
        hidden, width, shared = self.widths.hidden, self.width, self.shared
        queries, keys, crossed = self.lengths.queries, self.lengths.made, self.lengths.crossed
        biases, turned = self.style.biases, self.style.positions and (self.style.fused or self.style.capped)
        made, read = queries * width + keys * (2 * shared), queries * hidden + keys * (2 * hidden)
        summed = (keys if crossed else queries) * (6 * hidden)
        entered = floats(queries * hidden + (keys * hidden if crossed else NOTHING))
        numbers = queries * width + keys * shared
        turns, normed = numbers * (14 * turned), self.style.qk_norms
        roots = queries * self.widths.heads + keys * self.groups
        norms = 2 * self.widths.head_size * normed
        costs = PartCosts(
            parameters=(hidden + biases) * (width + 2 * shared) + norms,
            output=made,
            stash=entered + floats(numbers * 2 + roots) * normed,
            weight_stash=entered + floats(numbers) * normed,
            weights=made * (2 * hidden),
            moved=read + made + turns + numbers * (RMS_MOVED * normed),
            moved_back=(read + made) * 2 + summed + made * biases + turns + numbers * (RMS_MOVED_BACK * normed),
        )
        alike = PartCosts(
            parameters=norms, stash=entered, weight_stash=entered, moved=read, moved_back=read * 2 + summed
        )
        return block(name, BlockKind.ATTENTION, split, costs, alike)

    def weighing(self, name: str, split: Split, parameters: int) -> Block:
        """Scores, softmax, and the sum of V by them: split by heads in full."""
        queries, seen = self.lengths.queries, self.lengths.seen
        kept, moved, moved_back = self._fused() if self.style.fused else self._in_steps()
        inputs = queries * self.width + seen * (2 * self._repeated)
        costs = PartCosts(
            parameters=parameters,
            output=queries * self.width,
            stash=floats(inputs) + kept,
            scores=pairs(queries, seen) * (4 * self.width),
            moved=moved,
            moved_back=moved_back,
        )
        return block(name, BlockKind.ATTENTION, split, costs)

    def _fused(self) -> tuple[Cost, Cost, Cost]:
        """Bytes kept beside Q, K and V, numbers moved and moved back, by one kernel.

        It saves its output, with a log-sum-exp per head and query, and draws dropped scores anew. It reads Q, K and V
        and writes its output; backward it reads these and a gradient, and writes three.
        """
        kept = floats(self.lengths.queries * (self.width + self.widths.heads))
        return kept, self._touched, self._touched * 2

    def _in_steps(self) -> tuple[Cost, Cost, Cost]:
        """The same of separate operations.

        The probabilities are saved; with dropout also their mask and what it leaves of them. Q, K, V and the output are
        copied into place, and scores are written, scaled, made probabilities and read, and so back. A cap keeps the
        tanh's output; it divides, takes the tanh and multiplies, and a mask is added.
        """
        scores = pairs(self.lengths.queries, self.lengths.seen) * self.widths.heads
        dropout, positions, capped = self.style.dropout, self.style.positions, self.style.capped
        kept = floats(scores * (1 + dropout + capped)) + scores * dropout
        moved = self._touched * 3 + scores * (6 + 2 * positions + 6 * capped + DROPPED * dropout)
        return kept, moved, self._touched * 4 + scores * (9 + positions + 7 * capped + DROPPED * dropout)

    @property
    def _touched(self) -> Cost:
        """Q, K, V and the output."""
        return self.lengths.queries * (2 * self.width) + self.lengths.seen * (2 * self._repeated)

    @property
    def _repeated(self) -> int:
        """All numbers of K per token, and of V, as scores read them: without a fused kernel, once for each head."""
        return self.shared if self.style.fused else self.width

    def exiting(self, name: str, split: Split) -> Block:
        """The matrix back to the hidden size; a fused kernel has saved what enters it."""
        length = self.lengths.queries
        product = ExitProduct(
            inner=self.width,
            hidden=self.widths.hidden,
            length=length,
            biases=self.style.biases if self.style.exit_bias is None else self.style.exit_bias,
            dropout=self.style.dropout,
            kept=NOTHING if self.style.fused else length * self.width,
        )
        return product.block(name, BlockKind.ATTENTION, split)
