"""Models that people reported wrong numbers of: heads apart from the width, adapters on shared K and V, 16-bit K/V."""

from pathlib import Path

import pytest
from torch import nn

from edgesim.finetuning import houlsby, lora, parallel_adapters
from edgesim.memory import RankLoad, Share, held_bytes, kv_bytes
from edgesim.model import Model, model_from_dict, model_to_dict, with_activation_bytes
from edgesim.workload import Workload
from edgesim.zoo.bert import bert
from edgesim.zoo.hugging_face import read_config
from edgesim.zoo.llama import llama
from experiments.configuration.command_line import composed
from experiments.configuration.setup import prepare

CONFIGS = Path(__file__).parent / "configs"
CODELLAMA = {"layers": 32, "hidden": 4096, "heads": 32, "columns": 11008, "vocabulary": 32016, "positions": 16384}


def configured(name: str) -> Model:
    return read_config(CONFIGS / f"{name}.json")


def kv_numbers(model: Model, tokens: int = 1) -> float:
    """K and V of so many tokens, in numbers."""
    blocks = (block for layer in model.layers for block in layer.blocks if block.name == "attention")
    return sum(kv_bytes(block, samples=1, tokens=tokens) for block in blocks) / 4


# --- 01: head sizes apart from hidden / heads (LMCache #688, Model-Optimizer #2482, candle #2358) ---


@pytest.mark.parametrize(
    ("name", "parameters", "numbers"),
    [("qwen3-0.6b", 596_049_920, 57_344), ("mistral-nemo-12b", 12_247_782_400, 81_920)],
)
def test_heads_may_be_wider_or_narrower_than_the_model_over_their_number(
    name: str, parameters: int, numbers: int
) -> None:
    model = configured(name)
    assert model.parameter_bytes == 4 * parameters
    assert kv_numbers(model) == numbers


def test_ranks_divide_wide_heads_by_groups() -> None:
    """Half of eight groups of 128: half of Q, K and V and of the exiting product, and both norms of Q and K."""
    attention = configured("qwen3-0.6b").block("decoder.0/attention")
    half = Share(heads=0.5).of(attention)
    assert attention.splits == 8
    assert half.parameter_bytes == 4 * (1024 * 8 * 128 * 2 + 1024 * 4 * 128 * 2 + 2 * 128)
    assert kv_bytes(half, samples=1, tokens=10) == 10 * 2 * 4 * 128 * 4


def test_a_head_size_is_that_of_the_width_unless_it_is_said() -> None:
    plain = llama(name="codellama", **CODELLAMA, groups=32, tied=False)
    assert plain.hyper["head_size"] == 128
    assert llama(name="codellama", **CODELLAMA, groups=32, tied=False, head_size=128) == plain


# --- 03: adapters where heads share K and V (unsloth #1578, peft #1526) ---


def trainable(model: Model) -> int:
    return sum(layer.trainable_bytes for layer in model.layers) // 4


def test_lora_of_v_is_as_wide_as_the_groups() -> None:
    """32 layers of 16 x (4096 + 4096) and 16 x (4096 + 1024); CodeLlama, without groups, as the thread prints it."""
    assert trainable(lora(configured("mistral-7b"), rank=16)) == 6_815_744
    codellama = llama(name="codellama", **CODELLAMA, groups=32, tied=False)
    assert trainable(lora(codellama, rank=16)) == 8_388_608
    assert codellama.parameter_bytes // 4 + 8_388_608 == 6_746_935_296


@pytest.mark.parametrize("name", ["qwen3-0.6b", "gemma-2-2b", "mistral-nemo-12b", "qwen2.5-0.5b", "flan-t5-base"])
def test_lora_has_the_matrices_that_fit_the_librarys_layers(name: str) -> None:
    """In and out of every Q and V: numbers by the library's own linear layers, FLOPs by their products."""
    from test_hugging_face_configs import library

    layers = [
        part
        for path, part in library(name).named_modules()
        if isinstance(part, nn.Linear) and path.rpartition(".")[2] in ("q_proj", "v_proj", "q", "v")
    ]
    tuned = lora(configured(name), rank=16)
    assert trainable(tuned) == sum(16 * (part.in_features + part.out_features) for part in layers)
    if not name.startswith("flan"):  # whose decoder has one token
        added = [block for layer in tuned.layers for block in layer.blocks if block.name.startswith("lora")]
        assert sum(block.forward_flop(1, 10) for block in added) == 10 * 2 * trainable(tuned)


def test_adapters_behind_attention_are_as_wide_as_the_model_whatever_the_heads() -> None:
    qwen = configured("qwen3-0.6b")
    assert trainable(houlsby(qwen, bottleneck=64)) == 28 * 2 * (2 * 1024 * 64 + 64 + 1024)
    blocks = [block for block in houlsby(qwen).layers[1].blocks if block.name.startswith("adapter")]
    assert [block.forward_flop(1, 10) for block in blocks] == [10 * 4 * 1024 * 64] * 2


@pytest.mark.parametrize(
    ("name", "heads", "groups"), [("mistral-7b", 4, 1), ("qwen3-0.6b", 2, 1), ("gemma-3-1b", 1, 1)]
)
def test_a_side_network_shares_its_keys_as_the_model_does(name: str, heads: int, groups: int) -> None:
    """Sizes over 8; before, any model with fewer groups than heads was refused."""
    side = parallel_adapters(configured(name), k=8)
    (attention,) = [block for block in side.layers[1].blocks if block.name == "side_attention"]
    hidden = configured(name).hyper["hidden"] // 8
    size = hidden // heads
    norms = 2 * size * bool(configured(name).hyper["qk_norms"])
    assert attention.parameter_bytes == 4 * (hidden * size * (2 * heads + 2 * groups) + norms)
    assert attention.splits == groups


def request(**changes: object) -> Workload:
    usual = {"purpose": "infer", "batch_samples": 1, "micro_batch_samples": 1, "tokens": 8000, "new_tokens": 192}
    return Workload(**usual | {"optimiser": "sgd", "learning_rate": 0.0, "weight_bytes": 2} | changes)  # type: ignore[arg-type]


def held(model: Model, workload: Workload) -> float:
    load = RankLoad(layers=(0, len(model.layers)), samples=1, in_flight=1, micro_batches=1, replicas=1, context_bytes=0)
    return held_bytes(model, workload, load).kv_bytes


# --- 07: K and V at their own bytes (vLLM #29736, vllm-fit #2) ---


def llama_3_8b() -> Model:
    sizes = {"layers": 32, "hidden": 4096, "heads": 32, "groups": 8, "columns": 14336}
    return llama(name="llama-3-8b", **sizes, vocabulary=128256, positions=8192, tied=False)


@pytest.mark.parametrize(("nbytes", "gib"), [(4, 2.0), (2, 1.0), (1, 0.5)])
def test_keys_and_values_take_the_bytes_that_the_workload_says(nbytes: int, gib: float) -> None:
    """8192 tokens x 32 layers x 2 x 8 x 128 numbers: 1 GiB in FP16, as the threads count."""
    assert held(llama_3_8b(), request(kv_bytes=nbytes)) == gib * 2**30


def test_keys_and_values_have_their_bytes_whatever_activations_have() -> None:
    short = with_activation_bytes(llama_3_8b(), 2)
    assert held(short, request(kv_bytes=2, activation_bytes=2)) == 2**30
    assert held(short, request(kv_bytes=4, activation_bytes=2)) == 2 * 2**30


def test_activations_take_half_the_bytes_in_memory_and_in_messages() -> None:
    """Four of Gemma's blocks on the second of two stages: what enters and leaves, and the largest transient."""
    model, layers = configured("gemma-3-1b"), (2, 4)
    load = RankLoad(layers=layers, samples=1, in_flight=1, micro_batches=1, replicas=1, context_bytes=0)
    whole = held_bytes(model, request(), load)
    half = held_bytes(with_activation_bytes(model, 2), request(activation_bytes=2), load)
    assert whole.message_bytes == 2 * 8000 * 1152 * 4
    for term in ("message_bytes", "transient_bytes"):
        assert getattr(half, term) == getattr(whole, term) / 2
    assert half.kv_bytes == whole.kv_bytes
    assert half.parameter_bytes == whole.parameter_bytes


@pytest.mark.parametrize("method", ["megatron_tp", "sequence_parallel", "galaxy"])
def test_messages_of_a_run_carry_activations_at_the_workloads_bytes(method: str) -> None:
    """All but what ranks tell one another of the vocabulary, a pair of numbers."""
    given = (f"method={method}", "model=distilbert", "cluster=galaxy_b", "workload=request")
    four, two = (
        prepare(composed(*given, f"+workload.activation_bytes={nbytes}")).schedule.programs for nbytes in (4, 2)
    )
    sent = [[task.nbytes for program in programs for task in program if task.nbytes] for programs in (four, two)]
    assert sum(sent[0]) == 2 * sum(sent[1]) > 0


def test_a_model_that_keeps_other_activations_than_the_workload_is_refused() -> None:
    with pytest.raises(ValueError, match=r"activation_bytes=2, those of llama-3-8b take 4 \(give it with_activation"):
        held(llama_3_8b(), request(activation_bytes=2))


def test_activations_of_a_model_survive_json() -> None:
    short = with_activation_bytes(configured("gemma-3-1b"), 2)
    assert model_from_dict(model_to_dict(short)) == short
    assert with_activation_bytes(short, 4) == configured("gemma-3-1b")


# --- relatives: windows of attention ---


def test_no_more_keys_and_values_are_kept_than_a_window_has() -> None:
    """Gemma 3 1B: 22 of 26 layers keep 512 tokens, four keep all of them; 2 x 1 x 256 numbers per token and layer."""
    kept = held(configured("gemma-3-1b"), request())
    assert kept == (22 * 512 + 4 * 8192) * 2 * 256 * 4
    # Mistral: no more than 4096, and all of what is shorter.
    assert held(configured("mistral-7b"), request()) == 4096 * 32 * 2 * 1024 * 4
    assert held(configured("mistral-7b"), request(tokens=100, new_tokens=20)) == 120 * 32 * 2 * 1024 * 4


# --- 10: eager attention, which keeps its probabilities (transformers' model_memory_anatomy) ---


def bert_large(**style: bool) -> Model:
    sizes = {"layers": 24, "hidden": 1024, "heads": 16, "columns": 4096, "vocabulary": 30522, "positions": 512}
    return bert(name="bert-large", **sizes, tied=True, **style)


@pytest.mark.parametrize(("fused", "mib"), [(True, 64.078), (False, 80.016)])
def test_a_layer_of_bert_large_stashes_what_the_case_measured(fused: bool, mib: float) -> None:
    """Of 4 samples of 256 tokens, without dropout; eager attention keeps 16 MiB of probabilities more."""
    layer = bert_large(fused=fused, dropout=False).layers[1]
    assert layer.stash_bytes(4, 256) / 2**20 == pytest.approx(mib, abs=0.1)


def test_the_published_peak_of_bert_large_is_that_of_eager_attention() -> None:
    """14,949 MiB on a V100 in January 2022: 34 % less with a fused kernel, 11 % less with eager attention."""
    load = RankLoad(layers=(0, 26), samples=4, in_flight=1, micro_batches=1, replicas=1, context_bytes=1343 * 2**20)
    sizes = {"batch_samples": 4, "micro_batch_samples": 4, "tokens": 512, "new_tokens": 0}
    asked = request(purpose="train", optimiser="adam", weight_bytes=4, **sizes)
    models = (bert_large(fused=fused, dropout=True) for fused in (True, False))
    peaks = [held_bytes(model, asked, load).total_bytes / 2**20 for model in models]
    assert peaks == pytest.approx([9910, 13370], rel=0.005)
