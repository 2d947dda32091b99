"""How much memory does fine-tuning take? Table 1 and figure 8b of PAC's paper.

Parameters, gradients and activations follow from the model. While a block's backward pass runs, the gradients of what
it kept exist beside it: the largest block's count once more. What a framework takes beside is one constant per device,
fitted to T5-Base's rows of figure 8b. With the cache, training is data parallel: every device holds the whole side
network and two of the sixteen samples; its activations are those of all layers.

Two copies count among the activations of figure 8b, as what is neither weight nor gradient. Before the cache is full,
what it takes of a micro-batch stands in memory once more on its way to the disk (assumed: "Parallel Adapters" is the
epoch that fills it). And PyTorch's data parallelism copies gradients into buckets of the same size, by default.
"""

from collections.abc import Iterator, Sequence

from scipy.optimize import minimize_scalar

from edgesim.model import Layer
from edgesim.units import si
from experiments.published.claims import (
    DEVICES,
    FILLS_CACHE,
    PAC,
    SAMPLES,
    TOKENS,
    WITH_CACHE,
    Claim,
    model,
    numbers,
    samples_per_device,
    technique_constants,
)
from experiments.published.constants import Constant, ConstantOrigin, Row

ITEMS = TABLE, FIGURE = "Table 1", "Fig. 8b"
_FITTED_TO = "T5-Base"
FRAMEWORK = Constant(
    name="memory of the framework",
    origin=ConstantOrigin.FITTED,
    rows=frozenset(
        Row(PAC, FIGURE, _FITTED_TO, method, "total")
        for method in ("Full", "Adapters", "LoRA", FILLS_CACHE, WITH_CACHE)
    ),
)
COPIES = Constant(
    name="copies of what is cached and of gradients in buckets",
    origin=ConstantOrigin.CHOSEN,
    rows=frozenset(
        Row(PAC, FIGURE, title, method, "total")
        for title in ("T5-Base", "BART-Large")
        for method in (FILLS_CACHE, WITH_CACHE)
    ),
)
_GIB = si("1 GiB")


def claims() -> Iterator[Claim]:
    """Both items; the constant is fitted before."""
    yield from _table()
    framework_gib = fitted_framework_gib()
    for row, (value, unit) in numbers(item=FIGURE).items():
        parts = peak_parts_gib(row.model, row.method)
        rests_on = () if row.metric == "weights" else (FRAMEWORK, *_copies(row.method))
        yield Claim(
            row=row,
            unit=unit,
            published=value,
            predicted={
                "weights": parts["weights"],
                "weights + activations": parts["weights"] + parts["activations"] + framework_gib,
                "total": sum(parts.values()) + framework_gib,
            }[row.metric],
            constants=(*technique_constants(row.method), *rests_on),
            note=f"framework {framework_gib:.3f} GiB" if rests_on else "",
        )


def fitted_framework_gib() -> float:
    """What makes the worst relative error of T5-Base's totals least; not below nothing."""
    rows = [
        (sum(peak_parts_gib(row.model, row.method).values()), value)
        for row, (value, _) in numbers(item=FIGURE).items()
        if row in FRAMEWORK.rows
    ]

    def worst(framework_gib: float) -> float:
        return max(abs((predicted + framework_gib) / value - 1) for predicted, value in rows)

    return float(minimize_scalar(worst, bounds=(0.0, 1.0), method="bounded").x)


def first_stage(layers: Sequence[Layer], devices: int) -> Sequence[Layer]:
    """What the first device of a straight pipeline holds, which needs most: the embedding and its share of the layers.

    The embedding and the head stand at the ends of the chain; the layers between them are divided evenly.
    """
    between = len(layers) - 2
    if between % devices:
        raise ValueError(f"{between} layers cannot be divided evenly among {devices} devices")
    return layers[: 1 + between // devices]


def peak_parts_gib(title: str, method: str) -> dict[str, float]:
    """Weights, activations and gradients of the device that needs most, in GiB."""
    tuned, plain = model(title, method), model(title, "Full")
    if method == WITH_CACHE:
        parts = _parts(tuned.layers[:-1], tuned.layers[:-1], samples_per_device(method))
        return parts | {"activations": parts["activations"] + parts["gradients"]}
    held = first_stage(plain.layers, DEVICES)
    parts = _parts(first_stage(tuned.layers, DEVICES), held, SAMPLES)
    if method == FILLS_CACHE:
        parts["activations"] += sum(layer.output_bytes(SAMPLES, TOKENS) for layer in held) / _GIB
    return parts


def _copies(method: str) -> tuple[Constant, ...]:
    return (COPIES,) if method in (FILLS_CACHE, WITH_CACHE) else ()


def _table() -> Iterator[Claim]:
    """One device holds all layers."""
    for row, (value, unit) in numbers(item=TABLE).items():
        parts = _parts(model(row.model, row.method).layers, model(row.model, "Full").layers, SAMPLES)
        predicted = parts | {"total": sum(parts.values())}
        yield Claim(
            row=row,
            unit=unit,
            published=value,
            predicted=predicted[row.metric.removesuffix(" memory")],
            constants=technique_constants(row.method),
        )


def _parts(layers: Sequence[Layer], working: Sequence[Layer], samples: int) -> dict[str, float]:
    """``working`` are the layers before anything was frozen: frozen blocks work with the same tensors."""
    kept = sum(layer.stash_bytes(samples, TOKENS) for layer in layers) - _kept_once(layers, samples)
    largest = max(block.stash_bytes(samples, TOKENS) for layer in working for block in layer.blocks)
    return {
        "weights": sum(layer.parameter_bytes for layer in layers) / _GIB,
        "activations": (kept + largest) / _GIB,
        "gradients": sum(layer.trainable_bytes for layer in layers) / _GIB,
    }


def _kept_once(layers: Sequence[Layer], samples: int) -> float:
    """What all cross-attentions but the first keep of the encoder's output: on one device it is the same tensor."""
    width_bytes = [
        block.output_bytes(1, TOKENS)  # of the one token that the decoder has
        for layer in layers
        for block in layer.blocks
        if block.name in ("cross_attention", "side_cross_attention") and block.trainable
    ]
    return samples * TOKENS * sum(width_bytes[1:])
