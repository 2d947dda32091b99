"""How much memory does fine-tuning take? Table 1 and figure 8b of PAC's paper.

Parameters, gradients and activations follow from the model. While a block's backward pass runs, the gradients of what
it kept exist beside it: the largest block's count once more. What a framework takes beside is one constant per device,
fitted to T5-Base's rows of figure 8b. With the cache, training is data parallel: every device holds the whole side
network and two of the sixteen samples; its activations are those of all layers.

Two copies count among the activations of figure 8b, as what is neither weight nor gradient. Before the cache is full,
what it takes of a micro-batch stands in memory once more on its way to the disk (assumed: "Parallel Adapters" is the
epoch that fills it). And PyTorch's data parallelism copies gradients into buckets of the same size, by default.
"""

from collections.abc import Iterator, Mapping, Sequence

from scipy.optimize import minimize_scalar

from edgesim.model import Layer
from edgesim.units import si
from experiments.published.claims import (
    FILLS_CACHE,
    PAC,
    SAMPLES,
    TOKENS,
    WITH_CACHE,
    Claim,
    Role,
    model,
    numbers,
    samples_per_device,
)

TABLE, FIGURE = "Table 1", "Fig. 8b"
_FITTED_TO = "T5-Base"
# An embedding and three encoder layers are on the first device of eight, which needs most.
_FIRST_STAGE = slice(0, 4)
_GIB = si("1 GiB")


def claims() -> Iterator[Claim]:
    """Both items; the constant is fitted before."""
    yield from _table()
    constant = fitted_constant()
    for (title, method, metric), (value, unit) in numbers(item=FIGURE).items():
        parts = stage_parts(title, method)
        predicted = {
            "weights": parts["weights"],
            "weights + activations": parts["weights"] + parts["activations"] + constant,
            "total": sum(parts.values()) + constant,
        }[metric]
        role = Role.FITTED if title == _FITTED_TO and metric == "total" else Role.PREDICTED
        yield Claim(
            source=PAC,
            item=FIGURE,
            model=title,
            method=method,
            metric=metric,
            unit=unit,
            published=value,
            predicted=predicted,
            role=role,
            note=f"framework {constant:.3f} GiB" if metric != "weights" else "",
        )


def fitted_constant() -> float:
    """In GiB: makes the worst relative error of T5-Base's totals least; not below nothing."""
    rows = [
        (sum(stage_parts(title, method).values()), value)
        for (title, method, metric), (value, _) in numbers(item=FIGURE).items()
        if title == _FITTED_TO and metric == "total"
    ]

    def worst(constant: float) -> float:
        return max(abs((predicted + constant) / value - 1) for predicted, value in rows)

    return float(minimize_scalar(worst, bounds=(0.0, 1.0), method="bounded").x)


def stage_parts(title: str, method: str) -> Mapping[str, float]:
    """Weights, activations and gradients of the device that needs most, in GiB."""
    tuned, plain = model(title, method), model(title, "Full").layers[_FIRST_STAGE]
    if method == WITH_CACHE:
        parts = _parts(tuned.layers[:-1], tuned.layers[:-1], samples_per_device(method))
        return parts | {"activations": parts["activations"] + parts["gradients"]}
    parts = _parts(tuned.layers[_FIRST_STAGE], plain, SAMPLES)
    if method == FILLS_CACHE:
        leaving = sum(layer.output_bytes(SAMPLES, TOKENS) for layer in plain) / _GIB
        parts["activations"] += leaving
    return parts


def _table() -> Iterator[Claim]:
    """One device holds all layers."""
    for (title, method, metric), (value, unit) in numbers(item=TABLE).items():
        parts = _parts(model(title, method).layers, model(title, "Full").layers, SAMPLES)
        predicted = parts | {"total": sum(parts.values())}
        yield Claim(
            source=PAC,
            item=TABLE,
            model=title,
            method=method,
            metric=metric,
            unit=unit,
            published=value,
            predicted=predicted[metric.removesuffix(" memory")],
            role=Role.PREDICTED,
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
