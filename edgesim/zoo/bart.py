"""What does BART cost? Post-norm encoder and decoder for text to text (Lewis et al., 2020)."""

from functools import partial

from edgesim.model import Block, Model
from edgesim.zoo.chains import encoder_decoder, refuse_counts
from edgesim.zoo.parts.attention import AttentionStyle, Lengths, attention
from edgesim.zoo.parts.costs import TOKENS, TransformerWidths, always
from edgesim.zoo.parts.embedding import EmbeddingTables, embedding
from edgesim.zoo.parts.head import Vocabulary, language_head
from edgesim.zoo.parts.mlp import Activation, MlpStyle, mlp
from edgesim.zoo.parts.norms import layer_norm

# Each table of positions is this much longer than the model is: Hugging Face keeps two rows for padding.
_EXTRA_POSITIONS = 2


def bart(
    *,
    name: str,
    encoder_layers: int,
    decoder_layers: int,
    hidden: int,
    heads: int,
    columns: int,
    vocabulary: int,
    positions: int,
    decoder_tokens: int,
    dropout: bool = False,
    fused: bool = True,
) -> Model:
    """BART as ``transformers.BartForConditionalGeneration``, with both embeddings and the head tied, as published.

    The chain is that of :func:`edgesim.zoo.chains.encoder_decoder`. Encoder and decoder have their own positions and
    norms behind the embedding; in the encoder each sample has its own position ids. Attention is ``fused`` as the
    library has it by default; PyTorch before 2.0, the newest that a Jetson Nano runs, keeps the probabilities.
    """
    refuse_counts(name, encoder_layers=encoder_layers, decoder_layers=decoder_layers, decoder_tokens=decoder_tokens)
    decoding, rows = always(decoder_tokens), positions + _EXTRA_POSITIONS
    widths = TransformerWidths.of(name, hidden=hidden, heads=heads, columns=columns)
    layer = partial(_layer, widths, AttentionStyle(dropout=dropout, fused=fused))
    embed = partial(embedding, hidden=hidden, norm=True, dropout=dropout)
    first, *others = [layer(Lengths(queries=decoding, keys=TOKENS))] * decoder_layers
    chain = encoder_decoder(
        hidden=hidden,
        embedding=embed(EmbeddingTables(rows=vocabulary + rows, ids=2)),
        encoder=[layer(Lengths())] * encoder_layers,
        decoder=[(embed(EmbeddingTables(rows=rows, tied_rows=vocabulary), length=decoding), *first), *others],
        head=(language_head(Vocabulary(size=vocabulary, tied=True), hidden=hidden, length=decoding),),
    )
    hyper = {
        "encoder_layers": encoder_layers,
        "decoder_layers": decoder_layers,
        "hidden": hidden,
        "heads": heads,
        "columns": columns,
        "vocabulary": vocabulary,
        "positions": positions,
        "decoder_tokens": decoder_tokens,
        "dropout": dropout,
        "fused": fused,
    }
    return Model(name=name, architecture="bart", hyper=hyper, layers=chain)


def _layer(widths: TransformerWidths, style: AttentionStyle, lengths: Lengths) -> tuple[Block, ...]:
    """A layer over the queries' tokens, with cross-attention where they look at other keys."""
    length, dropout = lengths.queries, style.dropout
    norm = partial(layer_norm, hidden=widths.hidden, length=length)
    across = (attention(widths, style, lengths, name="cross_attention"), norm("norm_cross_attention"))
    inner = MlpStyle(activation=Activation.GELU, dropout=dropout, inner_dropout=dropout)
    return (
        attention(widths, style, Lengths(queries=length)),
        norm("norm_attention"),
        *(across if lengths.crossed else ()),
        mlp(widths, inner, length),
        norm("norm_mlp"),
    )
