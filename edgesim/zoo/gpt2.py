"""What does GPT-2 cost? Pre-norm decoders that predict the next token (Radford et al., 2019)."""

from edgesim.model import Model
from edgesim.zoo.chains import chain, refuse_counts
from edgesim.zoo.parts.attention import AttentionStyle, attention
from edgesim.zoo.parts.costs import TransformerWidths
from edgesim.zoo.parts.embedding import EmbeddingTables, embedding
from edgesim.zoo.parts.head import Vocabulary, language_head
from edgesim.zoo.parts.mlp import Activation, MlpStyle, mlp
from edgesim.zoo.parts.norms import layer_norm


def gpt2(
    *,
    name: str,
    layers: int,
    hidden: int,
    heads: int,
    columns: int,
    vocabulary: int,
    positions: int,
    tied: bool,
    dropout: bool = False,
) -> Model:
    """GPT-2 as ``transformers.GPT2LMHeadModel``: the embedding, ``layers`` decoder layers, final norm and head.

    Hugging Face writes this GELU in Python, which saves five tensors where the fused one saves two.
    """
    refuse_counts(name, layers=layers)
    widths = TransformerWidths.of(name, hidden=hidden, heads=heads, columns=columns)
    decoder = (
        layer_norm("norm_attention", hidden=hidden),
        attention(widths, AttentionStyle(dropout=dropout)),
        layer_norm("norm_mlp", hidden=hidden),
        mlp(widths, MlpStyle(activation=Activation.GELU_NEW, dropout=dropout)),
    )
    head = (
        layer_norm("norm_final", hidden=hidden),
        language_head(Vocabulary(size=vocabulary, tied=tied), hidden=hidden),
    )
    hyper = {
        "layers": layers,
        "hidden": hidden,
        "heads": heads,
        "columns": columns,
        "vocabulary": vocabulary,
        "positions": positions,
        "tied": tied,
        "dropout": dropout,
    }
    ids = embedding(EmbeddingTables(rows=vocabulary + positions), hidden=hidden, dropout=dropout)
    made = chain(ids, decoder=[decoder] * layers, head=head)
    return Model(name=name, architecture="gpt2", hyper=hyper, layers=made)
