"""Which weights does a local folder hold? A whole model that transformers saved there, read without any network."""

from pathlib import Path
from typing import Any

import torch
from torch import nn

from edgesim.model import Model

_WEIGHTS = (
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
)


def read_whole(architecture: Any, model: Model, folder: str) -> nn.Module:
    """The whole model in FP32, dropout off, in training mode.

    ``architecture`` is a file of ``real_runtime.models`` with ``WHOLE``, ``DROPOUTS`` and ``hyper_of``. Raises
    ValueError for a folder without a checkpoint, for one of another model, and for one that lacks weights. A tied
    checkpoint may fill an untied model, whose head then gets a copy.
    """
    config = read_config(architecture, model, folder)
    whole, loading = architecture.WHOLE.from_pretrained(
        folder,
        config=config,
        local_files_only=True,
        dtype=torch.float32,
        attn_implementation="sdpa",
        output_loading_info=True,
    )
    if loading["missing_keys"]:
        missing = ", ".join(sorted(loading["missing_keys"]))
        raise ValueError(f"{folder}: lacks {missing} (save the whole {architecture.WHOLE.__name__})")
    whole.train()
    return whole  # type: ignore[no-any-return]


def read_config(architecture: Any, model: Model, folder: str) -> Any:
    """The library's configuration of the model in that folder; no weights are read. Raises ValueError as above."""
    if not hasattr(architecture, "WHOLE"):
        raise ValueError(
            f"{model.name}: the runtime reads no checkpoints of {model.architecture} (build it from a seed)"
        )
    if not (Path(folder) / "config.json").is_file():
        raise ValueError(f"{folder}: holds no checkpoint, config.json is missing (save one there by save_pretrained)")
    if not any((Path(folder) / name).is_file() for name in _WEIGHTS):
        raise ValueError(f"{folder}: holds no weights, neither of {', '.join(_WEIGHTS)} (save the whole model there)")
    kind = architecture.WHOLE.config_class
    saved = kind.get_config_dict(folder, local_files_only=True)[0].get("model_type")
    if saved != kind.model_type:
        raise ValueError(f"{folder}: is a checkpoint of {saved}, {model.name} is {kind.model_type}")
    config = kind.from_pretrained(folder, local_files_only=True)
    try:
        saved_hyper = architecture.hyper_of(config)
    except ValueError as error:
        raise ValueError(f"{folder}: {error}") from error
    for name, value in saved_hyper.items():
        asked = model.hyper[name]
        if value != asked and not (name == "tied" and value):
            raise ValueError(
                f"{folder}: has {name}={value}, {model.name} has {name}={asked} (choose the model to match)"
            )
    for name in architecture.DROPOUTS:
        setattr(config, name, 0.0)
    return config
