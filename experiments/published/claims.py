"""What was published, what do we predict, and was the row used to fit anything?"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from pathlib import Path

import pandas as pd
from pandas import DataFrame

from edgesim.finetuning import cached, full, houlsby, lora, parallel_adapters
from edgesim.model import Model
from experiments.configuration.command_line import ROOT, composed
from experiments.configuration.setup import build

PUBLISHED = ROOT / "results" / "published" / "published.csv"
PAC = "PAC (arXiv 2408.10746)"
# Of every fine-tuning row of PAC's paper: mini-batch 16, encoder length 128; decoder length 1 is in the models' files.
SAMPLES, TOKENS = 16, 128
_DEVICES = 8
FILLS_CACHE, WITH_CACHE = "Parallel Adapters", "Parallel Adapters + cache"
MODELS = {"T5-Base": "t5_base", "BART-Large": "bart_large", "T5-Large": "t5_large"}


class Role(StrEnum):
    """Whether a row was used to fit a constant."""

    FITTED = "fitted"
    PREDICTED = "predicted"


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """One number, as published and as predicted, in the unit of the publication."""

    source: str
    item: str
    model: str
    method: str
    metric: str
    unit: str
    published: float
    predicted: float
    role: Role
    note: str = ""

    @property
    def error(self) -> float:
        """``predicted / published - 1``."""
        return self.predicted / self.published - 1


@cache
def published(path: Path = PUBLISHED) -> DataFrame:
    """All published numbers."""
    return pd.read_csv(path, keep_default_na=False)


def numbers(*, item: str, source: str = PAC) -> Mapping[tuple[str, str, str], tuple[float, str]]:
    """Value and unit by (model, method, metric). Raises ValueError if the item is not in the table."""
    table = published()
    rows = table[(table["source"] == source) & (table["item"] == item)]
    if rows.empty:
        raise ValueError(f"{PUBLISHED} has no row of {source}, {item}")
    return {
        (row["model"], row["method"], row["metric"]): (float(row["value"]), str(row["unit"]))
        for row in rows.to_dict("records")
    }


def samples_per_device(method: str) -> int:
    """A pipeline passes the whole mini-batch on; with the cache, training is data parallel."""
    return SAMPLES // _DEVICES if method == WITH_CACHE else SAMPLES


@cache
def model(title: str, method: str) -> Model:
    """A model of the paper under one of its techniques, in training, as the PyTorch 1 of a Jetson Nano runs it."""
    training = ["+model.dropout=true", *(["+model.fused=false"] if title == "BART-Large" else [])]
    plain: Model = build(composed(f"model={MODELS[title]}", *training).model)
    return {
        "Full": full,
        "Inference": full,
        "Adapters": houlsby,
        "LoRA": lambda plain: lora(plain, dropout=True),  # as the technique's usual library has it
        FILLS_CACHE: parallel_adapters,
        WITH_CACHE: lambda plain: cached(parallel_adapters(plain)),
    }[method](plain)
