"""What does OPT cost? Pre-norm decoders with ReLU that predict the next token (Zhang et al., 2022)."""

from edgesim.model import Model
from edgesim.zoo.chains import chain, refuse_counts
from edgesim.zoo.parts.attention import AttentionStyle, attention
from edgesim.zoo.parts.costs import TransformerWidths
from edgesim.zoo.parts.embedding import EmbeddingTables, embedding
from edgesim.zoo.parts.head import Vocabulary, language_head
from edgesim.zoo.parts.mlp import Activation, MlpStyle, mlp
from edgesim.zoo.parts.norms import layer_norm

# The table of positions is this much longer than the model is: Hugging Face keeps two rows for padding.
_EXTRA_POSITIONS = 2


def opt(
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
    """OPT as ``transformers.OPTForCausalLM``: the embedding, ``layers`` decoder layers, final norm and head.

    For the sizes with norms before attention and with word embeddings as wide as the model: all but OPT-350M. Each
    sample has its own position ids. Neither the embedding nor the published models' attention is dropped.
    """
    refuse_counts(name, layers=layers)
    widths = TransformerWidths.of(name, hidden=hidden, heads=heads, columns=columns)
    rows = vocabulary + positions + _EXTRA_POSITIONS
    decoder = (
        layer_norm("norm_attention", hidden=hidden),
        attention(widths, AttentionStyle(dropout=dropout)),
        layer_norm("norm_mlp", hidden=hidden),
        mlp(widths, MlpStyle(activation=Activation.RELU, dropout=dropout)),
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
    ids = embedding(EmbeddingTables(rows=rows, ids=2), hidden=hidden)
    made = chain(ids, decoder=[decoder] * layers, head=head)
    return Model(name=name, architecture="opt", hyper=hyper, layers=made)
