"""Where do the weights of a model lie that no library saves? In one file, layer by layer, which says of what model."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from edgesim.model import Model
from real_runtime.weights.tensor_files import named_by_layer, save_tensors

FILE = "model.safetensors"
_ABOUT = "edgesim_model"
_PLACES = ("file",)  # hyper-parameters that say where something lies, not what it is


def write_plain(folder: Path, model: Model, layers: Iterable[nn.Module]) -> None:
    """Write the weights of all layers, as ``<layer>.<name in the layer>``. Raises ValueError where the disk is full."""
    save_tensors(folder / FILE, named_by_layer(layers), {_ABOUT: json.dumps(_identity(model))})


def read_plain(model: Model, layers: Mapping[int, nn.Module], folder: str) -> None:
    """Give these layers, by their index, the weights of the file. Raises ValueError if it is not of this model."""
    refuse_other(model, folder)
    with _opened(folder) as file:
        for index, layer in layers.items():
            named: dict[str, Tensor] = {}
            for name in file.keys():  # noqa: SIM118  it is no mapping
                if name.partition(".")[0] == str(index):
                    named[name.partition(".")[2]] = file.get_tensor(name)
            try:
                layer.load_state_dict(named)
            except RuntimeError as error:
                reason = "; ".join(line.strip() for line in str(error).splitlines()[1:])
                raise ValueError(
                    f"{folder}: layer {model.layers[index].name}: {reason} (train the model anew)"
                ) from error


def refuse_other(model: Model, folder: str) -> None:
    """Raise ValueError unless the folder holds weights of this very model; they are not read."""
    if not (Path(folder) / FILE).is_file():
        raise ValueError(f"{folder}: holds no weights of {model.name}, {FILE} is missing (save some by save_weights)")
    with _opened(folder) as file:
        about = (file.metadata() or {}).get(_ABOUT)
    if about is None:
        raise ValueError(f"{folder}: does not say of what model its weights are (save some by save_weights)")
    saved, asked = json.loads(about), _identity(model)
    for name in sorted({*saved, *asked}):
        if saved.get(name) != asked.get(name):
            raise ValueError(
                f"{folder}: has {name}={saved.get(name)}, {model.name} has {name}={asked.get(name)} "
                "(choose the model to match)"
            )


def _opened(folder: str) -> Any:
    try:
        return safe_open(Path(folder) / FILE, "pt")
    except SafetensorError as error:
        raise ValueError(f"{folder}: its weights cannot be read: {error} (train the model anew)") from error


def _identity(model: Model) -> dict[str, Any]:
    hyper = {name: value for name, value in model.hyper.items() if name not in _PLACES}
    return json.loads(json.dumps({"architecture": model.architecture, **hyper}))  # type: ignore[no-any-return]
