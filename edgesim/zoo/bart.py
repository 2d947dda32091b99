"""What does BART cost? Post-norm encoder and decoder for text to text (Lewis et al., 2020)."""

from functools import partial

from edgesim.model import Block, Cost, Model
from edgesim.zoo.chains import encoder_decoder
from edgesim.zoo.parts import (
    TOKENS,
    Activation,
    always,
    at_least_one,
    attention,
    embedding,
    head_size_of,
    language_head,
    layer_norm,
    mlp,
)

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
    at_least_one(name, encoder_layers=encoder_layers, decoder_layers=decoder_layers, decoder_tokens=decoder_tokens)
    decoding, rows = always(decoder_tokens), positions + _EXTRA_POSITIONS
    size = head_size_of(name, hidden=hidden, heads=heads)
    layer = partial(_layer, hidden, heads, size, columns, dropout, fused)
    embed = partial(embedding, hidden=hidden, norm=True, dropout=dropout)
    first, *others = [layer(decoding, keys=TOKENS) for _ in range(decoder_layers)]
    chain = encoder_decoder(
        hidden=hidden,
        embedding=embed(rows=vocabulary + rows, ids=2),
        encoder=[layer(TOKENS, keys=None) for _ in range(encoder_layers)],
        decoder=[(embed(rows=rows, length=decoding, tied_rows=vocabulary), *first), *others],
        head=(language_head(hidden=hidden, vocabulary=vocabulary, tied=True, length=decoding),),
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


def _layer(
    hidden: int,
    heads: int,
    head_size: int,
    columns: int,
    dropout: bool,
    fused: bool,
    length: Cost,
    *,
    keys: Cost | None,
) -> tuple[Block, ...]:
    """A layer over ``length`` tokens, with cross-attention where ``keys`` are given."""
    attend = partial(
        attention, hidden=hidden, heads=heads, head_size=head_size, queries=length, dropout=dropout, fused=fused
    )
    norm = partial(layer_norm, hidden=hidden, length=length)
    across = (attend(name="cross_attention", keys=keys), norm("norm_cross_attention"))
    return (
        attend(),
        norm("norm_attention"),
        *(across if keys else ()),
        mlp(
            hidden=hidden,
            columns=columns,
            activation=Activation.GELU,
            length=length,
            dropout=dropout,
            inner_dropout=dropout,
        ),
        norm("norm_mlp"),
    )
