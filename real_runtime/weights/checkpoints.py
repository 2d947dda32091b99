"""Which weights does a local folder hold? A whole model that transformers saved there, read without any network."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers.utils import logging

from edgesim.model import Model

WEIGHTS = (
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
    try:
        with in_silence():
            whole, loading = architecture.WHOLE.from_pretrained(
                folder,
                config=config,
                local_files_only=True,
                dtype=torch.float32,
                attn_implementation=getattr(architecture, "ATTENTION", "sdpa"),
                ignore_mismatched_sizes=True,
                output_loading_info=True,
            )
    except MemoryError:
        raise
    except Exception as error:  # each kind of file has errors of its own
        reason = str(error).strip().partition("\n")[0]
        raise ValueError(f"{folder}: its weights cannot be read: {reason} (save the whole model there anew)") from error
    if loading["missing_keys"]:
        missing = ", ".join(sorted(loading["missing_keys"]))
        raise ValueError(f"{folder}: lacks {missing} (save the whole {architecture.WHOLE.__name__})")
    for name, saved, asked in sorted(loading["mismatched_keys"]):
        differs = f"{name} is {tuple(saved)}, in {model.name} it is {tuple(asked)}"
        raise ValueError(f"{folder}: {differs} (save the whole model there anew)")
    whole.train()
    return whole  # type: ignore[no-any-return]


@contextmanager
def in_silence() -> Iterator[None]:
    """While transformers reads or writes: no bars, no reports; what is wrong is told by us."""
    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()


def read_config(architecture: Any, model: Model, folder: str) -> Any:
    """The library's configuration of the model in that folder; no weights are read. Raises ValueError as above."""
    if not (Path(folder) / "config.json").is_file():
        raise ValueError(f"{folder}: holds no checkpoint, config.json is missing (save one there by save_pretrained)")
    if not any((Path(folder) / name).is_file() for name in WEIGHTS):
        raise ValueError(f"{folder}: holds no weights, neither of {', '.join(WEIGHTS)} (save the whole model there)")
    kind = architecture.WHOLE.config_class
    try:
        saved = kind.get_config_dict(folder, local_files_only=True)[0].get("model_type")
    except OSError as error:
        raise ValueError(f"{folder}: its config.json cannot be read: {error} (save the model there anew)") from error
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
