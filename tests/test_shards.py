"""Do the parts of all ranks, put together as each parallelism does, compute what the layers compute in sequence?"""

from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from itertools import accumulate, pairwise
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from edgesim.model import BlockKind, Model
from edgesim.zoo.architectures import BUILDERS
from real_runtime.blocks.shards import cut
from real_runtime.blocks.shards.cross_entropy import loss_gradient, statistics
from real_runtime.blocks.shards.parts import Range
from real_runtime.models import architecture, build_layers
from real_runtime.models.language import IGNORED

SAMPLES, TOKENS, COLUMNS, VOCABULARY = 2, 13, 37, 43
SIZES: Mapping[str, Any] = {
    "layers": 2,
    "hidden": 20,
    "heads": 5,
    "columns": COLUMNS,
    "vocabulary": VOCABULARY,
    "positions": 16,
    "tied": False,
}
# Five groups of keys and values as well, each for two heads of queries, wider together than the model.
LLAMA: Mapping[str, Any] = {"hidden": 40, "heads": 10, "groups": 5, "head_size": 6}
NAMES = ("bert", "distilbert", "gpt2", "opt", "llama")
CAUSAL = ("gpt2", "opt", "llama")
TOLERANCE = 1e-5

Parts = Mapping[str, nn.Module]


@dataclass(frozen=True, kw_only=True)
class Shares:
    """What each rank has: groups of heads, columns, words of the vocabulary, tokens."""

    heads: tuple[int, ...]
    columns: tuple[int, ...]
    vocabulary: tuple[int, ...]
    tokens: tuple[int, ...]


UNEVEN = [
    Shares(heads=(5,), columns=(37,), vocabulary=(43,), tokens=(13,)),
    Shares(heads=(3, 2), columns=(20, 17), vocabulary=(23, 20), tokens=(9, 4)),
    Shares(heads=(1, 3, 1), columns=(30, 6, 1), vocabulary=(35, 7, 1), tokens=(1, 5, 7)),
    Shares(heads=(1, 1, 2, 1), columns=(8, 9, 10, 10), vocabulary=(10, 11, 11, 11), tokens=(4, 3, 4, 2)),
]
by_name = pytest.mark.parametrize("name", NAMES)
by_ranks = pytest.mark.parametrize("shares", UNEVEN, ids=lambda shares: f"{len(shares.heads)} ranks")


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """Sums of a few numbers are not worth waking others for."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def ranges(shares: Sequence[int]) -> list[Range]:
    """Consecutive ranges of these lengths."""
    return list(pairwise(accumulate(shares, initial=0)))


def tiny(name: str, **more: Any) -> Model:
    return BUILDERS[name](name=name, **{**SIZES, **(LLAMA if name == "llama" else {}), **more})


def built(model: Model) -> nn.Sequential:
    """All layers; no norm is left at ones and no bias at zeros."""
    layers = build_layers(model, range(len(model.layers)), seed=3)
    with torch.no_grad():
        for parameter in layers.parameters():
            if parameter.dim() == 1:
                parameter.add_(0.3 * torch.randn_like(parameter))
    return layers


def example(model: Model) -> SimpleNamespace:
    """Ids, labels (every third is IGNORED), and what the layers in sequence make of them: logits and gradients."""
    layers, random = built(model), torch.Generator().manual_seed(5)
    ids = torch.randint(VOCABULARY, (SAMPLES, TOKENS), generator=random)
    ids[0, :2] = torch.tensor([0, 1])  # whose embeddings BERT and OPT do not train
    labels = torch.randint(VOCABULARY, (SAMPLES, TOKENS), generator=random)
    labels[:, ::3] = IGNORED
    logits = layers(ids)
    architecture(model).loss(model.hyper, TOKENS, logits, labels).backward()
    return SimpleNamespace(model=model, layers=layers, ids=ids, labels=labels, logits=logits.detach())


def whole(model: Model, layers: nn.Sequential) -> dict[str, nn.Module]:
    return cut(model, layers, heads=None, columns=None, vocabulary=None)


def cut_for_all(model: Model, layers: nn.Sequential, shares: Shares) -> list[dict[str, nn.Module]]:
    """[rank] its parts."""
    return [
        cut(model, layers, heads=heads, columns=columns, vocabulary=vocabulary)
        for heads, columns, vocabulary in zip(
            ranges(shares.heads), ranges(shares.columns), ranges(shares.vocabulary), strict=True
        )
    ]


def blocks(model: Model) -> Iterator[tuple[str, BlockKind]]:
    """Behind the embedding."""
    for layer in model.layers[1:]:
        for block in layer.blocks:
            yield f"{layer.name}/{block.name}", block.kind


# --- Ranks put together, in one process -------------------------------------------------------------------------------


def tensor_parallel(model: Model, ranks: Sequence[Parts], ids: Tensor) -> Tensor:
    """Every rank its heads and columns of all tokens; partial sums are added up; rank 0 does what all do alike."""
    residual = normed = ranks[0]["embedding/embedding"](ids, 0)
    branch: Tensor | None = None
    for name, kind in blocks(model):
        held = [parts[name] for parts in ranks]
        match kind:
            case BlockKind.ATTENTION:
                branch = sum(part.leave(part.core(*part.enter(normed, 0), 0)) for part in held)
            case BlockKind.MLP:
                branch = sum(part.leave(part.enter(normed)) for part in held)
            case BlockKind.CONNECTIVE:
                residual, normed = held[0](residual, branch)
            case BlockKind.HEAD:
                entered = held[0].enter(normed)
                normed = torch.cat([part.leave(entered) for part in held], dim=-1)
    return normed


def sequence_parallel(model: Model, ranks: Sequence[Parts], ids: Tensor, tokens: Sequence[Range]) -> Tensor:
    """Every rank all weights and its own tokens; keys and values of all are gathered."""
    firsts = [first for first, _ in tokens]
    residuals = [
        parts["embedding/embedding"](ids[:, first:last], first)
        for parts, (first, last) in zip(ranks, tokens, strict=True)
    ]
    normed: list[Tensor] = list(residuals)
    branches: list[Tensor | None] = [None] * len(ranks)
    for name, kind in blocks(model):
        held = [parts[name] for parts in ranks]
        match kind:
            case BlockKind.ATTENTION:
                q, k, v = zip(*(part.enter(x, a) for part, x, a in zip(held, normed, firsts, strict=True)), strict=True)
                keys, values = torch.cat(k, dim=2), torch.cat(v, dim=2)
                branches = [
                    part.leave(part.core(own, keys, values, a)) for part, own, a in zip(held, q, firsts, strict=True)
                ]
            case BlockKind.MLP:
                branches = [part.leave(part.enter(x)) for part, x in zip(held, normed, strict=True)]
            case BlockKind.CONNECTIVE:
                pairs = [part(*both) for part, *both in zip(held, residuals, branches, strict=True)]
                residuals, normed = map(list, zip(*pairs, strict=True))
            case BlockKind.HEAD:
                normed = [part.leave(part.enter(x)) for part, x in zip(held, normed, strict=True)]
    return torch.cat(normed, dim=1)


def hybrid(model: Model, ranks: Sequence[Parts], ids: Tensor, tokens: Sequence[Range]) -> Tensor:
    """Connective blocks by tokens; of every tile of tokens, each rank's heads and columns, added up for its owner."""
    firsts = [first for first, _ in tokens]
    residuals = [
        parts["embedding/embedding"](ids[:, first:last], first)
        for parts, (first, last) in zip(ranks, tokens, strict=True)
    ]
    tiles: list[Tensor] = list(residuals)
    branches: list[Tensor | None] = [None] * len(ranks)
    for name, kind in blocks(model):
        held = [parts[name] for parts in ranks]
        match kind:
            case BlockKind.ATTENTION:
                branches = add_up([attention_by_tiles(part, tiles, firsts) for part in held])
            case BlockKind.MLP:
                branches = add_up([[part.leave(part.enter(tile)) for tile in tiles] for part in held])
            case BlockKind.CONNECTIVE:
                pairs = [part(*both) for part, *both in zip(held, residuals, branches, strict=True)]
                residuals, tiles = map(list, zip(*pairs, strict=True))
            case BlockKind.HEAD:
                tiles = [part.enter(tile) for part, tile in zip(held, tiles, strict=True)]
                tiles = [torch.cat([part.leave(tile) for part in held], dim=-1) for tile in tiles]
    return torch.cat(tiles, dim=1)


def attention_by_tiles(part: nn.Module, tiles: Sequence[Tensor], firsts: Sequence[int]) -> list[Tensor]:
    """[tile] a rank's partial sum: tiles enter one by one, as they come; all are there before the core."""
    q, k, v = (
        torch.cat(tiles_of, dim=2)
        for tiles_of in zip(*(part.enter(x, a) for x, a in zip(tiles, firsts, strict=True)), strict=True)
    )
    context = part.core(q, k, v, 0)
    return [part.leave(tile) for tile in context.split([tile.shape[1] for tile in tiles], dim=1)]


def add_up(partials: Sequence[Sequence[Tensor]]) -> list[Tensor]:
    """[rank][tile] to [tile]."""
    return [sum(tile[1:], tile[0]) for tile in zip(*partials, strict=True)]


def with_a_cache(model: Model, ranks: Sequence[Parts], ids: Tensor, prefill: int) -> Tensor:
    """Tensor parallelism over the first tokens at once, then one by one with the keys and values so far."""
    caches: dict[tuple[str, int], tuple[Tensor, Tensor]] = {}
    passes = []
    for first, last in [(0, prefill), *pairwise(range(prefill, ids.shape[1] + 1))]:
        residual = normed = ranks[0]["embedding/embedding"](ids[:, first:last], first)
        branch: Tensor | None = None
        for name, kind in blocks(model):
            held = [parts[name] for parts in ranks]
            match kind:
                case BlockKind.ATTENTION:
                    partials = []
                    for rank, part in enumerate(held):
                        q, *new = part.enter(normed, first)
                        old = caches.get((name, rank))
                        caches[name, rank] = (
                            tuple(torch.cat(both, dim=2) for both in zip(old, new, strict=True)) if old else tuple(new)
                        )
                        partials.append(part.leave(part.core(q, *caches[name, rank], first)))
                    branch = sum(partials)
                case BlockKind.MLP:
                    branch = sum(part.leave(part.enter(normed)) for part in held)
                case BlockKind.CONNECTIVE:
                    residual, normed = held[0](residual, branch)
                case BlockKind.HEAD:
                    normed = torch.cat([part.leave(part.enter(normed)) for part in held], dim=-1)
        passes.append(normed)
    return torch.cat(passes, dim=1)


# --- Outputs and gradients --------------------------------------------------------------------------------------------


def assert_same(found: Tensor, expected: Tensor) -> None:
    """Relative to the largest number."""
    torch.testing.assert_close(found, expected, rtol=0, atol=TOLERANCE * float(expected.abs().max()))


def assert_same_gradients(case: SimpleNamespace, ranks: Sequence[Parts], shares: Shares | None) -> None:
    """The layers' gradients, cut as weights are, are the ranks' own; of what is not split, their sum."""
    layers = deepcopy(case.layers)
    for to, of in zip(layers.parameters(), case.layers.parameters(), strict=True):
        to.data = of.grad.clone()
    largest = max(float(p.detach().abs().max()) for p in layers.parameters())
    expected = cut_for_all(case.model, layers, shares) if shares else [whole(case.model, layers)]
    for name, part in expected[0].items():
        for key, _ in part.named_parameters():
            found = [parts[name].get_parameter(key).grad for parts in ranks]
            wanted = [parts[name].get_parameter(key) for parts in expected]
            if not shares or not (name.endswith(("/attention", "/mlp")) or key.startswith("decoder.")):
                found, wanted = [sum(gradient for gradient in found if gradient is not None)], wanted[:1]
            for mine, theirs in zip(found, wanted, strict=True):
                scale = float(theirs.detach().abs().max()) + 0.1 * largest  # a key's bias has no gradient, but rounding
                torch.testing.assert_close(
                    mine, theirs.data, rtol=0, atol=TOLERANCE * scale, msg=lambda m, n=f"{name}.{key}": f"{n}: {m}"
                )


def learn(case: SimpleNamespace, logits: Tensor) -> None:
    architecture(case.model).loss(case.model.hyper, TOKENS, logits, case.labels).backward()


@by_name
@by_ranks
def test_tensor_parallelism_computes_what_the_layers_do(name: str, shares: Shares) -> None:
    case = example(tiny(name))
    ranks = cut_for_all(case.model, case.layers, shares)
    logits = tensor_parallel(case.model, ranks, case.ids)
    assert_same(logits, case.logits)
    learn(case, logits)
    assert_same_gradients(case, ranks, shares)


@by_name
@by_ranks
def test_sequence_parallelism_computes_what_the_layers_do(name: str, shares: Shares) -> None:
    case = example(tiny(name))
    ranks = [deepcopy(whole(case.model, case.layers)) for _ in shares.tokens]
    logits = sequence_parallel(case.model, ranks, case.ids, ranges(shares.tokens))
    assert_same(logits, case.logits)
    learn(case, logits)
    assert_same_gradients(case, ranks, None)


@by_name
@by_ranks
def test_hybrid_parallelism_computes_what_the_layers_do(name: str, shares: Shares) -> None:
    case = example(tiny(name))
    ranks = cut_for_all(case.model, case.layers, shares)
    logits = hybrid(case.model, ranks, case.ids, ranges(shares.tokens))
    assert_same(logits, case.logits)
    learn(case, logits)
    assert_same_gradients(case, ranks, shares)


@by_ranks
@pytest.mark.parametrize("prefill", [1, 6])
@pytest.mark.parametrize("name", CAUSAL)
def test_one_token_at_a_time_gives_the_logits_of_the_whole_sequence(name: str, prefill: int, shares: Shares) -> None:
    case = example(tiny(name))
    ranks = cut_for_all(case.model, case.layers, shares)
    with torch.no_grad():
        assert_same(with_a_cache(case.model, ranks, case.ids, prefill), case.logits)


@by_name
def test_parts_are_named_as_the_zoo_names_its_blocks(name: str) -> None:
    model = tiny(name)
    assert list(whole(model, built(model))) == [
        f"{layer.name}/{b.name}" for layer in model.layers for b in layer.blocks
    ]


@by_name
@by_ranks
def test_the_ranks_hold_every_split_weight_once_and_the_rest_each(name: str, shares: Shares) -> None:
    model = tiny(name)
    layers = built(model)
    parts, ranks = whole(model, layers), cut_for_all(model, layers, shares)
    assert sum(numbers(part) for part in parts.values()) * 4 == model.parameter_bytes
    for key, part in parts.items():
        split = key.endswith(("/attention", "/mlp"))
        held = [numbers(rank[key]) for rank in ranks]
        if split:
            assert sum(held) == numbers(part)
        elif key != "head/head":
            assert held == [numbers(part)] * len(ranks)
    before = sum(numbers(m) for m in (parts["head/head"].dense, parts["head/head"].norm) if m is not None)
    assert sum(numbers(rank["head/head"]) - before for rank in ranks) == numbers(parts["head/head"]) - before


def numbers(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


@by_name
def test_every_parameter_is_contiguous_and_a_slice_holds_no_more_than_itself(name: str) -> None:
    model = tiny(name)
    for key, part in cut_for_all(model, built(model), UNEVEN[1])[1].items():
        for parameter in part.parameters():
            assert parameter.is_contiguous(), key
            assert parameter.untyped_storage().nbytes() == parameter.numel() * 4, key


@by_name
def test_a_tied_head_is_a_view_of_the_embedding_and_nothing_of_it_learns(name: str) -> None:
    model = tiny(name, tied=True)
    layers = built(model)
    text = torch.randint(VOCABULARY, (SAMPLES, TOKENS), generator=torch.Generator().manual_seed(5))
    ranks = cut_for_all(model, layers, UNEVEN[2])
    for parts in ranks:
        words, head = parts["embedding/embedding"].words, parts["head/head"].decoder.weight
        assert head.untyped_storage().data_ptr() == words.untyped_storage().data_ptr()
    logits = tensor_parallel(model, ranks, text)
    assert_same(logits, layers(text).detach())
    assert not logits.requires_grad


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"heads": (2, 2)}, r"encoder.0/attention: 2 \.\. 2 is not a range within 0 \.\. 5"),
        ({"columns": (30, 38)}, r"encoder.0/mlp: 30 \.\. 38 is not a range within 0 \.\. 37"),
        ({"vocabulary": (-1, 4)}, r"head/head: -1 \.\. 4 is not a range within 0 \.\. 43"),
    ],
)
def test_a_share_outside_the_block_is_refused(given: Mapping[str, Range], message: str) -> None:
    model = tiny("bert")
    with pytest.raises(ValueError, match=message):
        cut(model, built(model), **{"heads": None, "columns": None, "vocabulary": None, **given})


def test_a_model_that_has_no_parts_is_refused_by_name() -> None:
    model = BUILDERS["vit"](
        name="small", layers=1, hidden=8, heads=2, columns=8, resolution=8, patch=4, channels=3, classes=2
    )
    with pytest.raises(ValueError, match="cannot cut small by heads, columns or tokens: it is a vit"):
        cut(model, [], heads=None, columns=None, vocabulary=None)


@pytest.mark.parametrize("name", [name for name in NAMES if name != "llama"])
def test_a_token_beyond_the_learnt_positions_is_refused(name: str) -> None:
    model = tiny(name)
    embedding = whole(model, built(model))["embedding/embedding"]
    one = torch.zeros(1, 1, dtype=torch.long)
    assert embedding(one, 15).shape == (1, 1, model.hyper["hidden"])
    with pytest.raises(ValueError, match="position 16 is beyond the model's 16 positions"):
        embedding(one, 16)


# --- The loss ---------------------------------------------------------------------------------------------------------


@settings(derandomize=True, deadline=None, database=None, max_examples=60)
@given(
    words=st.lists(st.integers(1, 9), min_size=1, max_size=4),
    scale=st.sampled_from([1.0, 100.0, 1e4]),
    seed=st.integers(0, 99),
)
def test_the_ranks_loss_and_gradient_are_those_of_the_whole_vocabulary(
    words: list[int], scale: float, seed: int
) -> None:
    random = torch.Generator().manual_seed(seed)
    logits = (scale * torch.randn(2, 5, sum(words), generator=random)).requires_grad_()
    targets = torch.randint(sum(words), (2, 5), generator=random)
    targets[0, :2] = IGNORED
    expected = nn.functional.cross_entropy(
        logits.flatten(0, 1), targets.flatten(), ignore_index=IGNORED, reduction="sum"
    )
    expected.backward()
    own = [logits[..., first:last] for first, last in ranges(words)]
    everyone = [statistics(part, targets, first) for part, (first, _) in zip(own, ranges(words), strict=True)]
    found = [loss_gradient(part, targets, a, everyone) for part, (a, _) in zip(own, ranges(words), strict=True)]
    for loss, _ in found:
        assert float(loss) == pytest.approx(float(expected.detach()), rel=1e-5, abs=1e-5)
    torch.testing.assert_close(torch.cat([part for _, part in found], dim=-1), logits.grad, rtol=1e-4, atol=1e-5)


def test_a_batch_without_labels_has_no_loss_and_no_gradient() -> None:
    logits, targets = torch.randn(1, 3, 4), torch.full((1, 3), IGNORED)
    loss, gradient = loss_gradient(logits, targets, 0, [statistics(logits, targets, 0)])
    assert float(loss) == 0
    assert not gradient.any()


@by_name
def test_the_split_loss_trains_the_parts_as_the_whole_loss_trains_the_layers(name: str) -> None:
    case, shares = example(tiny(name)), UNEVEN[2]
    ranks = cut_for_all(case.model, case.layers, shares)
    whole_logits = tensor_parallel(case.model, ranks, case.ids)
    words = ranges(shares.vocabulary)
    own = [whole_logits[..., a:b].detach() for a, b in words]
    everyone = [statistics(part, case.labels, a) for part, (a, _) in zip(own, words, strict=True)]
    gradients = [loss_gradient(part, case.labels, a, everyone)[1] for part, (a, _) in zip(own, words, strict=True)]
    whole_logits.backward(torch.cat(gradients, dim=-1) / architecture(case.model).labelled(TOKENS))
    assert_same_gradients(case, ranks, shares)
