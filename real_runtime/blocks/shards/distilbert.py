"""Where are DistilBERT's weights in the library's layers?"""

from transformers.models.distilbert.modeling_distilbert import Embeddings

from real_runtime.blocks.shards.weights import AttentionWeights, EmbeddingWeights, HeadWeights, MlpWeights, linear
from real_runtime.models.distilbert import DistilBertHead
from real_runtime.models.language import OneTensor


def _embedding(layer: Embeddings) -> EmbeddingWeights:
    words, positions = layer.word_embeddings, layer.position_embeddings.weight
    return EmbeddingWeights(words=words.weight, padding=words.padding_idx, positions=positions, norm=layer.LayerNorm)


def _attention(layer: OneTensor) -> AttentionWeights:
    part = layer.layer.attention
    return AttentionWeights(
        query=linear(part.q_lin),
        key=linear(part.k_lin),
        value=linear(part.v_lin),
        out=linear(part.out_lin),
        head_size=part.attention_head_size,
        causal=False,
    )


def _mlp(layer: OneTensor) -> MlpWeights:
    part = layer.layer.ffn
    return MlpWeights(into=(linear(part.lin1),), activation=part.activation, out=linear(part.lin2))


def _head(layer: DistilBertHead) -> HeadWeights:
    return HeadWeights(
        dense=linear(layer.dense), activation=layer.activation, norm=layer.norm, decoder=linear(layer.decoder)
    )


BLOCKS = {
    "embedding": _embedding,
    "attention": _attention,
    "norm_attention": lambda layer: layer.layer.sa_layer_norm,
    "mlp": _mlp,
    "norm_mlp": lambda layer: layer.layer.output_layer_norm,
    "head": _head,
}
