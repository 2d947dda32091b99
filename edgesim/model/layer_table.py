"""How is a model written in a file? A table of layers and blocks in JSON, traced once from the PyTorch module."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import fields, is_dataclass
from difflib import get_close_matches
from importlib.resources import files
from pathlib import Path
from typing import Any

from edgesim.errors import reading
from edgesim.model.block import Block, BlockKind, Cost, SplitBy, Unsplit
from edgesim.model.model import Layer, Model


def from_table(*, table: str, resolution: int | None = None) -> Model:
    """Read a traced layer table: one of ``edgesim/tables`` by its name, or any other by its path, which ends in .json.

    Tables are written by ``python -m real_runtime.tracing.trace_model`` from the PyTorch module itself. A table of a
    user's own module names its file relative to the table. Of pictures of another ``resolution`` there is a table
    beside it, ``<table>_<resolution>``. Raises ValueError for an unknown table.
    """
    model = _read(table)
    if resolution is None or resolution == model.hyper.get("resolution"):
        return model
    beside = f"{table.removesuffix('.json')}_{resolution}" + (".json" if table.endswith(".json") else "")
    try:
        return _read(beside)
    except ValueError as error:
        raise ValueError(
            f"{model.name} was traced for pictures of {model.hyper.get('resolution')} pixels, not of {resolution}: "
            f"{error} (trace it: python -m real_runtime.tracing.trace_model --resolution {resolution})"
        ) from error


def _read(table: str) -> Model:
    kept = files("edgesim") / "tables"
    own = Path(table).resolve() if table.endswith(".json") else None
    path, folder = (own, own.parent) if own else (kept / f"{table}.json", kept)
    if not path.is_file():
        there = [entry.name for entry in folder.iterdir()] if folder.is_dir() else []
        raise ValueError(_unknown_table(table, there, of_a_user=bool(own)))
    with reading(table, "layer table", written_by="real_runtime.tracing.trace_model"):
        data = json.loads(path.read_text(encoding="utf-8"))
        if own and "file" in data["hyper"]:
            data["hyper"]["file"] = str((own.parent / data["hyper"]["file"]).resolve())
        return model_from_dict(data)


def _unknown_table(table: str, names: Iterable[str], *, of_a_user: bool) -> str:
    """What is wrong, which of the folder's tables may be meant, and which there are."""
    files_known = sorted(name for name in names if name.endswith(".json"))
    known = files_known if of_a_user else [name.removesuffix(".json") for name in files_known]
    near = get_close_matches(Path(table).name, known, n=1)
    meant = f"did you mean {near[0]!r}? " if near else ""
    return f"unknown layer table {table!r} ({meant}known: {', '.join(known) or 'none'})"


def model_from_dict(data: Mapping[str, Any]) -> Model:
    """Read what :func:`model_to_dict` wrote."""
    layers = tuple(
        Layer(name=layer["name"], blocks=tuple(_read_block(b) for b in layer["blocks"])) for layer in data["layers"]
    )
    nouns = {key: data[key] for key in ("name", "architecture", "hyper", "activation_bytes") if key in data}
    return Model(**nouns, layers=layers)


def _read_block(data: Mapping[str, Any]) -> Block:
    costs = _read_costs({key: value for key, value in data.items() if key != "unsplit"})
    unsplit = Unsplit(**_read_costs(data.get("unsplit", {})))
    parts = tuple(_read_block(part) for part in data.get("parts", ()))
    kinds = {"kind": BlockKind(data["kind"]), "split_by": SplitBy(data["split_by"])}
    return Block(**costs | kinds | {"unsplit": unsplit, "parts": parts})


def _read_costs(data: Mapping[str, Any]) -> dict[str, Any]:
    return {key: Cost(**value) if isinstance(value, Mapping) else value for key, value in data.items()}


def model_to_dict(model: Model) -> dict[str, Any]:
    """Write the model as plain JSON data, without what is empty of ``parts``, ``unsplit``, ``per_key`` and others."""
    data: dict[str, Any] = _plain(model)
    return data


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    if isinstance(value, Mapping):
        return dict(value)
    if not is_dataclass(value):
        return value
    items = {field.name: getattr(value, field.name) for field in fields(value)}
    return {name: _plain(item) for name, item in items.items() if (name, item) not in _LEFT_OUT}


_LEFT_OUT = (
    ("tied_exchanged", False),
    ("parts", ()),
    ("unsplit", Unsplit()),
    ("per_key", 0.0),
    ("window_tokens", 0),
    ("statistics_bytes", 0),
    ("activation_bytes", 4),
)
