"""What do T5 and FLAN-T5 cost? Pre-norm encoder and decoder, relative positions, no biases (Raffel et al., 2020)."""

from dataclasses import replace

from edgesim.model import Block, Model
from edgesim.units import BYTES_PER_FLOAT32
from edgesim.zoo.chains import encoder_decoder, refuse_counts
from edgesim.zoo.parts.attention import AttentionStyle, Lengths, attention
from edgesim.zoo.parts.costs import TOKENS, TransformerWidths, always
from edgesim.zoo.parts.embedding import EmbeddingTables, embedding
from edgesim.zoo.parts.head import Vocabulary, language_head
from edgesim.zoo.parts.mlp import Activation, MlpStyle, mlp
from edgesim.zoo.parts.norms import rms_norm


def t5(
    *,
    name: str,
    encoder_layers: int,
    decoder_layers: int,
    hidden: int,
    heads: int,
    head_size: int,
    columns: int,
    vocabulary: int,
    buckets: int,
    decoder_tokens: int,
    dropout: bool = False,
    gated: bool = False,
    tied: bool = True,
    own_tables: bool = False,
) -> Model:
    """T5 as ``transformers.T5ForConditionalGeneration``: 1.0 ties both embeddings and the head.

    T5 1.1 and FLAN-T5 have ``gated`` MLPs and a head of their own: ``tied: false``. The library builds it tied too, and
    unties it where a checkpoint says otherwise.

    The chain is that of :func:`edgesim.zoo.chains.encoder_decoder`; the last encoder layer ends with the encoder's
    final norm. The first layer of each stack holds the table of relative positions (``buckets`` x ``heads``), to
    which the others are tied. With ``own_tables`` every layer has its
    own, which is no T5, but a side network like it. Attention is the library's eager one,
    which stashes the probabilities. So does its default, for self-attention on the CPU: the fused kernel there
    takes no trained bias.
    """
    refuse_counts(name, encoder_layers=encoder_layers, decoder_layers=decoder_layers, decoder_tokens=decoder_tokens)
    decoding = always(decoder_tokens)
    widths = TransformerWidths(hidden=hidden, heads=heads, head_size=head_size, columns=columns)

    activation = Activation.GEGLU_NEW if gated else Activation.RELU
    inner = MlpStyle(activation=activation, biases=False, dropout=dropout, inner_dropout=dropout)

    def stack(layers: int, lengths: Lengths) -> list[tuple[Block, ...]]:
        """Layers, the first of which, or each, has a table of relative positions; the others share the first's."""
        table = buckets * heads
        first, *others = [_layer(widths, lengths, inner, table * (i == 0 or own_tables)) for i in range(layers)]
        if own_tables:
            return [first, *others]
        owner = "decoder.0" if lengths.crossed else "encoder.0"
        return [first, *(tuple(_tied(part, table, owner) for part in layer) for layer in others)]

    encoder, decoder = stack(encoder_layers, Lengths()), stack(decoder_layers, Lengths(queries=decoding, keys=TOKENS))
    encoder[-1] += (rms_norm("norm_final", hidden=hidden, dropout=dropout),)
    ids = embedding(EmbeddingTables(rows=0, tied_rows=vocabulary), hidden=hidden, length=decoding, dropout=dropout)
    chain = encoder_decoder(
        hidden=hidden,
        embedding=embedding(EmbeddingTables(rows=vocabulary), hidden=hidden, dropout=dropout),
        encoder=encoder,
        decoder=[(ids, *decoder[0]), *decoder[1:]],
        head=(
            rms_norm("norm_final", hidden=hidden, length=decoding, dropout=dropout),
            language_head(Vocabulary(size=vocabulary, tied=tied), hidden=hidden, length=decoding),
        ),
    )
    hyper = {
        "encoder_layers": encoder_layers,
        "decoder_layers": decoder_layers,
        "hidden": hidden,
        "heads": heads,
        "head_size": head_size,
        "columns": columns,
        "vocabulary": vocabulary,
        "buckets": buckets,
        "decoder_tokens": decoder_tokens,
        "dropout": dropout,
        "gated": gated,
        "tied": tied,
        "own_tables": own_tables,
    }
    return Model(name=name, architecture="t5", hyper=hyper, layers=chain)


def _tied(part: Block, numbers: int, owner: str) -> Block:
    """Self-attention, which shares the table of positions with the owner's; any other block as it is."""
    if part.name != "attention":
        return part
    return replace(part, tied_bytes=numbers * BYTES_PER_FLOAT32, tied_to=owner)


def _layer(widths: TransformerWidths, lengths: Lengths, inner: MlpStyle, table: int) -> tuple[Block, ...]:
    """A layer over the queries' tokens, with cross-attention where they look at other keys.

    ``table`` is how many numbers of the stack's relative positions the layer holds.
    """
    length = lengths.queries
    style = AttentionStyle(biases=False, fused=False, positions=True, dropout=inner.dropout)

    def norm(name: str) -> Block:
        return rms_norm(name, hidden=widths.hidden, length=length)

    own = (norm("norm_attention"), attention(widths, style, Lengths(queries=length), more_parameters=table))
    across = (norm("norm_cross_attention"), attention(widths, style, lengths, name="cross_attention"))
    return (*own, *(across if lengths.crossed else ()), norm("norm_mlp"), mlp(widths, inner, length))
