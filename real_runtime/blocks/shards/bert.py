"""Where are BERT's weights in the library's layers?"""

from transformers.models.bert.modeling_bert import BertEmbeddings, BertLMPredictionHead

from real_runtime.blocks.shards.weights import AttentionWeights, EmbeddingWeights, HeadWeights, MlpWeights, linear
from real_runtime.models.language import OneTensor


def _embedding(layer: BertEmbeddings) -> EmbeddingWeights:
    words = layer.word_embeddings
    return EmbeddingWeights(
        words=words.weight,
        padding=words.padding_idx,
        positions=layer.position_embeddings.weight,
        types=layer.token_type_embeddings.weight,
        norm=layer.LayerNorm,
    )


def _attention(layer: OneTensor) -> AttentionWeights:
    part = layer.layer.attention
    return AttentionWeights(
        query=linear(part.self.query),
        key=linear(part.self.key),
        value=linear(part.self.value),
        out=linear(part.output.dense),
        head_size=part.self.attention_head_size,
        causal=False,
    )


def _mlp(layer: OneTensor) -> MlpWeights:
    inner = layer.layer.intermediate
    return MlpWeights(
        into=(linear(inner.dense),), activation=inner.intermediate_act_fn, out=linear(layer.layer.output.dense)
    )


def _head(layer: BertLMPredictionHead) -> HeadWeights:
    before = layer.transform
    return HeadWeights(
        dense=linear(before.dense),
        activation=before.transform_act_fn,
        norm=before.LayerNorm,
        decoder=linear(layer.decoder),
    )


BLOCKS = {
    "embedding": _embedding,
    "attention": _attention,
    "norm_attention": lambda layer: layer.layer.attention.output.LayerNorm,
    "mlp": _mlp,
    "norm_mlp": lambda layer: layer.layer.output.LayerNorm,
    "head": _head,
}
