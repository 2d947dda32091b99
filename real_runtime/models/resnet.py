"""ResNet's layers from Hugging Face transformers: stem, every bottleneck, and the classifier."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from transformers import ResNetConfig
from transformers.models.resnet.modeling_resnet import ResNetBottleNeckLayer, ResNetEmbeddings

_STEM_CHANNELS, _CHANNELS = 64, (256, 512, 1024, 2048)  # He et al., 2016, table 1


def layer(hyper: Mapping[str, Any], index: int) -> nn.Module:
    """Layer ``index`` of the chain. Batch norm uses the statistics of the samples that a rank computes."""
    config = ResNetConfig(embedding_size=_STEM_CHANNELS, hidden_sizes=_CHANNELS, depths=hyper["depths"])
    places = _places(hyper)
    if index == 0:
        return ResNetEmbeddings(config)
    if index > len(places):
        return nn.Sequential(nn.AdaptiveAvgPool2d((1, 1)), nn.Flatten(), nn.Linear(_CHANNELS[-1], hyper["classes"]))
    stage, place = places[index - 1]
    entering = _CHANNELS[stage] if place > 0 else (_STEM_CHANNELS, *_CHANNELS)[stage]
    stride = 2 if place == 0 and stage > 0 else 1  # in the 3 x 3 convolution (ResNet v1.5), as the library has it
    return ResNetBottleNeckLayer(entering, _CHANNELS[stage], stride=stride, activation=config.hidden_act)


def layer_names(hyper: Mapping[str, Any]) -> list[str]:
    """Names of the chain's layers."""
    return ["stem", *(f"bottleneck.{stage}.{place}" for stage, place in _places(hyper)), "head"]


def _places(hyper: Mapping[str, Any]) -> list[tuple[int, int]]:
    """[bottleneck] its stage and its place there."""
    return [(stage, place) for stage, depth in enumerate(hyper["depths"]) for place in range(depth)]


def sample(hyper: Mapping[str, Any], tokens: int) -> Tensor:
    """One image [1, 3, resolution, resolution]."""
    return torch.zeros(1, 3, hyper["resolution"], hyper["resolution"])


def loss(hyper: Mapping[str, Any], tokens: int, output: Tensor, target: Tensor) -> Tensor:
    """Cross-entropy, summed over samples."""
    return nn.functional.cross_entropy(output, target, reduction="sum")
