"""What does T5 cost? Pre-norm encoder and decoder with relative positions and no biases (Raffel et al., 2020)."""

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
    language_head,
    mlp,
    rms_norm,
)


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
) -> Model:
    """T5 (1.0) as ``transformers.T5ForConditionalGeneration``, which ties both embeddings and the head, always.

    The chain is that of :func:`edgesim.zoo.chains.encoder_decoder`; the last encoder layer ends with the encoder's
    final norm. The first layer of each stack holds the table of relative positions (``buckets`` x ``heads``); other
    stages need a copy of that tiny table, which is a matter of the runtime. Attention is the library's eager one,
    which stashes the probabilities. So does its default, for self-attention on the CPU: the fused kernel there
    takes no trained bias.
    """
    at_least_one(name, encoder_layers=encoder_layers, decoder_layers=decoder_layers, decoder_tokens=decoder_tokens)
    decoding = always(decoder_tokens)
    layer = partial(_layer, hidden, heads, head_size, columns, buckets, dropout)
    encoder = [layer(TOKENS, keys=None, first=i == 0) for i in range(encoder_layers)]
    encoder[-1] += (rms_norm("norm_final", hidden=hidden, dropout=dropout),)
    decoder = [layer(decoding, keys=TOKENS, first=i == 0) for i in range(decoder_layers)]
    ids = embedding(hidden=hidden, rows=0, length=decoding, dropout=dropout, tied_rows=vocabulary)
    chain = encoder_decoder(
        hidden=hidden,
        embedding=embedding(hidden=hidden, rows=vocabulary, dropout=dropout),
        encoder=encoder,
        decoder=[(ids, *decoder[0]), *decoder[1:]],
        head=(
            rms_norm("norm_final", hidden=hidden, length=decoding, dropout=dropout),
            language_head(hidden=hidden, vocabulary=vocabulary, tied=True, length=decoding),
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
    }
    return Model(name=name, architecture="t5", hyper=hyper, layers=chain)


def _layer(
    hidden: int,
    heads: int,
    head_size: int,
    columns: int,
    buckets: int,
    dropout: bool,
    length: Cost,
    *,
    keys: Cost | None,
    first: bool,
) -> tuple[Block, ...]:
    """A layer over ``length`` tokens, with cross-attention where ``keys`` are given."""
    attend = partial(
        attention,
        hidden=hidden,
        heads=heads,
        head_size=head_size,
        queries=length,
        biases=False,
        fused=False,
        positions=True,
        dropout=dropout,
    )
    own = (
        rms_norm("norm_attention", hidden=hidden, length=length),
        attend(more_parameters=buckets * heads if first else 0),
    )
    across = (
        rms_norm("norm_cross_attention", hidden=hidden, length=length),
        attend(name="cross_attention", keys=keys),
    )
    last = (
        rms_norm("norm_mlp", hidden=hidden, length=length),
        mlp(
            hidden=hidden,
            columns=columns,
            activation=Activation.RELU,
            length=length,
            biases=False,
            dropout=dropout,
            inner_dropout=dropout,
        ),
    )
    return (*own, *(across if keys else ()), *last)
