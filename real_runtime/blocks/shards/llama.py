"""Where are Llama's weights in the library's layers, and how do positions turn queries and keys?"""

import torch
from torch import Tensor, nn
from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding, apply_rotary_pos_emb

from real_runtime.blocks.shards.weights import AttentionWeights, EmbeddingWeights, HeadWeights, MlpWeights, linear
from real_runtime.models.llama import LlamaDecoder


class Rotary(nn.Module):
    """Positions from the first token's on."""

    def __init__(self, rotary: LlamaRotaryEmbedding) -> None:
        super().__init__()
        self.rotary = rotary

    def forward(self, q: Tensor, k: Tensor, first: int) -> tuple[Tensor, Tensor]:
        places = torch.arange(first, first + q.shape[2], device=q.device)[None]
        turned: tuple[Tensor, Tensor] = apply_rotary_pos_emb(q, k, *self.rotary(q, places))
        return turned


def _attention(layer: LlamaDecoder) -> AttentionWeights:
    part = layer.layer.self_attn
    return AttentionWeights(
        query=linear(part.q_proj),
        key=linear(part.k_proj),
        value=linear(part.v_proj),
        out=linear(part.o_proj),
        head_size=part.head_dim,
        causal=True,
        positions=Rotary(layer.rotary),
    )


def _mlp(layer: LlamaDecoder) -> MlpWeights:
    part = layer.layer.mlp
    return MlpWeights(
        into=(linear(part.gate_proj), linear(part.up_proj)), activation=part.act_fn, out=linear(part.down_proj)
    )


BLOCKS = {
    "embedding": lambda layer: EmbeddingWeights(
        words=layer.word_embeddings.weight, padding=layer.word_embeddings.padding_idx
    ),
    "norm_attention": lambda layer: layer.layer.input_layernorm,
    "attention": _attention,
    "norm_mlp": lambda layer: layer.layer.post_attention_layernorm,
    "mlp": _mlp,
    "norm_final": lambda layer: layer.norm,
    "head": lambda layer: HeadWeights(decoder=linear(layer.decoder)),
}
