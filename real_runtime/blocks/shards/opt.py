"""Where are OPT's weights in the library's layers?"""

from real_runtime.blocks.shards.weights import AttentionWeights, EmbeddingWeights, HeadWeights, MlpWeights, linear
from real_runtime.models.language import OneTensor
from real_runtime.models.opt import OptEmbedding


def _embedding(layer: OptEmbedding) -> EmbeddingWeights:
    words, positions = layer.word_embeddings, layer.positions
    return EmbeddingWeights(
        words=words.weight, padding=words.padding_idx, positions=positions.weight, offset=positions.offset
    )


def _attention(layer: OneTensor) -> AttentionWeights:
    part = layer.layer.self_attn
    return AttentionWeights(
        query=linear(part.q_proj),
        key=linear(part.k_proj),
        value=linear(part.v_proj),
        out=linear(part.out_proj),
        head_size=part.head_dim,
        causal=True,
    )


def _mlp(layer: OneTensor) -> MlpWeights:
    part = layer.layer
    return MlpWeights(into=(linear(part.fc1),), activation=part.activation_fn, out=linear(part.fc2))


BLOCKS = {
    "embedding": _embedding,
    "norm_attention": lambda layer: layer.layer.self_attn_layer_norm,
    "attention": _attention,
    "norm_mlp": lambda layer: layer.layer.final_layer_norm,
    "mlp": _mlp,
    "norm_final": lambda layer: layer.norm,
    "head": lambda layer: HeadWeights(decoder=linear(layer.decoder)),
}
