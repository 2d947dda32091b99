"""What was published of PAC's systems, what do we predict, and which rows do the predictions rest on?"""

from collections.abc import Iterator, Mapping, Sequence

from experiments.pac.hours import Row as Hours
from experiments.pac.settings import FULL, PAC, STANDALONE, TASKS
from experiments.pac.throughput import ITEM as THROUGHPUT
from experiments.pac.throughput import Throughput
from experiments.pac.worth import Worth
from experiments.published import grouping, memory, times
from experiments.published.claims import (
    BOTTLENECK,
    EPOCHS,
    FILLS_CACHE,
    HOURS,
    RANK,
    SIDE_HEADS,
    WITH_CACHE,
    Claim,
    published,
)
from experiments.published.claims import PAC as SOURCE
from experiments.published.constants import Constant, ConstantOrigin, Row
from experiments.published.times import CURVE

ABSTRACT = "abstract"
# With one micro-batch, or with four samples in each, PAC's groups are those of figure 10.
MICRO_BATCHES = Constant(
    name="PAC's micro-batches",
    origin=ConstantOrigin.CHOSEN,
    rows=frozenset(Row(SOURCE, "Fig. 10", title, PAC, "device grouping") for title in ("T5-Base", "BART-Large")),
)
_OF_TECHNIQUE: Mapping[str, Sequence[Constant]] = {
    FULL: (),
    "Adapters": (BOTTLENECK,),
    "LoRA": (RANK,),
    FILLS_CACHE: (SIDE_HEADS, MICRO_BATCHES),
}


def of_hours(rows: Sequence[Hours]) -> Iterator[Claim]:
    """Table 2: what ran, and was published in hours."""
    predicted = {(row.model, f"{row.system}, {row.technique}", row.task): row for row in rows}
    for model, method, setting, unit, value in _published(HOURS):
        row = predicted[model, method, setting.split(",")[0]]
        if value != "OOM" and row.hours is not None:
            yield _claim(
                HOURS, model, method, f"time, {setting.split(',')[0]}", unit, value, row.hours, _of(row.technique)
            )


def runs_out_of_memory(rows: Sequence[Hours]) -> dict[str, tuple[bool, bool]]:
    """By method and task, whether it was published to need too much memory, and whether it does here."""
    predicted = {(row.model, f"{row.system}, {row.technique}", row.task): row.hours is None for row in rows}
    return {
        f"{method}, {setting.split(',')[0]}": (value == "OOM", predicted[model, method, setting.split(",")[0]])
        for model, method, setting, _, value in _published(HOURS)
    }


def of_throughput(rows: Sequence[Throughput]) -> Iterator[Claim]:
    """Figure 9a, once for each player."""
    for row in rows:
        yield Claim(
            row=Row(SOURCE, THROUGHPUT, row.model, row.system, f"throughput, {row.nanos} Nanos"),
            unit="samples/s",
            published=row.published,
            predicted=row.predicted,
            constants=(CURVE, SIDE_HEADS),
            player=row.player,
        )


def of_epochs(worth: Worth) -> Iterator[Claim]:
    """Figure 11, from the seconds of its three kinds of iterations."""
    for model, method, setting, unit, value in _published(EPOCHS):
        epochs = int(setting.split()[-2])
        computed_s = epochs * worth.iterations * worth.computed_s
        cached_s = worth.iterations * (worth.filling_s + (epochs - 1) * worth.cached_s) + worth.redistribution_s
        seconds = computed_s if "without" in method or epochs == 1 else cached_s
        yield _claim(EPOCHS, model, method, f"time, {epochs} epochs", unit, value, seconds / 3600, _of(FILLS_CACHE))


def of_abstract(rows: Sequence[Hours]) -> Iterator[Claim]:
    """Both headlines: the first task's hours of one device with adapters over PAC's, and peaks of figure 8b."""
    task = TASKS[0].name
    hours = {(row.system, row.technique): row.hours for row in rows if (row.model, row.task) == ("T5-Base", task)}
    alone, ours = hours[STANDALONE, "Adapters"], hours[PAC, FILLS_CACHE]
    framework_gib = memory.fitted_framework_gib()
    full, cached = (
        sum(memory.peak_parts_gib("T5-Base", method).values()) + framework_gib for method in ("Full", WITH_CACHE)
    )
    for _, method, _, unit, value in _published(ABSTRACT):
        if unit == "x" and alone is not None and ours is not None:
            constants = (*_of("Adapters"), *_of(FILLS_CACHE))
            yield _claim(ABSTRACT, "T5-Base", method, "speed-up", unit, value, alone / ours, constants)
        elif unit == "%":
            constants = (memory.FRAMEWORK, memory.COPIES, SIDE_HEADS)
            yield _claim(
                ABSTRACT, "T5-Base", method, "memory reduction", unit, value, 100 * (1 - cached / full), constants
            )


def of_parts() -> Iterator[Claim]:
    """Figures 8a, 8b and 9b, and table 1, as results/published has them."""
    yield from times.claims()
    yield from memory.claims()
    yield from grouping.claims()


def _published(item: str) -> Iterator[tuple[str, str, str, str, str]]:
    table = published()
    rows = table[(table["source"] == SOURCE) & (table["item"] == item)]
    for row in rows.to_dict("records"):
        model, method = str(row["model"]), str(row["method"])
        yield model, method, str(row["setting"]), str(row["unit"]), str(row["value"])


def _of(technique: str) -> tuple[Constant, ...]:
    return (CURVE, *_OF_TECHNIQUE[technique])


def _claim(
    item: str,
    model: str,
    method: str,
    metric: str,
    unit: str,
    value: str,
    predicted: float,
    constants: tuple[Constant, ...],
) -> Claim:
    return Claim(
        row=Row(SOURCE, item, model, method, metric),
        unit=unit,
        published=float(value),
        predicted=predicted,
        constants=tuple(dict.fromkeys(constants)),
    )
