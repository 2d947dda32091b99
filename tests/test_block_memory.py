"""What a plan says a rank will need is what its schedule over blocks holds at its most, when it is played."""

import pytest
from block_builders import (
    BART,
    CHAINS,
    DECODER_TOKENS,
    DECODERS,
    FLOAT,
    HEADS,
    HIDDEN,
    LAYERS,
    MODELS,
    SAMPLES,
    STRATEGIES,
    T5,
    TOKENS,
    asked_of,
    block_plan,
    boards,
    heads_of,
    played,
)
from builders import switched

from edgesim.footprint import memory_over_time
from edgesim.memory import WHOLE, Memory, RankLoad, Share, block_bytes, held_bytes, ring_bytes
from edgesim.metrics import measure
from edgesim.model import Model
from edgesim.schedule import Op
from edgesim.workload import Purpose, Workload
from edgesim.zoo.bert import bert

ASKED = {
    "train": {},
    "infer": {"purpose": Purpose.INFER},
    "half": {"purpose": Purpose.INFER, "weight_bytes": 2},
    "generate": {"purpose": Purpose.INFER, "new_tokens": 3},
}
ENCODER_DECODERS = {name: model for name, model in MODELS.items() if name not in CHAINS}


def needed_and_held(
    model: Model, strategy: str, asked: str, exchange: str
) -> list[tuple[Memory, list[tuple[float, float]], float]]:
    """Of each of three unequal ranks: the plan's terms, the steps of its memory, and the peak that is reported."""
    micro_batches = 1 if asked == "generate" else 2
    plan = block_plan(
        model,
        strategy,
        3,
        heads=(1, 3, heads_of(model) - 4),
        columns=(4, 10, 6),
        tokens=(5, 12, 7),
        micro_batches=micro_batches,
        in_flight=micro_batches,
    )
    work: Workload = asked_of(plan, **ASKED[asked])
    cluster = boards(3, switched(3, bytes_per_s=1e6))
    trace = played(STRATEGIES[strategy](plan, model, work, exchange=exchange), model, cluster)
    peaks = measure(trace, cluster=cluster, model=model, workload=work).peak_bytes
    needs = plan.memory(model, cluster, work)
    return [
        (needs[rank], memory_over_time(trace.of_rank(rank), model, work, board), peaks[rank])
        for rank, board in enumerate(cluster.devices)
    ]


@pytest.mark.parametrize("exchange", ["ring", "star"])
@pytest.mark.parametrize("asked", ASKED)
@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
def test_the_peak_is_what_the_plan_needs_and_all_is_given_back(
    model: Model, strategy: str, asked: str, exchange: str
) -> None:
    by_units = asked == "train" and strategy != "sequence"
    if (asked == "generate" and model.name not in DECODERS) or (by_units and model.name in ENCODER_DECODERS):
        pytest.skip("refused: tests of the strategies say why")
    for needs, steps, peak in needed_and_held(model, strategy, asked, exchange):
        held = [nbytes for _, nbytes in steps]
        assert peak == max(held) == pytest.approx(needs.total_bytes)
        assert held[0] == needs.resting_bytes
        assert held[-1] == pytest.approx(needs.resting_bytes)
        assert min(held) >= needs.resting_bytes * (1 - 1e-12)


WIDE = bert(name="wide", layers=LAYERS, hidden=384, heads=HEADS, columns=20, vocabulary=41, positions=64)
SHARES = {
    "tensor": Share(heads=0.5, columns=0.5),
    "sequence": Share(tokens=12),
    "hybrid_model": Share(heads=0.5, columns=0.5, tokens=12),
}


@pytest.mark.parametrize(
    ("model", "strategy"), [*((WIDE, strategy) for strategy in STRATEGIES), (T5, "sequence"), (BART, "sequence")]
)
def test_the_ring_of_gradients_takes_its_part_of_what_the_schedule_adds_up(model: Model, strategy: str) -> None:
    """Nothing in tensor parallelism, where all have seen all tokens; in the hybrid what is not cut; else all.

    But of an encoder-decoder the encoder's: all ranks compute the whole decoder.
    """
    plan = block_plan(model, strategy, 2)
    schedule = STRATEGIES[strategy](plan, model, asked_of(plan))
    summed = [task.nbytes for task in schedule.programs[0] if task.op is Op.ALL_REDUCE and task.payload is None]
    held = held_bytes(
        model,
        asked_of(plan),
        RankLoad(
            layers=(0, len(model.layers)),
            samples=SAMPLES,
            in_flight=1,
            micro_batches=1,
            replicas=2,
            context_bytes=0,
            share=SHARES[strategy],
        ),
    )
    assert held.ring_bytes == ring_bytes(sum(summed), replicas=2)
    assert bool(summed) == (strategy != "tensor")


def test_ranks_that_divide_an_encoders_tokens_hold_the_decoder_whole() -> None:
    def stash(share: Share) -> dict[str, float]:
        asked = asked_of(block_plan(T5, "sequence"))
        return dict(block_bytes(T5, (0, len(T5.layers)), samples=SAMPLES, workload=asked, share=share))

    whole, half = stash(WHOLE), stash(SHARES["sequence"])
    for name, nbytes in whole.items():
        if name.startswith(("decoder.", "head")):
            assert half[name] == nbytes, name
        elif not name.endswith("/attention"):  # which keeps K and V of all
            assert half[name] == nbytes / 2, name


def test_an_encoders_tokens_are_gathered_where_the_decoder_begins() -> None:
    asked = asked_of(block_plan(T5, "sequence"), purpose=Purpose.INFER)
    needs = dict(block_bytes(T5, (0, len(T5.layers)), samples=SAMPLES, workload=asked, share=SHARES["sequence"]))
    hidden = SAMPLES * HIDDEN * FLOAT  # bytes per token
    assert needs["decoder.0/embedding"] == hidden * (TOKENS // 2 + TOKENS + DECODER_TOKENS)
