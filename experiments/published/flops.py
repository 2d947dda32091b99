"""How many FLOPs does an iteration of fine-tuning take? Figure 3 of PAC's paper.

Predicted counts hold the products of attention scores; the note says what is left without them. For adapters and LoRA
the paper's total is reproduced and its split is not: about an eighth of the backward pass is published as forward, as
if one of the eight stages were counted there.
"""

from collections.abc import Iterator

from experiments.published.claims import PAC, SAMPLES, TOKENS, Claim, model, numbers, technique_constants
from experiments.published.constants import Row

ITEM = "Fig. 3"
ITEMS = (ITEM,)
_TERA = 1e12


def claims() -> Iterator[Claim]:
    """Forward, backward and total of every model and technique."""
    rows = numbers(item=ITEM)
    for title, method in dict.fromkeys((row.model, row.method) for row in rows):
        passes = {row.metric: value for row, (value, _) in rows.items() if (row.model, row.method) == (title, method)}
        with_scores = {metric: flop(title, method, metric, scores=True) / _TERA for metric in passes}
        without = {metric: flop(title, method, metric, scores=False) / _TERA for metric in passes}
        if len(passes) > 1:
            for each in (passes, with_scores, without):
                each["total"] = each["forward"] + each["backward"]
        for metric, value in passes.items():
            yield Claim(
                row=Row(PAC, ITEM, title, method, metric),
                unit="TFLOP",
                published=value,
                predicted=with_scores[metric],
                constants=technique_constants(method),
                note=f"without attention scores {without[metric]:.3f}",
            )


def flop(title: str, method: str, metric: str, *, scores: bool) -> float:
    """The FLOPs of one pass; the backward pass of a score product costs twice its forward pass, where it has one."""
    total = 0.0
    for layer in model(title, method).layers:
        for block in layer.blocks:
            forward, backward = block.forward_flop(SAMPLES, TOKENS), block.backward_flop(SAMPLES, TOKENS)
            left_out = 0.0 if scores else block.score_flop(SAMPLES, TOKENS)
            total += forward - left_out if metric == "forward" else backward - (2 * left_out if backward else 0.0)
    return total
