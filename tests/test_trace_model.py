"""Do traced tables say what PyTorch's modules cost? Against whole Hugging Face models and torch's own counters."""

import re
import sys
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
import torch
from own_modules import CNN, TRANSFORMER, written
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils.flop_counter import FlopCounterMode
from transformers import (
    EfficientNetConfig,
    EfficientNetForImageClassification,
    MobileNetV2Config,
    MobileNetV2ForImageClassification,
    ResNetConfig,
    ResNetForImageClassification,
)

from edgesim.model import BlockKind, Model, from_table
from real_runtime.models import architecture, boundary_shapes
from real_runtime.tracing import trace_model
from real_runtime.tracing.layer_table import count_boundaries_once
from real_runtime.tracing.op_counter import INPUT, count
from real_runtime.tracing.trace_model import KEPT, Inputs, table_text, trace_file, trace_kept

CNNS = ["resnet50", "efficientnet_b1", "mobilenet_v2"]
# Tan and Le's B1 as google/efficientnet-b1 has it; He et al.'s ResNet-50 is ResNetConfig's default.
B1 = {"width_coefficient": 1.0, "depth_coefficient": 1.1, "hidden_dim": 1280, "depthwise_padding": [16]}
OFF = {"dropout_rate": 0.0, "drop_connect_rate": 0.0}


def whole(name: str, resolution: int, classes: int) -> nn.Module:
    """The Hugging Face model of a table, in one piece."""
    if name == "resnet50":
        return ResNetForImageClassification(ResNetConfig(num_labels=classes))
    if name == "efficientnet_b1":
        config = EfficientNetConfig(image_size=resolution, num_labels=classes, **B1, **OFF)
        return EfficientNetForImageClassification(config)
    config = MobileNetV2Config(image_size=resolution, num_labels=classes, classifier_dropout_prob=0.0)
    return MobileNetV2ForImageClassification(config)


def inner(name: str, model: Any) -> list[nn.Module]:
    """The whole model's modules that are the chain's layers, without the head."""
    if name == "resnet50":
        return [model.resnet.embedder, *(b for stage in model.resnet.encoder.stages for b in stage.layers)]
    if name == "efficientnet_b1":
        return [model.efficientnet.embeddings, *model.efficientnet.encoder.blocks]
    return [model.mobilenet_v2.conv_stem, *model.mobilenet_v2.layer]


def kept_bytes(run: Callable[[], Tensor], own: Iterable[Tensor]) -> int:
    """What autograd keeps of a real run, by the addresses of real storages."""
    known = {t.untyped_storage().data_ptr() for t in own}
    kept: dict[int, Tensor] = {}

    def pack(tensor: Tensor) -> Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        run()
    return sum(t.untyped_storage().nbytes() for address, t in kept.items() if address not in known)


# --- kept tables ---


# One of each network every time; the same networks on other pixels and classes in the soak.
ONE_OF_EACH = ("resnet50", "mobilenet_v2", "efficientnet_b1_digits")


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name in ONE_OF_EACH else pytest.mark.soak) for name in KEPT]
)
def test_a_kept_table_is_what_tracing_gives(name: str) -> None:
    tables = Path(str(files("edgesim"))) / "tables"
    assert (tables / f"{name}.json").read_text() == table_text(trace_kept(name), tables)


def test_every_table_of_the_package_can_be_traced_again() -> None:
    assert {path.stem for path in (Path(str(files("edgesim"))) / "tables").glob("*.json")} == set(KEPT)


@pytest.mark.parametrize(("name", "published"), [("resnet50", 25_557_032), ("efficientnet_b1", 7_794_184)])
def test_parameters_are_the_published_ones(name: str, published: int) -> None:
    assert from_table(table=name).parameter_bytes == 4 * published


@pytest.mark.parametrize("name", CNNS)
def test_parameters_are_those_of_the_whole_hugging_face_model(name: str) -> None:
    model = from_table(table=name)
    with torch.device("meta"):
        expected = [tuple(p.shape) for p in whole(name, 64, model.hyper["classes"]).parameters()]
        layers = [architecture(model).layer(model.hyper, i) for i in range(len(model.layers))]
    assert [tuple(p.shape) for layer in layers for p in layer.parameters()] == expected
    assert [4 * sum(p.numel() for p in layer.parameters()) for layer in layers] == [
        layer.parameter_bytes for layer in model.layers
    ]


@cache
def traced(name: str, *, resolution: int) -> Model:
    """A kept network at another resolution, with ten classes; traced once for all tests here."""
    return trace_kept(name, resolution=resolution, classes=10)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "resolution"),
    [
        pytest.param(name, pixels, marks=() if (name == "resnet50" or pixels == 64) else pytest.mark.soak)
        for name in CNNS
        for pixels in (64, 96)
    ],
)
def test_flops_are_those_of_the_whole_model_and_of_each_of_its_layers(name: str, resolution: int) -> None:
    samples = 2
    model = traced(name, resolution=resolution)
    by_layer: list[int] = []
    with FakeTensorMode():
        module = whole(name, resolution, model.hyper["classes"])
        for layer in inner(name, module):
            layer.register_forward_hook(lambda layer, entered, _: by_layer.append(flops(layer, entered[0])))
        with FlopCounterMode(display=False) as forward:
            module(torch.zeros(samples, 3, resolution, resolution))
    assert [layer.forward_flop(samples, 1) for layer in model.layers[:-1]] == by_layer
    total = sum(layer.forward_flop(samples, 1) for layer in model.layers)
    assert total == pytest.approx(forward.get_total_flops() - sum(by_layer), rel=0.01)  # hooks ran each layer again


def flops(layer: nn.Module, entered: Tensor) -> int:
    """By torch's counter alone; a module's hooks are not called by its forward method."""
    with FlopCounterMode(display=False) as counter:
        layer.forward(entered)
    return counter.get_total_flops()


@pytest.mark.parametrize("resolution", [64, 96])
def test_backward_flops_of_resnet_are_those_of_the_whole_model(resolution: int) -> None:
    model = traced("resnet50", resolution=resolution)
    with FakeTensorMode():
        output = whole("resnet50", resolution, 10)(torch.zeros(2, 3, resolution, resolution)).logits
        with FlopCounterMode(display=False) as backward:
            output.sum().backward()
    assert sum(layer.backward_flop(2, 1) for layer in model.layers) == backward.get_total_flops()


@pytest.mark.parametrize("name", [name for name in KEPT if "resnet" not in name])
def test_a_grouped_convolutions_backward_pass_costs_twice_its_forward_pass(name: str) -> None:
    """Torch's own counter says many times: it counts the weights' gradient once per group."""
    for layer in from_table(table=name).layers[1:]:
        assert layer.backward_flop(1, 1) == 2 * layer.forward_flop(1, 1)


@pytest.mark.parametrize("name", CNNS)
def test_boundary_tensors_are_those_between_the_whole_models_blocks(name: str) -> None:
    model = from_table(table=name)
    resolution, shapes = model.hyper["resolution"], []
    with torch.device("meta"), torch.no_grad():
        module = whole(name, resolution, model.hyper["classes"])
        for layer in inner(name, module):
            layer.register_forward_hook(lambda _, __, output: shapes.append(tuple(output.shape[1:])))
        shapes.append(tuple(module(torch.zeros(2, 3, resolution, resolution)).logits.shape[1:]))
    assert boundary_shapes(model, 1) == tuple(shapes)
    assert [layer.output_bytes(3, 1) for layer in model.layers] == [4 * 3 * torch.Size(s).numel() for s in shapes]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "tolerance"), [("resnet50", 0.01), ("mobilenet_v2", 0.01), ("efficientnet_b1", 0.01)])
def test_stashes_are_what_the_whole_model_keeps_in_a_real_run(name: str, tolerance: float) -> None:
    samples, resolution = 3, 64
    model = traced(name, resolution=resolution)
    module = whole(name, resolution, 10)
    images, labels = torch.rand(samples, 3, resolution, resolution), torch.zeros(samples, dtype=torch.long)
    own = [*module.parameters(), *module.buffers()]
    real = kept_bytes(lambda: nn.functional.cross_entropy(module(images).logits, labels), own)
    assert sum(layer.stash_bytes(samples, 1) for layer in model.layers) == pytest.approx(real, rel=tolerance)


def test_kinds_follow_the_operations() -> None:
    kinds = [layer.blocks[0].kind for layer in from_table(table="resnet50").layers]
    assert kinds == [BlockKind.CONV] * 17 + [BlockKind.HEAD]


# --- counting ---


@pytest.mark.parametrize("place", [nullcontext, FakeTensorMode], ids=["real", "fake"])
@pytest.mark.parametrize("frozen", [False, True])
def test_a_linear_layer_costs_what_a_matrix_product_does(
    place: Callable[[], AbstractContextManager[object]], frozen: bool
) -> None:
    samples, wide, narrow = 5, 7, 3
    with place():
        counts, _ = count(
            nn.Linear(wide, narrow), torch.zeros(samples, wide, requires_grad=True), frozen=frozen, loss=None
        )
    product = 2 * samples * wide * narrow
    x, w, b, y = (4 * n for n in (samples * wide, wide * narrow, narrow, samples * narrow))
    assert counts.forward_flop == product
    assert counts.forward_bytes == x + w + b + y
    assert counts.backward_flop == (product if frozen else 2 * product)
    assert counts.kept == ({} if frozen else {INPUT: x})
    assert counts.output_bytes == y


def test_a_lookup_reads_the_rows_that_it_takes_and_not_the_whole_table() -> None:
    ids = torch.zeros(2, 3, dtype=torch.long)
    counts, _ = count(nn.Embedding(1000, 4), ids, frozen=False, loss=None)
    assert counts.forward_bytes == ids.nbytes + 2 * (2 * 3 * 4 * 4)
    assert counts.kind is BlockKind.EMBEDDING


@pytest.mark.parametrize("text", [CNN, TRANSFORMER], ids=["cnn", "transformer"])
def test_fake_tensors_cost_what_real_ones_do(tmp_path: Path, text: str) -> None:
    reads = {"resolution": 16} if text is CNN else {"vocabulary": 259}
    model = trace_file(f"{written(tmp_path, text)}:make", Inputs(**reads))
    arch, totals = architecture(model), []
    for place in (nullcontext, FakeTensorMode):
        with place():
            entered, costs = arch.sample(model.hyper, 24).repeat(2, *[1] * (3 if text is CNN else 1)), []
            for i in range(len(model.layers)):
                counts, output = count(arch.layer(model.hyper, i), entered, frozen=False, loss=None)
                costs.append((counts.forward_flop, counts.backward_flop, counts.forward_bytes, counts.backward_bytes))
                costs.append((sum(counts.kept.values()),))
                entered = output.detach().requires_grad_()
            totals.append(costs)
    assert totals[0] == totals[1]


@pytest.mark.parametrize("frozen", [False, True])
def test_a_boundary_tensor_that_two_layers_keep_is_counted_once(frozen: bool) -> None:
    layers = [
        nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU()) if i == 0 else nn.Sequential(nn.Conv2d(4, 4, 1), nn.ReLU())
        for i in range(3)
    ]
    images, counted = torch.rand(2, 3, 8, 8, requires_grad=True), []
    entered = images
    for layer in layers:
        both = [count(layer, entered, frozen=f, loss=None) for f in (False, True)]
        counted.append((both[0][0], both[1][0]))
        entered = both[0][1].detach().requires_grad_()
    count_boundaries_once(counted)
    chain = nn.Sequential(*layers).requires_grad_(not frozen)
    real = kept_bytes(lambda: chain(images), chain.parameters())
    assert sum(sum(pair[frozen].kept.values()) for pair in counted) == real
    assert all(sum(whole.kept.values()) >= sum(held.kept.values()) for whole, held in counted)


def test_costs_of_attention_are_fitted_in_closed_form(tmp_path: Path) -> None:
    h, arguments = 16, {"blocks": 1}
    model = trace_file(f"{written(tmp_path, TRANSFORMER)}:make", Inputs(vocabulary=259), name="t", arguments=arguments)
    embedding, block, head = (layer.blocks[0] for layer in model.layers)
    assert [b.kind for b in (embedding, block, head)] == [BlockKind.EMBEDDING, BlockKind.ATTENTION, BlockKind.HEAD]
    # Projections 8th², MLP of 2h columns 8th², attention 4t²h.
    assert block.forward_flop(1, 100) == 100 * 16 * h * h + 4 * 100**2 * h
    assert block.weight_flop(1, 100) == 100 * 16 * h * h
    assert head.forward_flop(2, 50) == 2 * 50 * 2 * h * 259
    assert block.output_bytes(2, 50) == 2 * 50 * h * 4


# --- what cannot be traced ---

IMPORTS = "import torch\nfrom torch import nn\n"
CASES = {
    "a module that is no chain": ("def make(): return nn.Bilinear(2, 2, 2)", "not a chain (give an nn.Sequential"),
    "a list of something else": ("def make(): return [nn.Linear(2, 2), 'relu']", "gives a list, not modules"),
    "nothing to train": ("def make(): return nn.Sequential(nn.ReLU())", "has no parameters"),
    "no such function": ("def build(): pass", "defines no make (it defines: build, sample)"),
    "tied layers": (
        "def make():\n a, b = nn.Linear(4, 4), nn.Linear(4, 4)\n b.weight = a.weight\n return [a, b]",
        "layers linear.0 and linear.1 share a parameter",
    ),
    "frozen weights": (
        "def make(): return [nn.Linear(4, 4).requires_grad_(False)]",
        "weight of layer linear.0 is frozen",
    ),
    "two tensors between layers": (
        "class Two(nn.Linear):\n def forward(self, x): return x, x\ndef make(): return [Two(4, 4), nn.Linear(4, 4)]",
        "layer two.0, 2 samples of (4,): gives a tuple; what crosses to the next layer is one tensor",
    ),
    "samples mixed": (
        "class Mean(nn.Linear):\n def forward(self, x): return x.mean(0)\n"
        "def make(): return [Mean(4, 4), nn.Linear(4, 4)]",
        "layer mean.0: gives torch.float32 of shape (4,)",
    ),
    "shapes that do not fit": (
        "def make(): return [nn.Linear(4, 5), nn.Linear(4, 4)]",
        "layer linear.1, 2 samples of (5,)",
    ),
}


@pytest.mark.parametrize(("code", "said"), CASES.values(), ids=CASES.keys())
def test_what_is_no_chain_of_layers_is_refused_in_words(tmp_path: Path, code: str, said: str) -> None:
    path = written(tmp_path, f"{IMPORTS}{code}\ndef sample(): return torch.zeros(1, 4)\n")
    with pytest.raises(ValueError, match=re.escape(said)):
        trace_file(f"{path}:make", Inputs())


@pytest.mark.parametrize(
    ("forward", "said"),
    [
        (
            "self.inner(x if x.shape[1] < 40 else torch.cat([x, x], 1))[:, :x.shape[1]]",
            "forward_flop is not a polynomial",
        ),
        ("x + self.inner(torch.ones(x.shape[1], 4))", "forward_flop grows with the tokens even without samples"),
    ],
)
def test_costs_that_no_polynomial_gives_are_refused_with_the_layers_name(
    tmp_path: Path, forward: str, said: str
) -> None:
    odd = "class Odd(nn.Module):\n def __init__(self):\n  super().__init__(); self.inner = nn.Linear(4, 4)\n"
    odd += f" def forward(self, x): return {forward}\n"
    code = "def make(): return nn.Sequential(nn.Embedding(9, 4), Odd(), nn.Linear(4, 9))"
    path = written(tmp_path, f"{IMPORTS}{odd}{code}\n")
    with pytest.raises(ValueError, match=f"own, layer odd.1: {said}"):
        trace_file(f"{path}:make", Inputs(vocabulary=9))


def test_children_without_parameters_join_their_neighbour(tmp_path: Path) -> None:
    code = "def make(): return nn.Sequential(nn.Flatten(), nn.Linear(12, 4), nn.ReLU(inplace=True), nn.Linear(4, 2))"
    model = trace_file(f"{written(tmp_path, IMPORTS + code)}:make", Inputs(resolution=2))
    assert [layer.name for layer in model.layers] == ["linear.1", "linear.3"]
    assert all(layer.parameter_bytes for layer in model.layers)


# --- the command, and tables outside the package ---


def test_the_command_writes_a_table_that_finds_its_file_wherever_both_are_moved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "here").mkdir()
    path, table = written(tmp_path / "here", CNN), tmp_path / "here" / "table.json"
    words = [f"{path}:make", "--resolution", "16", "--argument", "width=4", "--output", str(table)]
    monkeypatch.setattr(sys, "argv", ["trace_model", *words])
    trace_model.main()
    said = capsys.readouterr().out
    assert "for --config-dir my_conf model=table, write my_conf/model/table.yaml:" in said
    assert "_target_: edgesim.model.from_table" in said
    (tmp_path / "here").rename(tmp_path / "there")
    model = from_table(table=str(tmp_path / "there" / "table.json"))
    assert model.hyper["file"] == str(tmp_path / "there" / "own.py")
    assert model.hyper["arguments"] == {"width": 4}
    assert boundary_shapes(model, 1)[0] == (4, 8, 8)


def test_a_file_changed_since_it_was_traced_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path, CNN)
    model = trace_file(f"{path}:make", Inputs(resolution=16))
    path.write_text(CNN + "\n")
    with pytest.raises(ValueError, match="was changed since its table was traced"):
        boundary_shapes(model, 1)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["resnet51"], "unknown model 'resnet51' (known: mobilenet_v2, resnet50"),
        (["nowhere.py:make", "--resolution", "8"], "no such file: nowhere.py"),
        (["{own}:make"], "defines no sample"),
        (
            ["{own}:make", "--resolution", "8", "--tokens", "1", "2", "3"],
            "reads no sequences, so --tokens means nothing",
        ),
        (["{own}:make", "--resolution", "8", "--argument", "depth=3"], "unexpected keyword argument 'depth'"),
        (["{own}:make", "--resolution", "8", "--argument", "depth"], "'depth' has no value (say NAME=VALUE)"),
        (["{own}:mak", "--resolution", "8"], "defines no mak (it defines: "),
        (["{own}:", "--resolution", "8"], "names no function (say "),
        (["{own}:make", "--resolution", "0"], "--resolution: '0' is no whole number of at least 1"),
        (["{own}:make", "--resolution", "wide"], "--resolution: 'wide' is no whole number"),
        (["{own}:make", "--vocabulary", "-3"], "--vocabulary: '-3' is no whole number"),
        (["{own}:make", "--vocabulary", "9", "--tokens", "8", "8", "8"], "through three lengths, got [8, 8, 8]"),
        (["{own}:make", "--resolution", "1"], "layer "),
        (["{own}:make", "--resolution", "8", "--classes", "3"], "--classes is for a kept model"),
        (["resnet50", "--vocabulary", "9"], "--vocabulary is for a module of your own"),
        (["resnet50", "--argument", "width=2"], "--argument is for a module of your own"),
        (["resnet50", "--classes", "none"], "--classes: 'none' is no whole number"),
        (["{folder}/README:make", "--resolution", "8"], "no such file: "),
        (["{folder}/notes.txt:make", "--resolution", "8"], "is not a Python file (its name must end in .py)"),
    ],
)
def test_the_command_ends_mistakes_in_one_sentence_and_writes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], words: list[str], said: str
) -> None:
    own = written(tmp_path, CNN)
    (tmp_path / "notes.txt").write_text("none")
    filled = [word.format(own=own, folder=tmp_path) for word in words]
    monkeypatch.setattr(sys, "argv", ["trace_model", *filled, "--output", str(tmp_path / "table.json")])
    with pytest.raises(SystemExit) as ended:
        trace_model.main()
    error = capsys.readouterr().err
    assert ended.value.code == 2
    assert said in error
    assert error.count("\n") == 1
    assert not (tmp_path / "table.json").exists()


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("def make():\n    return 1 / 0\n", ["ZeroDivisionError: division by zero", "own.py:2, in make: return 1 / 0"]),
        ("def make(:\n", ["SyntaxError", "own.py:1: def make(:"]),
        ("import nothing_of_this_name\n", ["No module named 'nothing_of_this_name'", "own.py:1, in <module>"]),
        ("def make():\n    raise ValueError('two\\nlines')\n", ["two lines", "own.py:2, in make"]),
    ],
    ids=["raises", "no Python", "no module", "its own words"],
)
def test_a_mistake_in_a_users_module_is_told_with_its_line_and_none_of_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], code: str, said: list[str]
) -> None:
    (tmp_path / "own.py").write_text(code)
    words = ["trace_model", f"{tmp_path / 'own.py'}:make", "--resolution", "8", "--output", str(tmp_path / "t.json")]
    monkeypatch.setattr(sys, "argv", words)
    with pytest.raises(SystemExit) as ended:
        trace_model.main()
    error = capsys.readouterr().err
    assert ended.value.code == 2
    assert all(each in error for each in said), error
    assert "real_runtime/" not in error
    assert error.count("\n") <= 2


@pytest.mark.parametrize(("place", "said"), [("/dev/null/t.json", "cannot be written to"), ("{folder}", "is a folder")])
def test_a_table_that_cannot_be_written_is_told_before_anything_is_traced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], place: str, said: str
) -> None:
    words = ["trace_model", "resnet50", "--output", place.format(folder=tmp_path)]
    monkeypatch.setattr(sys, "argv", words)
    monkeypatch.setattr(trace_model, "trace_kept", pytest.fail)
    with pytest.raises(SystemExit) as ended:
        trace_model.main()
    assert ended.value.code == 2
    assert said in capsys.readouterr().err


def test_the_nearest_table_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"unknown layer table 'resnet_50' \(did you mean 'resnet50'\?"):
        from_table(table="resnet_50")
    (tmp_path / "mine.json").touch()
    with pytest.raises(ValueError, match=r"mien.json' \(did you mean 'mine.json'\? known: mine.json\)"):
        from_table(table=str(tmp_path / "mien.json"))
    with pytest.raises(ValueError, match=r"known: none"):
        from_table(table=str(tmp_path / "no" / "where.json"))


def test_a_model_survives_its_table(tmp_path: Path) -> None:
    model: Model = from_table(table="mobilenet_v2")
    (tmp_path / "copy.json").write_text(table_text(model, tmp_path))
    assert from_table(table=str(tmp_path / "copy.json")) == model
