"""Where are GPT-2's weights in the library's layers? Query, key and value are one matrix there, [in, out]."""

from real_runtime.blocks.shards.weights import (
    AttentionWeights,
    EmbeddingWeights,
    HeadWeights,
    MlpWeights,
    conv1d,
    linear,
)
from real_runtime.models.gpt2 import Gpt2Embedding
from real_runtime.models.language import OneTensor


def _embedding(layer: Gpt2Embedding) -> EmbeddingWeights:
    return EmbeddingWeights(words=layer.word_embeddings.weight, positions=layer.positions.weight)


def _attention(layer: OneTensor) -> AttentionWeights:
    part = layer.layer.attn
    fused, width = conv1d(part.c_attn), part.embed_dim
    return AttentionWeights(
        query=fused.rows(0, width),
        key=fused.rows(width, 2 * width),
        value=fused.rows(2 * width, 3 * width),
        out=conv1d(part.c_proj),
        head_size=part.head_dim,
        causal=True,
    )


def _mlp(layer: OneTensor) -> MlpWeights:
    part = layer.layer.mlp
    return MlpWeights(into=(conv1d(part.c_fc),), activation=part.act, out=conv1d(part.c_proj))


BLOCKS = {
    "embedding": _embedding,
    "norm_attention": lambda layer: layer.layer.ln_1,
    "attention": _attention,
    "norm_mlp": lambda layer: layer.layer.ln_2,
    "mlp": _mlp,
    "norm_final": lambda layer: layer.norm,
    "head": lambda layer: HeadWeights(decoder=linear(layer.decoder)),
}
