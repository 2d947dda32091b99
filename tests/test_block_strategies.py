"""Tensor, sequence and hybrid model parallelism write the exchanges and orders that their papers describe."""

from collections import Counter
from pathlib import Path

import pytest
from block_builders import (
    BART,
    BERT,
    CHAINS,
    COLUMNS,
    DECODERS,
    FLOAT,
    GPT2,
    GROUPS,
    HEADS,
    HIDDEN,
    LAYERS,
    LLAMA,
    MODELS,
    SAMPLES,
    STRATEGIES,
    T5,
    TOKENS,
    VOCABULARY,
    Seconds,
    asked_of,
    block_plan,
    boards,
    infer,
    played,
    train,
)
from builders import chain, pairs, plan_of, starts_s, switched

from edgesim.energy import wire_bytes
from edgesim.errors import PlanError
from edgesim.model import Model
from edgesim.plan import Plan, Stage
from edgesim.schedule import COLLECTIVE, COMPUTE, MESSAGE, Op, Payload, Schedule, Task
from edgesim.strategies.hybrid_model import hybrid_model
from edgesim.strategies.sequence import sequence
from edgesim.strategies.tensor import tensor
from edgesim.workload import Purpose
from edgesim.zoo.gpt2 import gpt2

GOLDEN = Path(__file__).parent / "golden" / "blocks"
BSH = SAMPLES * TOKENS * HIDDEN * FLOAT  # bytes of all hidden states of a micro-batch
LATENCY_S = 0.25


def sent_bytes(schedule: Schedule, rank: int, place: str = "", **wanted: object) -> int:
    """What a rank puts on the wire for blocks whose name begins with ``place``, of the tasks wanted."""
    return sum(wire_bytes(task) for task in tasks_of(schedule, rank, place, **wanted))


def tasks_of(schedule: Schedule, rank: int, place: str = "", **wanted: object) -> list[Task]:
    return [
        task
        for task in schedule.programs[rank]
        if task.block.startswith(place) and all(getattr(task, name) == value for name, value in wanted.items())
    ]


def names(tasks: list[Task]) -> list[str]:
    """Without stage and rank."""
    return [task.name[1:].partition("@")[0] for task in tasks]


def computed(schedule: Schedule, rank: int, place: str = "") -> list[str]:
    return names([task for task in tasks_of(schedule, rank, place) if task.op in COMPUTE])


def layers_of(model: Model) -> list[str]:
    return [layer.name for layer in model.layers[1:-1]]


# --- bytes: "The four basic parallelisms" (arXiv 2404.17766) and Galaxy (arXiv 2405.17245) --------------------------


@pytest.mark.parametrize("model", CHAINS.values(), ids=CHAINS)
@pytest.mark.parametrize("n", [2, 3])
def test_tensor_parallelism_all_reduces_hidden_states_twice_per_layer_and_direction(model: Model, n: int) -> None:
    schedule = train(model, "tensor", n)
    for rank in range(n):
        for layer in layers_of(model):
            tasks = [task for task in tasks_of(schedule, rank, f"{layer}/") if task.op not in COMPUTE]
            assert Counter((task.op, task.payload, task.nbytes) for task in tasks) == {
                (Op.ALL_REDUCE, Payload.ACTIVATION, BSH): 2,
                (Op.ALL_REDUCE, Payload.GRADIENT, BSH): 2,
            }
            assert sum(map(wire_bytes, tasks)) == 4 * 2 * (n - 1) / n * BSH


@pytest.mark.parametrize("model", [T5, BART], ids=lambda model: model.name)
def test_tensor_parallelism_of_a_decoder_that_reads_an_encoder_all_reduces_three_times(model: Model) -> None:
    schedule, decoded = infer(model, "tensor", 3), BSH // TOKENS * 3
    for layer in layers_of(model):
        sizes = [task.nbytes for task in tasks_of(schedule, 1, f"{layer}/") if task.op in COLLECTIVE]
        assert sizes == ([BSH] * 2 if layer.startswith("encoder") else [decoded] * 3)


@pytest.mark.parametrize("model", CHAINS.values(), ids=CHAINS)
@pytest.mark.parametrize("n", [2, 3])
def test_sequence_parallelism_gathers_k_and_v_and_scatters_their_gradients(model: Model, n: int) -> None:
    """K and V of all heads; Llama's are as wide as its groups' heads, which have sizes of their own."""
    both = 2 * BSH // HIDDEN * (GROUPS * model.hyper["head_size"] if model is LLAMA else HIDDEN)
    schedule = train(model, "sequence", n)
    for rank in range(n):
        for layer in layers_of(model):
            kv = {"place": f"{layer}/attention.core", "op": Op.SEND}
            assert sent_bytes(schedule, rank, f"{layer}/", op=Op.SEND) == 2 * (n - 1) / n * both
            assert sent_bytes(schedule, rank, payload=Payload.KV, **kv) == (n - 1) / n * both
            assert sent_bytes(schedule, rank, payload=Payload.PARTIAL, **kv) == (n - 1) / n * both
    (ring,) = tasks_of(schedule, 0, op=Op.ALL_REDUCE)
    assert (ring.nbytes, ring.payload, ring.layers) == (model.parameter_bytes, None, (0, len(model.layers)))


@pytest.mark.parametrize("model", CHAINS.values(), ids=CHAINS)
@pytest.mark.parametrize("n", [2, 3])
def test_the_hybrid_gathers_and_scatters_as_many_bytes_as_tensor_parallelism_reduces(model: Model, n: int) -> None:
    hybrid, reduced = train(model, "hybrid_model", n), train(model, "tensor", n)
    for rank in range(n):
        for layer in layers_of(model):
            tasks = tasks_of(hybrid, rank, f"{layer}/", op=Op.SEND)
            sums = Counter(task.payload for task in tasks)
            assert sums == {Payload.TILE: 2 * (n - 1), Payload.GRADIENT: 2 * (n - 1), Payload.PARTIAL: 4 * (n - 1)}
            assert {task.nbytes for task in tasks} == {BSH // n}
            assert sum(map(wire_bytes, tasks)) == sent_bytes(reduced, rank, f"{layer}/")


def test_uneven_tiles_travel_in_full_to_all_but_who_owns_them_or_is_before_who_does() -> None:
    """In a ring of three each rank passes on all tiles but its right neighbour's; sums, all but its own."""
    shares, per_token = (5, 12, 7), BSH // TOKENS
    schedule = infer(BERT, "hybrid_model", 3, tokens=shares)
    for rank in range(3):
        for block in ("attention", "mlp"):
            entered = sent_bytes(schedule, rank, f"encoder.1/{block}.in", op=Op.SEND, payload=Payload.TILE)
            left = sent_bytes(schedule, rank, f"encoder.1/{block}.out", op=Op.SEND, payload=Payload.PARTIAL)
            assert entered == (TOKENS - shares[(rank + 1) % 3]) * per_token
            assert left == (TOKENS - shares[rank]) * per_token


@pytest.mark.parametrize("model", [T5, BART], ids=lambda model: model.name)
@pytest.mark.parametrize("strategy", ["sequence", "hybrid_model"])
def test_a_decoder_that_reads_an_encoder_runs_whole_after_one_gather_of_all_tokens(model: Model, strategy: str) -> None:
    schedule = infer(model, strategy, 3, overlap=False) if strategy == "hybrid_model" else infer(model, strategy, 3)
    gathered = tasks_of(schedule, 0, "decoder.0/embedding", op=Op.SEND, payload=Payload.TILE)
    assert [task.nbytes for task in gathered] == [BSH // 3] * 2
    inside = [task for task in tasks_of(schedule, 0, "decoder.") if task.op not in COMPUTE and task not in gathered]
    reduced = 3 * LAYERS if strategy == "hybrid_model" else 0
    assert [task.op for task in inside if task.op is not Op.RECV] == [Op.ALL_REDUCE] * reduced
    assert {task.tokens for task in tasks_of(schedule, 2, "decoder.") if task.op is Op.F} == {(0, 0)}


# --- training ---------------------------------------------------------------------------------------------------------


def test_tensor_parallelism_shares_no_gradients_of_weights_and_the_hybrid_those_of_norms_and_embeddings() -> None:
    assert not [task for task in train(BERT, "tensor") if task.op is Op.ALL_REDUCE and task.payload is None]
    norm, embedding = 2 * HIDDEN, (VOCABULARY + 64 + 2) * HIDDEN + 2 * HIDDEN
    biases = 2 * HIDDEN  # of the exiting products: added once the sum is there, to the own tokens
    dense = HIDDEN * HIDDEN + HIDDEN + norm  # what leads to the vocabulary
    (ring,) = (task for task in train(BERT, "hybrid_model").programs[1] if task.op is Op.ALL_REDUCE)
    assert ring.nbytes == FLOAT * (embedding + LAYERS * (2 * norm + biases) + dense)


@pytest.mark.parametrize("model", [T5, BART], ids=lambda model: model.name)
def test_gradients_of_a_decoder_that_all_ranks_compute_alike_are_whole_already(model: Model) -> None:
    (ring,) = (task for task in train(model, "sequence", 3).programs[0] if task.op is Op.ALL_REDUCE)
    assert ring.nbytes == sum(layer.trainable_bytes for layer in model.layers[: 1 + LAYERS])


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_every_trained_block_is_updated_once_after_everything_else(strategy: str) -> None:
    program = train(BERT, strategy, 2, micro_batches=2).programs[1]
    blocks = [f"{layer.name}/{block.name}" for layer in BERT.layers for block in layer.blocks]
    expected = [*blocks[:-1], "head/head.in", "head/head.out"]
    assert [task.block for task in program[-len(expected) :]] == expected
    assert Counter(task.op for task in program)[Op.UPDATE] == len(expected)
    rings = [task.name for task in program if task.op is Op.ALL_REDUCE and task.payload is None]
    assert list(program[-len(expected)].needs) == rings


def test_what_the_columns_of_a_vocabulary_say_of_a_loss_is_told_before_anything_goes_back() -> None:
    """A log-sum-exp and the target's logit for every token, from every rank to every other."""
    schedule = train(GPT2, "tensor", 3)
    told = tasks_of(schedule, 1, "head/head", op=Op.RECV)
    assert [(task.payload, task.nbytes) for task in told] == [(Payload.VOCABULARY, 2 * SAMPLES * TOKENS * FLOAT)] * 2
    (back,) = tasks_of(schedule, 1, "head/head", op=Op.B)
    assert set(back.needs) == {task.name for task in told}


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_backward_pass_mirrors_the_forward_pass(strategy: str) -> None:
    how = {"overlap": False} if strategy == "hybrid_model" else {}
    names = [name for name in computed(train(GPT2, strategy, 2, **how), 0) if not name.startswith("UPDATE")]
    forward = [name[1:] for name in names if name.startswith("F")]
    assert [name[1:] for name in names if name.startswith("B")] == forward[::-1]


def test_micro_batches_in_flight_are_forwarded_before_the_first_goes_back() -> None:
    program = train(GPT2, "tensor", 2, micro_batches=3, in_flight=2).programs[0]
    embedded = [f"{task.op}{task.micro_batch}" for task in program if task.block == "embedding/embedding"]
    assert embedded == ["F0", "F1", "B0", "F2", "B1", "B2", "UPDATENone"]


# --- order and needs --------------------------------------------------------------------------------------------------

LAYER = "encoder.0/"


def test_tensor_parallelism_computes_blocks_and_reduces_behind_attention_and_mlp() -> None:
    schedule = infer(BERT, "tensor", 2, heads=(8, 4), columns=(15, 5))
    assert names(tasks_of(schedule, 1, LAYER)) == [
        "F0.encoder.0/attention",
        "ALL_REDUCE_activation0.encoder.0/attention",
        "F0.encoder.0/norm_attention",
        "F0.encoder.0/mlp",
        "ALL_REDUCE_activation0.encoder.0/mlp",
        "F0.encoder.0/norm_mlp",
    ]
    attention, ring, norm, mlp, *_ = tasks_of(schedule, 1, LAYER)
    assert (attention.units, mlp.units, norm.units) == ((8, 12), (15, 20), (0, 0))
    assert (ring.needs, norm.needs, mlp.needs) == ((attention.name,), (ring.name,), ())
    head = tasks_of(schedule, 1, "head/head.out", op=Op.F)[0]
    assert head.units == (31, 41)  # 41 columns as 15 to 5: 30.75 and 10.25


def test_sequence_parallelism_waits_only_before_the_scores() -> None:
    schedule = infer(GPT2, "sequence", 3, tokens=(4, 14, 6))
    tasks = tasks_of(schedule, 1, "decoder.1/")
    assert [task.block.partition("/")[2] for task in tasks if task.op is Op.F] == [
        "norm_attention",
        "attention.in",
        "attention.core",
        "attention.out",
        "norm_mlp",
        "mlp",
    ]
    assert {task.tokens for task in tasks if task.op is Op.F} == {(4, 18)}
    received = {task.name for task in tasks if task.op is Op.RECV}
    assert len(received) == 2
    for task in tasks:
        if task.op is Op.F:
            assert set(task.needs) == (received if task.block.endswith(".core") else set())


@pytest.mark.parametrize("block", ["attention", "mlp"])
def test_without_overlap_a_block_waits_for_all_tiles_and_a_norm_for_all_sums(block: str) -> None:
    tasks = tasks_of(infer(BERT, "hybrid_model", 3, overlap=False), 2, LAYER)
    received = {
        part: [t.name for t in tasks if t.op is Op.RECV and t.block == f"{LAYER}{block}.{part}"]
        for part in ("in", "out")
    }
    (computation,) = (task for task in tasks if task.op is Op.F and task.block == f"{LAYER}{block}")
    (norm,) = (task for task in tasks if task.op is Op.F and task.block == f"{LAYER}norm_{block}")
    assert len(received["in"]) == 2
    assert set(computation.needs) == set(received["in"])
    own = [name for name in received["out"] if "#2@" in name]
    assert len(own) == 1  # in a ring the sum of the others' parts comes as one
    assert list(norm.needs) == own


@pytest.mark.parametrize("me", range(3))
def test_with_overlap_the_own_tile_enters_first_and_leaves_last(me: int) -> None:
    shares = (5, 12, 7)
    schedule = infer(BERT, "hybrid_model", 3, tokens=shares)
    tasks = tasks_of(schedule, me, f"{LAYER}attention")
    entering = [task for task in tasks if task.op is Op.F and task.block.endswith(".in")]
    leaving = [task for task in tasks if task.op is Op.F and task.block.endswith(".out")]
    assert [task.tile for task in entering] == [me, (me - 1) % 3, (me - 2) % 3]
    assert [task.tile for task in leaving] == [(me - 1) % 3, (me - 2) % 3, me]
    spans = [(0, 5), (5, 17), (17, 24)]
    assert [task.tokens for task in (*entering, *leaving)] == [spans[task.tile] for task in (*entering, *leaving)]
    parts = [task.block.partition(".")[2].partition(".")[2] for task in tasks if task.op is Op.F]
    assert parts == ["in"] * 3 + ["core"] + ["out"] * 3


@pytest.mark.parametrize("exchange", ["ring", "star"])
@pytest.mark.parametrize("me", range(3))
def test_with_overlap_a_tile_waits_only_for_itself_and_what_leaves_for_nothing(me: int, exchange: str) -> None:
    tasks = tasks_of(infer(BERT, "hybrid_model", 3, exchange=exchange), me, f"{LAYER}mlp")
    received = {task.tile: task.name for task in tasks if task.op is Op.RECV and task.payload is Payload.TILE}
    products = {(task.block[-3:], task.tile): task for task in tasks if task.op is Op.F}
    for tile in range(3):
        assert products[".in", tile].needs == ((received[tile],) if tile != me else ())
        assert products["out", tile].needs == ()
    for send in (task for task in tasks if task.op is Op.SEND and task.payload is Payload.PARTIAL):
        assert send.needs[0] == products["out", send.tile].name
        assert all("RECV_partial" in need and f"#{send.tile}@" in need for need in send.needs[1:])


def test_sums_in_a_ring_grow_on_their_way() -> None:
    """Rank 1 of three passes on the sum for rank 2's neighbour after adding its own part; its first has no other."""
    tasks = tasks_of(infer(BERT, "hybrid_model", 3), 1, f"{LAYER}mlp.out", op=Op.SEND)
    assert [(task.tile, task.peers, len(task.needs)) for task in tasks] == [(0, (2,), 1), (2, (2,), 2)]


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("purpose", ["train", "infer"])
def test_one_rank_alone_sends_nothing(strategy: str, purpose: str) -> None:
    schedule = (train if purpose == "train" else infer)(BERT, strategy, 1)
    assert {task.op for task in schedule} == {Op.F} | ({Op.B, Op.UPDATE} if purpose == "train" else set())


def test_messages_of_activations_and_of_gradients_never_wait_for_each_other() -> None:
    streams = {
        task.payload: str(task.stream) for task in train(BERT, "hybrid_model", 2).programs[0] if task.op is Op.SEND
    }
    assert streams[Payload.TILE] == streams[Payload.PARTIAL] == "send to 1/forward"
    assert streams[Payload.GRADIENT] == "send to 1/backward"


# --- latencies and overlap, played ------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [2, 3, 4])
def test_an_all_reduce_costs_a_ring_a_latency_per_step_and_a_star_two(n: int) -> None:
    cluster = boards(n, switched(n, latency_s=LATENCY_S))
    for exchange, latencies in (("ring", 2 * (n - 1)), ("star", 2)):
        schedule = infer(GPT2, "tensor", n, exchange=exchange)
        assert played(schedule, GPT2, cluster, Seconds()).makespan_s == pytest.approx(
            2 * LAYERS * latencies * LATENCY_S
        )


@pytest.mark.parametrize("n", [2, 3, 4])
def test_a_gather_costs_a_ring_n_minus_one_latencies_and_a_star_two_and_so_does_a_scatter(n: int) -> None:
    cluster = boards(n, switched(n, latency_s=LATENCY_S))
    for exchange, latencies in (("ring", n - 1), ("star", 2 if n > 2 else 1)):
        gathers = infer(GPT2, "sequence", n, exchange=exchange)
        assert played(gathers, GPT2, cluster, Seconds()).makespan_s == pytest.approx(LAYERS * latencies * LATENCY_S)
        both = infer(GPT2, "hybrid_model", n, exchange=exchange, overlap=False)  # and one gather before the vocabulary
        assert played(both, GPT2, cluster, Seconds()).makespan_s == pytest.approx(
            (4 * LAYERS + 1) * latencies * LATENCY_S
        )


def products(tile_s: float):
    """Products take so long per tile of eight tokens; nothing else takes any time."""
    return Seconds(lambda block, _op, tokens, _share: tile_s * tokens / 8 if block.endswith((".in", ".out")) else 0.0)


@pytest.mark.parametrize(("tile_s", "message_s"), [(0.5, 0.25), (0.25, 0.5), (0.5, 0.0), (0.0, 0.5)])
def test_overlapped_tiles_take_one_product_and_then_the_longer_of_product_and_message(
    tile_s: float, message_s: float
) -> None:
    """Per phase of three equal tiles ``t_gemm + (n - 1) max(t_gemm, t_comm)``, t of one tile (Galaxy's ideal)."""
    network = pairs(3, bytes_per_s=BSH / 3 / message_s if message_s else float("inf"))
    trace = played(infer(BERT, "hybrid_model", 3), BERT, boards(3, network), products(tile_s))
    phase_s = tile_s + 2 * max(tile_s, message_s)
    start_s = starts_s(trace)["0F0.encoder.1/attention.in#0@0"]
    end_s = starts_s(trace)["0F0.encoder.1/norm_attention@0"]
    assert end_s - start_s == pytest.approx(2 * phase_s)


@pytest.mark.parametrize("rate", [1e3, 1e5, 1e6, 1e8])
@pytest.mark.parametrize("shares", [(8, 8, 8), (3, 14, 7)])
def test_without_latency_overlap_is_never_slower(rate: float, shares: tuple[int, ...]) -> None:
    cluster = boards(3, switched(3, bytes_per_s=rate), flop_per_s=(1e8, 3e8, 2e8))
    with_it, without = (
        played(infer(LLAMA, "hybrid_model", 3, tokens=shares, overlap=overlap), LLAMA, cluster).makespan_s
        for overlap in (True, False)
    )
    assert with_it <= without * (1 + 1e-9)


# --- generation -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", DECODERS.values(), ids=DECODERS)
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_prompt_is_read_at_once_and_then_one_token_per_pass(model: Model, strategy: str) -> None:
    schedule = infer(model, strategy, 3, new_tokens=4, tokens=(4, 6, 14))
    spans = {task.micro_batch: task.tokens for task in schedule.programs[2] if task.block == "embedding/embedding"}
    prompt = (0, 0) if strategy == "tensor" else (10, 24)
    assert spans == {0: prompt, 1: (24, 25), 2: (25, 26), 3: (26, 27)}


@pytest.mark.parametrize("strategy", ["tensor", "hybrid_model"])
def test_after_each_pass_every_rank_tells_its_best_word(strategy: str) -> None:
    """A logit and a word for every sample, from every rank to every other; the embedding waits for them."""
    schedule = infer(GPT2, strategy, 3, new_tokens=3)
    told = tasks_of(schedule, 0, op=Op.RECV, payload=Payload.VOCABULARY)
    assert [(task.micro_batch, task.nbytes) for task in told] == [(m, 2 * FLOAT * SAMPLES) for m in (0, 0, 1, 1, 2, 2)]
    _, first, second = tasks_of(schedule, 0, "embedding/", op=Op.F)
    assert set(first.needs) == {task.name for task in told[:2]}
    assert set(second.needs) == {task.name for task in told[2:4]}


@pytest.mark.parametrize("strategy", ["tensor", "hybrid_model"])
def test_a_generated_token_is_reduced_by_itself(strategy: str) -> None:
    schedule = infer(GPT2, strategy, 3, new_tokens=2)
    reduced = [task for task in schedule.programs[1] if task.op is Op.ALL_REDUCE and task.micro_batch == 1]
    assert [task.nbytes for task in reduced] == [BSH // TOKENS] * (2 * LAYERS)
    assert {task.op for task in schedule.programs[1] if task.micro_batch == 1} == {
        Op.F,
        Op.ALL_REDUCE,
        Op.SEND,
        Op.RECV,
    }


def test_only_the_prompts_last_token_goes_to_the_vocabulary() -> None:
    schedule = infer(GPT2, "hybrid_model", 3, new_tokens=2, tokens=(4, 6, 14))
    for rank in range(3):
        head = tasks_of(schedule, rank, "head/head", op=Op.F)[0]
        received = tasks_of(schedule, rank, "head/head", op=Op.RECV, payload=Payload.TILE)
        assert (head.tokens, head.tile) == ((23, 24), None)
        assert [(task.tile, task.nbytes) for task in received] == ([] if rank == 2 else [(2, BSH // TOKENS)])
    sequential = infer(GPT2, "sequence", 3, new_tokens=2, tokens=(4, 14, 6))
    assert [len(tasks_of(sequential, rank, "head/head", op=Op.F, micro_batch=0)) for rank in range(3)] == [0, 0, 1]


@pytest.mark.parametrize(("shares", "alone", "messages"), [((4, 14, 6), 1, 1), ((4, 6, 14), 2, 0)])
def test_sequence_parallelism_hands_over_to_the_rank_with_the_most_tokens(
    shares: tuple[int, ...], alone: int, messages: int
) -> None:
    schedule = infer(GPT2, "sequence", 3, new_tokens=3, tokens=shares)
    for rank, program in enumerate(schedule.programs):
        assert {task.micro_batch for task in program} == ({0, 1, 2} if rank == alone else {0})
    told = [task for task in schedule if task.payload is Payload.VOCABULARY]
    assert [(task.op, task.rank) for task in told] == [(Op.RECV, 1), (Op.SEND, 2)][: 2 * messages]
    assert all(task.nbytes == 2 * FLOAT * SAMPLES for task in told)
    _, first, _ = tasks_of(schedule, alone, "embedding/", op=Op.F)
    assert first.needs == tuple(task.name for task in told if task.op is Op.RECV)


def test_attention_looks_at_all_tokens_so_far() -> None:
    """A token computes a score with each of them: one more in every pass."""
    asked = []

    class Keys(Seconds):
        def block_s(self, *, device, block, op, portion) -> float:
            if block == "decoder.0/attention":
                asked.append((portion.tokens, portion.keys))
            return 0.0

    played(infer(GPT2, "tensor", 2, new_tokens=3, heads=(6, 6)), GPT2, boards(2), Keys())
    assert sorted(set(asked), key=str) == [(1, TOKENS + 1), (1, TOKENS + 2), (TOKENS, None)]


# --- refusals ---------------------------------------------------------------------------------------------------------


def refused(plan: Plan, model: Model, strategy=hybrid_model, **more: object) -> pytest.ExceptionInfo:
    with pytest.raises(PlanError) as error:
        strategy(plan, model, asked_of(plan, **more))
    return error


def test_plans_of_another_shape_are_refused() -> None:
    half = Stage(layers=(0, 2), ranks=(0,), samples=(SAMPLES,), in_flight=1, tokens=(TOKENS,))
    rest = Stage(layers=(2, 4), ranks=(1,), samples=(SAMPLES,), in_flight=1, tokens=(TOKENS,))
    two = plan_of(BERT, [half, rest], micro_batches=1)
    assert refused(two, BERT, sequence).match("sequence: the plan has 2 stages, but blocks are divided in one stage")
    short = plan_of(BERT, [half], micro_batches=1)
    assert refused(short, BERT, sequence).match("plan covers 2 layers, bert has 4")
    for strategy, divides, divided in (
        (tensor, "heads and columns", "sequence"),
        (sequence, "tokens", "tensor"),
        (hybrid_model, "heads and columns and tokens", "tensor"),
        (tensor, "heads and columns", "hybrid_model"),
    ):
        error = refused(block_plan(BERT, divided), BERT, strategy)
        assert error.match(rf"{strategy.__name__} divides {divides}; the plan says .* \(take a planner that divides")


def test_models_that_are_no_transformers_are_refused() -> None:
    model = chain(2)
    stage = Stage(layers=(0, 2), ranks=(0, 1), samples=(SAMPLES,) * 2, in_flight=1, tokens=(12, 12))
    plan = Plan(
        **{
            f: getattr(block_plan(BERT, "sequence"), f)
            for f in ("micro_batches", "micro_batch_samples", "planner", "proof")
        },
        model=model.name,
        stages=(stage,),
    )
    assert refused(plan, model, sequence).match("sequence divides transformers; chain2 has l0/only")


def test_tied_weights_cannot_be_trained_by_columns_but_by_tokens_and_may_infer() -> None:
    tied = gpt2(name="tied", layers=1, hidden=48, heads=HEADS, columns=COLUMNS, vocabulary=9, positions=64, tied=True)
    for strategy in ("tensor", "hybrid_model"):
        plan = block_plan(tied, strategy)
        error = refused(plan, tied, STRATEGIES[strategy])
        assert error.match(rf"{strategy}: head of tied trains weights tied to embedding, .*model\.tied=false")
        STRATEGIES[strategy](plan, tied, asked_of(plan, purpose=Purpose.INFER))
    plan = block_plan(tied, "sequence")
    sequence(plan, tied, asked_of(plan))


@pytest.mark.parametrize("model", [BERT, T5], ids=lambda model: model.name)
def test_encoders_generate_nothing(model: Model) -> None:
    error = refused(block_plan(model, "tensor"), model, tensor, purpose=Purpose.INFER, new_tokens=2)
    assert error.match(rf"tensor: {model.name} has encoder\.0, and only models of decoders alone .*new_tokens=0")


def test_several_micro_batches_generate_nothing() -> None:
    plan = block_plan(GPT2, "tensor", micro_batches=3)
    error = refused(plan, GPT2, tensor, purpose=Purpose.INFER, new_tokens=2)
    assert error.match(r"generated for one micro-batch, the plan has 3 \(set workload\.micro_batch_samples=6\)")


# --- on record --------------------------------------------------------------------------------------------------------


def goldens() -> dict[str, Schedule]:
    uneven = {"heads": (8, 4), "columns": (15, 5), "tokens": (17, 7)}
    return {
        "tensor_2_train": train(GPT2, "tensor", 2, **uneven),
        "sequence_2_train": train(GPT2, "sequence", 2, **uneven),
        "hybrid_model_2_infer": infer(BERT, "hybrid_model", 2, **uneven),
        "hybrid_model_2_star_train": train(BERT, "hybrid_model", 2, exchange="star", **uneven),
        "tensor_2_star_generate": infer(GPT2, "tensor", 2, exchange="star", new_tokens=2, **uneven),
        "sequence_2_generate": infer(GPT2, "sequence", 2, new_tokens=2, **uneven),
    }


@pytest.mark.parametrize("name", goldens())
def test_schedules_are_those_on_record(name: str, request: pytest.FixtureRequest) -> None:
    text, path = goldens()[name].to_text(), GOLDEN / f"{name}.txt"
    if request.config.getoption("--rewrite-golden"):
        path.write_text(text)
    assert text == path.read_text(), f"{path.name} differs; if that is meant: pytest --rewrite-golden, and review it"


def test_every_golden_file_is_compared() -> None:
    assert {path.stem for path in GOLDEN.glob("*.txt")} == set(goldens())


@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_every_message_has_a_tile_and_names_its_block(model: Model, strategy: str) -> None:
    for task in infer(model, strategy, 3):
        if task.op in MESSAGE:
            assert task.tile in range(3)
            assert model.block(task.block)
