"""What was published, what do we predict, and what was the row to its prediction?"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pandas as pd
from pandas import DataFrame

from edgesim.finetuning import cached, full, houlsby, lora, parallel_adapters
from edgesim.model import Model
from experiments.configuration.command_line import composed
from experiments.configuration.constructors import build
from experiments.configuration.places import KEPT
from experiments.published.constants import Constant, ConstantOrigin, Role, Row, role_of

PUBLISHED = KEPT / "published" / "published.csv"
PAC = "PAC (arXiv 2408.10746)"
# Of every fine-tuning row of PAC's paper: mini-batch 16, encoder length 128; decoder length 1 is in the models' files.
SAMPLES, TOKENS = 16, 128
DEVICES = 8
# Items of the paper that experiments.pac predicts and figures draw.
HOURS, EPOCHS = "Table 2", "Fig. 11"
FILLS_CACHE, WITH_CACHE = "Parallel Adapters", "Parallel Adapters + cache"
# Sizes of the techniques that the paper does not state: defaults of ``edgesim.finetuning``, read from its table.
BOTTLENECK = Constant(
    name="bottleneck of Houlsby adapters",
    origin=ConstantOrigin.READ,
    rows=frozenset({Row(PAC, "Table 1", "T5-Large", "Adapters", "gradients memory")}),
)
RANK = Constant(
    name="rank of LoRA",
    origin=ConstantOrigin.READ,
    rows=frozenset({Row(PAC, "Table 1", "T5-Large", "LoRA", "gradients memory")}),
)
SIDE_HEADS = Constant(
    name="heads of the side network",
    origin=ConstantOrigin.CHOSEN,
    rows=frozenset(Row(PAC, "Fig. 8a", title, WITH_CACHE, "total per sample") for title in ("T5-Base", "BART-Large")),
)
_OF_TECHNIQUE = {
    "Adapters": (BOTTLENECK,),
    "LoRA": (RANK,),
    FILLS_CACHE: (SIDE_HEADS,),
    WITH_CACHE: (SIDE_HEADS,),
}
MODELS = {"T5-Base": "t5_base", "BART-Large": "bart_large", "T5-Large": "t5_large"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """One published number and our prediction of it, in the unit of the publication.

    ``player`` tells two predictions of one number apart; it is empty where there is one. ``constants`` are all that the
    prediction rests on beside models, data sheets and what the publication states.
    """

    row: Row
    unit: str
    published: float
    predicted: float
    constants: tuple[Constant, ...] = ()
    player: str = ""
    note: str = ""

    @property
    def metric(self) -> str:
        """What was published, and who predicts it where there are two."""
        return f"{self.row.metric}, {self.player}" if self.player else self.row.metric

    @property
    def role(self) -> Role:
        """Whether the row was fitted, depends on a fitted one, or is predicted."""
        return role_of(self.row, self.constants)

    @property
    def error(self) -> float:
        """``predicted / published - 1``."""
        return self.predicted / self.published - 1


@cache
def published(path: Path = PUBLISHED) -> DataFrame:
    """All published numbers."""
    return pd.read_csv(path, keep_default_na=False)


def numbers(*, item: str, source: str = PAC) -> Mapping[Row, tuple[float, str]]:
    """Value and unit of every row of an item. Raises ValueError if the item is not in the table."""
    table = published()
    rows = table[(table["source"] == source) & (table["item"] == item)]
    if rows.empty:
        raise ValueError(f"{PUBLISHED} has no row of {source}, {item}")
    return {
        Row(source, item, row["model"], row["method"], row["metric"]): (float(row["value"]), str(row["unit"]))
        for row in rows.to_dict("records")
    }


def technique_constants(method: str) -> tuple[Constant, ...]:
    """What is known of a fine-tuning technique only from published rows."""
    return _OF_TECHNIQUE.get(method, ())


def samples_per_device(method: str) -> int:
    """A pipeline passes the whole mini-batch on; with the cache, training is data parallel."""
    return SAMPLES // DEVICES if method == WITH_CACHE else SAMPLES


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
