"""MobileNetV2's layers from Hugging Face transformers: stem, 16 inverted residuals, and the classifier."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from transformers import MobileNetV2Config, MobileNetV2ForImageClassification

_RESIDUALS = 16  # Sandler et al., 2018, table 2, as the library builds it


def layer(hyper: Mapping[str, Any], index: int) -> nn.Module:
    """Layer ``index`` of the chain. Batch norm uses the statistics of the samples that a rank computes."""
    settings = {"image_size": hyper["resolution"], "num_labels": hyper["classes"], "depth_multiplier": hyper["width"]}
    whole = MobileNetV2ForImageClassification(MobileNetV2Config(**settings, classifier_dropout_prob=0.0))
    whole.train()
    body = whole.mobilenet_v2
    if index == 0:
        return body.conv_stem
    if index <= _RESIDUALS:
        return body.layer[index - 1]
    return nn.Sequential(body.conv_1x1, nn.AdaptiveAvgPool2d((1, 1)), nn.Flatten(), whole.classifier)


def layer_names(hyper: Mapping[str, Any]) -> list[str]:
    """Names of the chain's layers."""
    return ["stem", *(f"residual.{i}" for i in range(_RESIDUALS)), "head"]


def sample(hyper: Mapping[str, Any], tokens: int) -> Tensor:
    """One image [1, 3, resolution, resolution]."""
    return torch.zeros(1, 3, hyper["resolution"], hyper["resolution"])


def loss(hyper: Mapping[str, Any], tokens: int, output: Tensor, target: Tensor) -> Tensor:
    """Cross-entropy, summed over samples."""
    return nn.functional.cross_entropy(output, target, reduction="sum")
