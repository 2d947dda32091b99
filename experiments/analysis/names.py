"""What does a reader of a paper call it? Methods, planners, models and clusters, as figures write them.

What is not listed is written as it stands in the tables, with blanks for underscores.
"""

from collections.abc import Mapping

# Methods that stand for ways to share a training in studies of energy: the four parallelisms, a pipeline being Eco-FL's
# cut by speed; hybrids of blocks and of a pipeline's stages; equal layers, in the best micro-batches or the workload's.
DP, SP, TP, PP = "eddl_proportional", "sequence_by_speed", "tensor_by_speed", "eco_fl"
FOUR = (DP, SP, TP, PP)
HMP, HPP = "galaxy", "asteroid"
EVEN, EVEN_AS_ASKED = "gpipe", "gpipe_as_asked"

METHODS: Mapping[str, str] = {
    "local": "one device",
    "one_device": "one device",
    "data": "data parallel",
    "data_parallel": "data parallel",
    "sequence": "sequence parallel",
    "tensor": "tensor parallel",
    "pipeline_exhaustive": "1F1B pipeline",
    "pipeline_ilp": "1F1B pipeline",
    "hybrid_parallel": "hybrid pipeline",
    "hybrid_model": "hybrid model parallel",
    "tensor_by_speed": "tensor parallel (by speed)",
    "sequence_by_speed": "sequence parallel (by speed)",
    "megatron_tp": "Megatron-LM TP",
    "sequence_parallel": "sequence parallel",
    "galaxy": "Galaxy",
    "galaxy_without_overlap": "Galaxy, no overlap",
    "asteroid": "Asteroid",
    "dapple": "DAPPLE",
    "eco_fl": "Eco-FL",
    "ddp": "PyTorch DDP",
    "eddl_even": "EDDL (even)",
    "eddl_proportional": "EDDL (by speed)",
    "gpipe": "GPipe",
    "hetpipe": "HetPipe",
    "pac": "PAC",
    "pipedream": "PipeDream",
    "pipeedge": "PipeEdge",
    "prima": "prima.cpp",
}
# As the bench and the study of measured regrets name them.
PLANNERS: Mapping[str, str] = {
    "simulate_and_choose": "simulate and choose (ours)",
    "simulate_and_choose_hybrid": "simulate and choose (ours)",
    "ilp": "ILP (ours)",
    "ilp_1f1b": "ILP, 1F1B (ours)",
    "ilp_hybrid": "ILP, hybrid (ours)",
    "ilp_tensor": "ILP, TP (ours)",
    "ilp_sequence": "ILP, SP (ours)",
    "ilp_hybrid_pipeline, asteroid": "ILP (ours)",
    "ilp_hybrid_pipeline, one_f_one_b": "ILP, 1F1B (ours)",
    "asteroid": "Asteroid",
    "pac": "PAC",
    "eddl": "EDDL",
    "even": "1F1B pipeline (even)",
    "proportional": "1F1B pipeline (by speed)",
    "even_data": "data parallel (even)",
    "even_pipeline": "1F1B pipeline (even)",
    "even_hybrid": "hybrid model parallel (even)",
    "even_tensor": "Megatron-LM TP",
    "even_sequence": "sequence parallel (even)",
    "proportional_data": "data parallel (by speed)",
    "proportional_pipeline": "1F1B pipeline (by speed)",
    "proportional_halves": "two stages (by speed)",
    "proportional_hybrid": "hybrid (by speed)",
    "proportional_tensor": "TP (by speed)",
    "proportional_sequence": "SP (by speed)",
    "exhaustive_pipeline": "exhaustive 1F1B pipeline",
    "prima_request": "prima.cpp",
    "pipeedge_request": "PipeEdge",
    "fastest_alone": "one device",
}
MODELS: Mapping[str, str] = {
    "bert-small": "BERT-small",
    "bert-small-bytes": "BERT-small",
    "bert-base": "BERT-base",
    "bert-base-untied": "BERT-base",
    "bert-large-untied": "BERT-large",
    "t5-base+full_untied": "T5-base",
    "tinyllama-1.1b": "TinyLlama-1.1B",
    "bert-large": "BERT-large",
    "distilbert": "DistilBERT",
    "gpt2-large": "GPT2-large",
    "efficientnet_b1_digits_32": "EfficientNet-B1, 32 px",
    "mobilenet_v2": "MobileNetV2",
    "mobilenet_v2_32": "MobileNetV2, 32 px",
    "mobilenet_v2_224": "MobileNetV2, 224 px",
    "resnet50": "ResNet-50",
    "opt-1.3b": "OPT-1.3B",
    "opt-2.7b": "OPT-2.7B",
}
CLUSTERS: Mapping[str, str] = {
    "demo": "3 emulated hosts",
    "nanos": "3 Jetson Nanos",
    "tx2-nano-pi": "TX2, Nano and Pi 4",
    "galaxy-m": "Jetson Nanos (M)",
    **{f"asteroid-{letter}": f"environment {letter.upper()}" for letter in "abcd"},
    **{f"galaxy-{letter}": f"environment {letter.upper()}" for letter in "abcdef"},
}
TESTBEDS: Mapping[str, str] = {"netns": "network namespaces", "loopback": "plain processes"}
_OF_COLUMNS = {"model": MODELS, "cluster": CLUSTERS, "method": METHODS, "planner": PLANNERS, "testbed": TESTBEDS}


def reader_name(name: str, column: str = "method") -> str:
    """What stands in a column, as a reader of a paper would write it.

    >>> reader_name("megatron_tp"), reader_name("galaxy-a", "cluster"), reader_name("my_model", "model")
    ('Megatron-LM TP', 'environment A', 'my model')
    """
    names = _OF_COLUMNS.get(column, {})
    return names.get(name) or (METHODS if column == "planner" else {}).get(name) or name.replace("_", " ")
