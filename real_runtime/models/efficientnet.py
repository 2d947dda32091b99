"""EfficientNet's layers from Hugging Face transformers: stem, every inverted bottleneck, and the classifier."""

from collections.abc import Mapping
from math import ceil
from typing import Any

import torch
from torch import Tensor, nn
from transformers import EfficientNetConfig
from transformers.activations import ACT2FN
from transformers.models.efficientnet.modeling_efficientnet import (
    EfficientNetBlock,
    EfficientNetEmbeddings,
    round_filters,
)

_TOP_CHANNELS = 1280  # of B0; Tan and Le, 2019, table 1


def layer(hyper: Mapping[str, Any], index: int) -> nn.Module:
    """Layer ``index`` of the chain. Dropout and dropped connections are off: runs must agree."""
    config, places = _config(hyper), _places(hyper)
    if index == 0:
        return EfficientNetEmbeddings(config)
    if index <= len(places):
        return _bottleneck(config, index - 1, *places[index - 1])
    return nn.Sequential(
        nn.Conv2d(round_filters(config, config.out_channels[-1]), config.hidden_dim, 1, padding="same", bias=False),
        nn.BatchNorm2d(config.hidden_dim, eps=config.batch_norm_eps, momentum=config.batch_norm_momentum),
        ACT2FN[config.hidden_act],
        nn.AdaptiveAvgPool2d((1, 1)),  # the library pools a window of hidden_dim pixels: all of them
        nn.Flatten(),
        nn.Linear(config.hidden_dim, hyper["classes"]),
    )


def _bottleneck(config: EfficientNetConfig, index: int, stage: int, place: int) -> EfficientNetBlock:
    """The block of this place in its stage, as EfficientNetEncoder builds it; only the first one changes shapes."""
    first = place == 0
    return EfficientNetBlock(
        config=config,
        in_dim=round_filters(config, (config.in_channels if first else config.out_channels)[stage]),
        out_dim=round_filters(config, config.out_channels[stage]),
        stride=config.strides[stage] if first else 1,
        kernel_size=config.kernel_sizes[stage],
        expand_ratio=config.expand_ratios[stage],
        drop_rate=0.0,
        id_skip=first,
        adjust_padding=index not in config.depthwise_padding,
    )


def _config(hyper: Mapping[str, Any]) -> EfficientNetConfig:
    config = EfficientNetConfig(
        image_size=hyper["resolution"],
        width_coefficient=hyper["width"],
        depth_coefficient=hyper["depth"],
        depthwise_padding=hyper["depthwise_padding"],
        dropout_rate=0.0,
        drop_connect_rate=0.0,
    )
    config.hidden_dim = round_filters(config, _TOP_CHANNELS)
    return config


def layer_names(hyper: Mapping[str, Any]) -> list[str]:
    """Names of the chain's layers."""
    return ["stem", *(f"bottleneck.{stage}.{place}" for stage, place in _places(hyper)), "head"]


def _places(hyper: Mapping[str, Any]) -> list[tuple[int, int]]:
    """[bottleneck] its stage and its place there."""
    repeats = [ceil(hyper["depth"] * repeats) for repeats in _config(hyper).num_block_repeats]
    return [(stage, place) for stage, depth in enumerate(repeats) for place in range(depth)]


def sample(hyper: Mapping[str, Any], tokens: int) -> Tensor:
    """One image [1, 3, resolution, resolution]."""
    return torch.zeros(1, 3, hyper["resolution"], hyper["resolution"])


def loss(hyper: Mapping[str, Any], tokens: int, output: Tensor, target: Tensor) -> Tensor:
    """Cross-entropy, summed over samples."""
    return nn.functional.cross_entropy(output, target, reduction="sum")
