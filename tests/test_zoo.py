"""The zoo's closed forms are what Hugging Face's modules do: parameters, FLOPs, boundaries, and what autograd saves."""

import re
from functools import lru_cache, partial

import pytest
from hugging_face import ARCHITECTURES, Reference, boundaries, freeze, reference, stashed_bytes, touched_bytes
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.flop_counter import FlopCounterMode

from edgesim.finetuning import houlsby, lora, parallel_adapters
from edgesim.model import Block, BlockKind, Cost, Model, SplitBy, divided, model_from_dict, model_to_dict
from edgesim.zoo.bart import bart
from edgesim.zoo.bert import bert, distilbert, roberta
from edgesim.zoo.gemma import gemma
from edgesim.zoo.gpt2 import gpt2
from edgesim.zoo.llama import llama
from edgesim.zoo.opt import opt
from edgesim.zoo.parts.costs import always, pairs
from edgesim.zoo.t5 import t5
from edgesim.zoo.vit import vit
from experiments.configuration.command_line import composed
from experiments.configuration.constructors import build
from experiments.configuration.places import CONF
from real_runtime.models import build_layers

SAMPLES, LENGTHS = 3, (32, 80)
laws = settings(derandomize=True, deadline=None, database=None, max_examples=50)


@lru_cache
def configured(name: str, *overrides: str) -> Model:
    return build(composed(f"model={name}", *overrides).model)


def transformers_of_conf() -> list[str]:
    """Every file of the folder whose model has attention; test_hugging_face_configs.py has the one of users' files."""
    names = sorted(path.stem for path in (CONF / "model").glob("*.yaml") if path.stem != "hugging_face")
    kinds = {name: {block.kind for part in configured(name).layers for block in part.blocks} for name in names}
    return [name for name in names if BlockKind.ATTENTION in kinds[name]]


TRANSFORMERS = transformers_of_conf()
# As published, and shapes that the files leave out: longer answers, smaller images, grouped keys.
VARIANTS = [
    *((name,) for name in TRANSFORMERS),
    ("t5_base", "model.decoder_tokens=7"),
    ("bart_large", "model.decoder_tokens=7"),
    ("vit_base", "model.resolution=96"),
    ("llama_2_7b", "model.groups=8", "model.tied=true"),
]
UNTIED = [(name, "model.tied=false") for name in ("bert_base", "distilbert", "gpt2_large", "opt_1_3b")]


@lru_cache
def on_meta(variant: tuple[str, ...]) -> Reference:
    """Eager, so that every product is counted."""
    return reference(configured(*variant), "eager", "meta")


def tokens_of(model: Model, tokens: int) -> int:
    return 1 if model.architecture == "vit" else tokens


def test_every_transformer_of_the_folder_is_compared() -> None:
    in_small = {SMALL[name]().architecture for name in SMALL}
    assert {configured(name).architecture for name in TRANSFORMERS} | in_small == ARCHITECTURES


@pytest.mark.parametrize("variant", [*VARIANTS, *UNTIED], ids=" ".join)
def test_a_model_has_the_parameters_of_the_library(variant: tuple[str, ...]) -> None:
    """Tied ones count once."""
    model, module = configured(*variant), on_meta(variant).module
    assert model.parameter_bytes == 4 * sum(p.numel() for p in module.parameters())


@pytest.mark.parametrize("name", [name for name in TRANSFORMERS if not name.startswith(("bert_small", "bert_tiny"))])
def test_a_file_names_the_parameters_of_the_published_checkpoint(name: str) -> None:
    first = (CONF / "model" / f"{name}.yaml").read_text().splitlines()[0]
    (millions,) = re.findall(r"([\d ]+\.\d) M parameters", first)
    assert round(configured(name).parameter_bytes / 4e6, 1) == float(millions.replace(" ", ""))


@pytest.mark.parametrize("variant", VARIANTS, ids=" ".join)
@pytest.mark.parametrize("tokens", LENGTHS)
def test_a_model_has_the_flops_and_boundaries_of_the_library(variant: tuple[str, ...], tokens: int) -> None:
    """Forward layer by layer, backward as a whole; scores are torch's batched products, which no weight is part of."""
    model, whole = configured(*variant), on_meta(variant)
    with FlopCounterMode(display=False) as forward, boundaries(whole) as left:
        loss = whole.loss(SAMPLES, tokens)
    with FlopCounterMode(display=False) as backward:
        loss.backward()
    by_path, root = forward.get_flop_counts(), type(whole.module).__name__
    paths = {"embedding": whole.embedding, **whole.layers}
    counted = {name: sum(by_path.get(f"{root}.{path}", {}).values()) for name, path in paths.items()}
    counted["head"] = forward.get_total_flops() - sum(counted.values())
    batched = sum(flop for op, flop in by_path["Global"].items() if "bmm" in str(op))
    length = tokens_of(model, tokens)
    assert {part.name: part.forward_flop(SAMPLES, length) for part in model.layers} == counted
    assert {part.name: part.output_bytes(SAMPLES, length) for part in model.layers} == left
    assert sum(part.backward_flop(SAMPLES, length) for part in model.layers) == backward.get_total_flops()
    assert sum(part.score_flop(SAMPLES, length) for part in model.layers) == batched


SIZES = {"name": "small", "hidden": 128, "heads": 2, "columns": 512}  # 64 columns per head, as in nearly all
TEXT = {"vocabulary": 500, "positions": 256}
STACKS = {"encoder_layers": 2, "decoder_layers": 3}
SMALL = {
    "bert": partial(bert, **SIZES, **TEXT, layers=2, tied=True),
    "distilbert": partial(distilbert, **SIZES, **TEXT, layers=2, tied=True),
    "gpt2": partial(gpt2, **SIZES, **TEXT, layers=2, tied=True),
    "opt": partial(opt, **SIZES, **TEXT, layers=2, tied=True),
    "llama": partial(llama, **SIZES, **TEXT, layers=2, groups=2, tied=False),
    "llama, grouped": partial(llama, **SIZES, **TEXT, layers=2, groups=1, tied=False),
    "llama, wide heads": partial(llama, **SIZES, **TEXT, layers=2, groups=1, tied=True, head_size=96, biases=True),
    "llama, normed heads": partial(llama, **SIZES, **TEXT, layers=2, groups=1, tied=True, head_size=96, qk_norms=True),
    "gemma": partial(gemma, **SIZES, **TEXT, layers=2, groups=1, head_size=96),
    "gemma, capped": partial(
        gemma, **SIZES, **TEXT, layers=2, groups=1, head_size=96, norms_behind=True, capped=True, windows=[64, 0]
    ),
    "gemma, normed heads": partial(
        gemma, **SIZES, **TEXT, layers=2, groups=1, head_size=96, norms_behind=True, qk_norms=True
    ),
    "roberta": partial(roberta, **SIZES, **TEXT, layers=2),
    "bert, eager": partial(bert, **SIZES, **TEXT, layers=2, tied=True, fused=False),
    "vit": partial(vit, **SIZES, layers=2, resolution=112, patch=16, channels=3, classes=100),
    "t5": partial(t5, **SIZES, **STACKS, head_size=64, vocabulary=500, buckets=32, decoder_tokens=1),
    "t5, answering": partial(t5, **SIZES, **STACKS, head_size=64, vocabulary=500, buckets=32, decoder_tokens=24),
    "t5, gated": partial(
        t5, **SIZES, **STACKS, head_size=64, vocabulary=500, buckets=32, decoder_tokens=24, gated=True, tied=True
    ),
    "bart": partial(bart, **SIZES, **TEXT, **STACKS, decoder_tokens=1),
    "bart, answering": partial(bart, **SIZES, **TEXT, **STACKS, decoder_tokens=24),
}
DROPPED = [name for name in SMALL if not name.startswith(("llama", "gemma"))]


def attention_of(model: Model) -> str:
    unfused = model.architecture == "t5" or not model.hyper.get("fused", True) or model.hyper.get("capped")
    return "eager" if unfused else "sdpa"


def measured(model: Model, tokens: int, *, frozen: bool = False) -> dict[str, tuple[float, float]]:
    """Layer by layer, bytes saved for four samples, and how much of it two of them cause."""
    whole = reference(model, attention_of(model), "cpu")
    if frozen:
        freeze(whole)
    four, two = (stashed_bytes(whole, samples, tokens) for samples in (4, 2))
    return {name: (four[name], four[name] - two[name]) for name in four}


@pytest.mark.parametrize("tokens", [48, 160])
@pytest.mark.parametrize(("name", "dropout"), [*((n, False) for n in SMALL), *((n, True) for n in DROPPED)])
def test_each_layer_stashes_what_autograd_saves(name: str, dropout: bool, tokens: int) -> None:
    """What grows with samples is exact but for the labels; the rest is small, but among the embedding's few ids."""
    model = SMALL[name](dropout=True) if dropout else SMALL[name]()
    saved, length = measured(model, tokens), tokens_of(model, tokens)
    for part in model.layers:
        whole, growth = saved[part.name]
        assert part.stash_bytes(2, length) == pytest.approx(growth, rel=0.005), part.name
        if part.name != "embedding":
            assert part.stash_bytes(4, length) == pytest.approx(whole, rel=0.05), part.name


@pytest.mark.parametrize("name", SMALL)
def test_frozen_weights_save_what_the_closed_form_leaves(name: str) -> None:
    model, tokens = SMALL[name](), 96
    saved, length = measured(model, tokens, frozen=True), tokens_of(model, tokens)
    for part in model.layers[1:]:
        left = part.stash_bytes(2, length) - sum(b.weight_stash_bytes(2, length) for b in part.blocks)
        assert left == pytest.approx(saved[part.name][1], rel=0.01), part.name


@pytest.mark.parametrize("name", SMALL)
def test_frozen_weights_cost_the_backward_flops_that_the_closed_form_leaves(name: str) -> None:
    model = SMALL[name]()
    whole, length = reference(model, "eager", "meta"), tokens_of(model, 32)
    freeze(whole)
    loss = whole.loss(SAMPLES, 32)
    with FlopCounterMode(display=False) as backward:
        loss.backward()
    left = sum(
        b.backward_flop(SAMPLES, length) - b.weight_flop(SAMPLES, length) for part in model.layers for b in part.blocks
    )
    assert left == backward.get_total_flops()


@pytest.mark.parametrize("tokens", [32, 160])
@pytest.mark.parametrize(("name", "dropout"), [*((n, False) for n in SMALL), *((n, True) for n in DROPPED)])
def test_bytes_touched_are_those_that_the_librarys_operations_read_and_write(
    name: str, dropout: bool, tokens: int
) -> None:
    if name == "vit":
        pytest.skip("the library's ViT looks at numbers, which fake tensors lack")
    model = SMALL[name](dropout=True) if dropout else SMALL[name]()
    forward, backward = touched_bytes(model, 6, tokens)
    parts = [block for layer in model.layers for block in layer.blocks]
    assert sum(part.forward_bytes(6, tokens) for part in parts) == pytest.approx(forward, rel=0.1)
    # GPT-2's fused projection copies its gradients together; nothing else does.
    within = 0.13 if name == "gpt2" else 0.05
    assert sum(part.backward_bytes(6, tokens) for part in parts) == pytest.approx(backward, rel=within)


@pytest.mark.parametrize("tokens", [32, 160])
def test_attention_that_is_not_fused_touches_its_scores(tokens: int) -> None:
    model = SMALL["bart"](fused=False, dropout=True)
    counted, parts = touched_bytes(model, 6, tokens), [block for layer in model.layers for block in layer.blocks]
    closed = [sum(getattr(part, cost)(6, tokens) for part in parts) for cost in ("forward_bytes", "backward_bytes")]
    assert closed == pytest.approx(counted, rel=0.05)


def test_t5_saves_nearly_the_same_with_the_librarys_default_attention() -> None:
    model = SMALL["t5"]()
    saved = stashed_bytes(reference(model, "sdpa", "cpu"), 4, 96)
    for part in model.layers:
        assert part.stash_bytes(4, 96) == pytest.approx(saved[part.name], rel=0.05), part.name


@pytest.mark.parametrize(
    ("name", "forward", "backward"),
    [("t5_base", 0.418, 0.838), ("bart_large", 0.740, 1.481), ("t5_large", 1.480, 2.961)],
)
def test_pacs_models_have_the_published_tflop(name: str, forward: float, backward: float) -> None:
    """PAC (arXiv 2408.10746), figure 3, full fine-tuning of 16 samples, 128 tokens and one of answer (digitised)."""
    layers = configured(name).layers
    assert sum(part.forward_flop(16, 128) for part in layers) / 1e12 == pytest.approx(forward, rel=0.005)
    assert sum(part.backward_flop(16, 128) for part in layers) / 1e12 == pytest.approx(backward, rel=0.005)


@pytest.mark.parametrize("name", TRANSFORMERS)
def test_a_model_survives_json(name: str) -> None:
    assert model_from_dict(model_to_dict(configured(name))) == configured(name)


@pytest.mark.parametrize("name", TRANSFORMERS)
def test_splits_divide_a_block_into_equal_parts(name: str) -> None:
    """Heads (groups of them where K and V are shared), columns, or words; the rest goes by tokens."""
    model = configured(name)
    counts = {
        BlockKind.ATTENTION: (SplitBy.HEADS, model.hyper.get("groups", model.hyper["heads"])),
        BlockKind.MLP: (SplitBy.COLUMNS, model.hyper["columns"]),
        BlockKind.HEAD: (SplitBy.COLUMNS, model.hyper.get("vocabulary", model.hyper.get("classes"))),
        BlockKind.CONNECTIVE: (SplitBy.TOKENS, 0),
        BlockKind.EMBEDDING: (SplitBy.TOKENS, 0),
    }
    for part in model.layers:
        for block in part.blocks:
            assert (block.split_by, block.splits) == counts[block.kind]
            if block.kind in (BlockKind.ATTENTION, BlockKind.MLP):
                assert block.forward_flop(1, 8) % block.splits == 0
                assert block.weight_flop(1, 8) % block.splits == 0


SUMMED = (
    "forward_flop",
    "backward_flop",
    "forward_bytes",
    "backward_bytes",
    "stash_bytes",
    "weight_flop",
    "score_flop",
    "weight_stash_bytes",
)
SPLIT = (BlockKind.ATTENTION, BlockKind.MLP, BlockKind.HEAD)


def blocks_of(model: Model, *kinds: BlockKind) -> list[Block]:
    return [block for part in model.layers for block in part.blocks if block.kind in kinds]


def carried(block: Block) -> Cost:
    """What the block passes on beside its own output."""
    return block.output_bytes + block.parts[-1].output_bytes * -1


@pytest.mark.parametrize("name", TRANSFORMERS)
def test_the_parts_of_attention_and_of_an_mlp_are_all_of_it(name: str) -> None:
    inner = {BlockKind.ATTENTION: ("in", "core", "out"), BlockKind.MLP: ("in", "out")}
    for block in blocks_of(configured(name), *inner):
        assert [part.name for part in block.parts] == [f"{block.name}.{what}" for what in inner[block.kind]]
        assert {(part.kind, part.split_by, part.splits) for part in block.parts} == {
            (block.kind, block.split_by, block.splits)
        }
        aside = {"forward_bytes": carried(block), "backward_bytes": carried(block) * 2}
        for cost in SUMMED:
            total = sum((getattr(part, cost) for part in block.parts), aside.get(cost, Cost()))
            assert total == getattr(block, cost), cost
        assert sum(part.parameter_bytes for part in block.parts) == block.parameter_bytes


def test_attention_makes_q_k_and_v_and_then_the_heads_outputs_and_then_hidden_vectors() -> None:
    """Three of 128 numbers each; where two heads share K and V, twice 64 of them."""
    for name, made in (("bert", 3 * 128), ("llama, grouped", 128 + 2 * 64)):
        (block, *_) = blocks_of(SMALL[name](), BlockKind.ATTENTION)
        assert [part.output_bytes(2, 10) for part in block.parts] == [2 * 10 * n * 4 for n in (made, 128, 128)]


def test_parts_have_the_matrices_that_their_names_say() -> None:
    model = SMALL["bert"]()
    sizes = {"in": 3 * (128 * 128 + 128), "core": 0, "out": 128 * 128 + 128}
    for what, numbers in sizes.items():
        assert model.block(f"encoder.0/attention.{what}").parameter_bytes == 4 * numbers
    assert model.block("encoder.0/mlp.in").parameter_bytes == 4 * (128 * 512 + 512)
    assert model.block("encoder.0/mlp.out").forward_flop(2, 10) == 2 * 10 * 2 * 512 * 128


def test_a_rank_with_half_the_columns_reads_the_whole_input_and_adds_the_whole_bias() -> None:
    model = SMALL["bert"]()
    half = divided(model.block("encoder.0/mlp"), 0.5)
    assert half.forward_flop(2, 10) == model.block("encoder.0/mlp").forward_flop(2, 10) / 2
    assert half.parameter_bytes == 4 * (2 * 128 * 256 + 256 + 128)
    assert half.output_bytes(2, 10) == 2 * 10 * 128 * 4
    # Weights; the input, its 256 columns in and out of GELU and again into the last product, and the output.
    assert half.forward_bytes(2, 10) == half.parameter_bytes + 4 * 2 * 10 * (128 + 4 * 256 + 128)


def test_a_rank_with_half_the_words_has_the_whole_transform_of_berts_head() -> None:
    half = divided(SMALL["bert"](tied=False).block("head/head"), 0.5)
    assert half.parameter_bytes == 4 * (128 * 128 + 3 * 128 + 250 * 128 + 250)
    assert half.forward_flop(1, 10) == 10 * 2 * (128 * 128 + 128 * 250)
    assert half.output_bytes(1, 10) == 10 * 250 * 4


@pytest.mark.parametrize("name", TRANSFORMERS)
def test_shares_add_up_to_the_whole_and_what_each_rank_has_again(name: str) -> None:
    """At a quarter and three quarters, as where one of two ranks is three times as fast."""
    for block in blocks_of(configured(name), *SPLIT):
        for part in (part for part in (block, *block.parts) if part.divisible):
            small, large = divided(part, 0.25), divided(part, 0.75)
            assert small.parameter_bytes + large.parameter_bytes == pytest.approx(
                part.parameter_bytes + part.unsplit.parameter_bytes, abs=4
            )
            for cost in ("forward_flop", "backward_flop", "forward_bytes", "backward_bytes", "stash_bytes"):
                whole, alike = (getattr(of, cost)(2, 32) for of in (part, part.unsplit))
                assert 0 <= alike <= whole
                both = getattr(small, cost)(2, 32) + getattr(large, cost)(2, 32)
                assert both == pytest.approx(whole + alike), (part.name, cost)


def test_own_tokens_that_look_at_all_tokens_cost_their_part_of_the_whole() -> None:
    """Sequence parallelism: a quarter of the queries, all keys; K and V of all tokens are read and kept."""
    attention = SMALL["gpt2"]().block("decoder.0/attention")
    assert 4 * attention.forward_flop(1, 8, 32) == attention.forward_flop(1, 32)
    core = attention.parts[1]
    assert core.forward_bytes(1, 8, 32) == 4 * (8 * 2 * 128 + 32 * 2 * 128)
    assert core.stash_bytes(1, 8, 32) == 4 * (8 * (128 + 128 + 2) + 32 * 2 * 128)


@pytest.mark.parametrize("technique", [lora, houlsby, parallel_adapters])
def test_parts_of_frozen_blocks_keep_what_the_block_keeps(technique) -> None:
    for block in blocks_of(technique(SMALL["t5"]()), BlockKind.ATTENTION, BlockKind.MLP):
        for cost in ("backward_flop", "stash_bytes"):
            assert sum(getattr(part, cost)(2, 32) for part in block.parts) == getattr(block, cost)(2, 32)
            assert getattr(block.unsplit, cost)(2, 32) <= getattr(block, cost)(2, 32)
            assert getattr(divided(block, 0.5), cost)(2, 32) >= 0


@pytest.mark.parametrize("name", TRANSFORMERS)
def test_tied_parameters_are_counted_in_the_embedding_alone(name: str) -> None:
    model = configured(name)
    table = 4 * model.hyper.get("vocabulary", 0) * model.hyper["hidden"]
    shared = [block for part in model.layers for block in part.blocks if block.tied_bytes]
    assert bool(shared) == model.hyper.get("tied", model.architecture in ("t5", "bart"))
    words = [block for block in shared if block.tied_to == model.layers[0].name]
    assert {block.tied_bytes for block in words} <= {table}
    assert not shared or model.layers[0].parameter_bytes >= table
    if "decoder_tokens" in model.hyper:  # the decoder's embedding and the head
        assert [block.kind for block in words] == [BlockKind.EMBEDDING, BlockKind.HEAD]
    stacks = {block.tied_bytes for block in shared if block not in words}  # T5's positions, which a stack has once
    assert stacks <= {4 * model.hyper.get("buckets", 0) * model.hyper["heads"]}


def shape(draw_hidden: int, decoder: bool) -> dict[str, int]:
    return {"hidden": 16 * draw_hidden, "heads": 4, "columns": 64 * draw_hidden} | ({} if decoder else {"layers": 2})


FAMILIES = {
    "bert": lambda h, d: bert(name="law", **shape(h, False), **TEXT, tied=True, dropout=d),
    "distilbert": lambda h, d: distilbert(name="law", **shape(h, False), **TEXT, tied=True, dropout=d),
    "gpt2": lambda h, d: gpt2(name="law", **shape(h, False), **TEXT, tied=True, dropout=d),
    "opt": lambda h, d: opt(name="law", **shape(h, False), **TEXT, tied=True, dropout=d),
    "llama": lambda h, d: llama(name="law", **shape(h, False), **TEXT, groups=2, tied=True),
    "t5": lambda h, d: t5(
        name="law", **shape(h, True), **STACKS, head_size=8, vocabulary=99, buckets=8, decoder_tokens=3, dropout=d
    ),
    "bart": lambda h, d: bart(name="law", **shape(h, True), **STACKS, **TEXT, decoder_tokens=3, dropout=d),
    "vit": lambda h, d: vit(name="law", **shape(h, False), resolution=32, patch=8, channels=3, classes=10, dropout=d),
}
COSTS = ("forward_flop", "backward_flop", "forward_bytes", "backward_bytes", "output_bytes", "stash_bytes")


def costs(model: Model, samples: int, tokens: int) -> list[float]:
    return [getattr(b, cost)(samples, tokens) for part in model.layers for b in part.blocks for cost in COSTS]


def never_less(more: list[float], less: list[float]) -> bool:
    return all(a >= b for a, b in zip(more, less, strict=True)) and sum(more) > sum(less)


families = st.sampled_from(sorted(FAMILIES))
small = st.integers(1, 8)


@laws
@given(families, small, st.booleans(), small, st.integers(1, 200))
def test_costs_rise_with_samples_tokens_and_hidden_size(
    family: str, hidden: int, dropout: bool, samples: int, tokens: int
) -> None:
    model, wider = FAMILIES[family](hidden, dropout), FAMILIES[family](hidden + 1, dropout)
    base = costs(model, samples, tokens)
    assert never_less(costs(model, samples + 1, tokens), base)
    assert never_less(costs(wider, samples, tokens), base)
    assert family == "vit" or never_less(costs(model, samples, tokens + 1), base)


@laws
@given(families, small, st.booleans(), small, st.integers(1, 200))
def test_parts_never_exceed_the_whole(family: str, hidden: int, dropout: bool, samples: int, tokens: int) -> None:
    for part in FAMILIES[family](hidden, dropout).layers:
        for b in part.blocks:
            assert 0 <= b.weight_flop(samples, tokens) <= b.backward_flop(samples, tokens)
            assert 0 <= b.weight_stash_bytes(samples, tokens) <= b.stash_bytes(samples, tokens)
            assert 0 <= b.score_flop(samples, tokens) <= b.forward_flop(samples, tokens)
            forward = b.weight_flop(samples, tokens) + b.score_flop(samples, tokens)
            assert forward == pytest.approx(b.forward_flop(samples, tokens))


@laws
@given(families.filter(lambda family: family != "llama"), small, small, st.integers(1, 200))
def test_dropout_adds_to_stashes_alone(family: str, hidden: int, samples: int, tokens: int) -> None:
    off, on = FAMILIES[family](hidden, False), FAMILIES[family](hidden, True)
    assert never_less(*([p.stash_bytes(samples, tokens) for p in model.layers] for model in (on, off)))
    for cost in ("forward_flop", "backward_flop", "output_bytes"):
        assert [getattr(p, cost)(samples, tokens) for p in on.layers] == [
            getattr(p, cost)(samples, tokens) for p in off.layers
        ]


@given(st.integers(0, 9), st.integers(0, 9), st.integers(0, 9), st.integers(0, 9), st.integers(1, 50))
@laws
def test_pairs_are_the_product_of_two_lengths(a: int, b: int, c: int, d: int, tokens: int) -> None:
    queries = Cost(per_sample=a, per_token=b)
    for keys in (Cost(per_sample=c, per_token=d), Cost(per_sample=c, per_key=d)):
        assert pairs(queries, keys)(1, tokens) == queries(1, tokens) * keys(1, tokens)
    assert pairs(queries, keys)(1, tokens, 7) == queries(1, tokens) * keys(1, tokens, 7)
    assert always(a)(2, tokens) == 2 * a


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: bert(**SIZES | {"hidden": 65}, **TEXT, layers=1), "hidden=65 is not a multiple of heads=2"),
        (lambda: SMALL["llama"](groups=3), "heads=2 is not a multiple of groups=3"),
        (lambda: SMALL["vit"](patch=9), "resolution=112 is not a multiple of patch=9"),
        (lambda: SMALL["t5"](decoder_tokens=0), "small: decoder_tokens must be at least 1, got 0"),
        (lambda: SMALL["bart"](encoder_layers=0), "small: encoder_layers must be at least 1, got 0"),
    ],
)
def test_shapes_that_do_not_divide_are_refused(make, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize(("what", "does"), [("tied", "trains small"), ("dropout", "builds BERT")])
def test_the_runtime_refuses_what_it_would_build_otherwise(what: str, does: str) -> None:
    with pytest.raises(ValueError, match=rf"the runtime {does} without {what} .*\(set model.{what}=false"):
        build_layers(SMALL["bert"](**{"tied": False, what: True}), [0], seed=0)
