"""What does each layer of a PyTorch model cost? Writes the layer table that ``edgesim.model.from_table`` reads.

    python -m real_runtime.tracing.trace_model resnet50 --output edgesim/tables/resnet50.json
    python -m real_runtime.tracing.trace_model my_net.py:make --resolution 32 --argument width=16 --output my_net.json
    python -m real_runtime.tracing.trace_model my_text.py:make --vocabulary 259 --tokens 16 32 64 --output my_text.json

MODEL is the name of a table that the project keeps, or FILE.py:FUNCTION of your own. The function gives an
nn.Sequential, or a list or tuple of modules: a chain, which is cut between its children. Any other module needs a
method layers() -> list[nn.Module]. Samples are dimension 0 of every tensor. A child without parameters joins its
neighbour.

The file may also define
    sample() or sample(tokens)   one input, if the module reads neither images nor text of this project's data
    loss(output, target)         a mean over samples (default: cross-entropy of classes, or of hidden tokens)

Nothing is computed: tensors are fake, so a model larger than this machine can be traced. Costs are counted at 2 and 3
samples (and three lengths), fitted exactly, and checked at 4 samples (and a further length). To execute the model, it
must give the same on every device: without dropout.
"""

import argparse
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgesim.model import Model, model_to_dict
from edgesim.own_code import users_mistake
from edgesim.whole_files import refuse_unwritable, write_text
from real_runtime.models import module
from real_runtime.tracing.layer_table import trace

_LENGTHS = (16, 32, 64)  # of sequences, where none are named
# Settings of the tables in edgesim/tables: the published ones, and small pictures for the handwritten digits.
_IMAGENET, _DIGITS = {"classes": 1000}, {"resolution": 64, "classes": 10}
_RESNET50 = {"depths": [3, 4, 6, 3]}  # He et al., 2016, table 1
_B1 = {"width": 1.0, "depth": 1.1, "depthwise_padding": [16]}  # google/efficientnet-b1; Tan and Le, 2019
_MODULE = "python -m real_runtime.tracing.trace_model"
KEPT: dict[str, tuple[str, dict[str, Any]]] = {
    "mobilenet_v2": ("mobilenet_v2", {**_DIGITS, "width": 1.0}),
    "resnet50": ("resnet", {"resolution": 224, **_IMAGENET, **_RESNET50}),
    "resnet50_digits": ("resnet", {**_DIGITS, **_RESNET50}),
    "efficientnet_b1": ("efficientnet", {"resolution": 240, **_IMAGENET, **_B1}),
    "efficientnet_b1_digits": ("efficientnet", {**_DIGITS, **_B1}),
}


# Of small models also at other sizes of pictures: CIFAR-10's own, Mini-ImageNet's own, and ImageNet's.
_SIZES = {"mobilenet_v2": (32, 224), "resnet50_digits": (32, 84, 224), "efficientnet_b1_digits": (32, 240)}
KEPT |= {
    f"{name}_{resolution}": (KEPT[name][0], KEPT[name][1] | {"resolution": resolution})
    for name, sizes in _SIZES.items()
    for resolution in sizes
}


def trace_kept(name: str, **changes: int) -> Model:
    """A table that the project keeps, or the same with another resolution or number of classes."""
    arch, hyper = KEPT[name]
    return trace(name, arch, hyper | changes)


@dataclass(frozen=True, slots=True, kw_only=True)
class Inputs:
    """What a module reads: images of so many pixels, token ids below a vocabulary, or what its file's sample() gives.

    ``tokens`` are the three lengths at which the costs of sequences are counted.
    """

    resolution: int | None = None
    vocabulary: int | None = None
    tokens: tuple[int, ...] = ()


def trace_file(
    place: str, inputs: Inputs, *, name: str | None = None, arguments: Mapping[str, Any] | None = None
) -> Model:
    """The table of a user's own module, ``FILE.py:FUNCTION``. Raises ValueError for what cannot be traced."""
    path, _, factory = place.rpartition(":")
    file = Path(path).resolve()
    if not file.is_file():
        raise ValueError(f"no such file: {path} (say FILE.py:FUNCTION)")
    if not factory:
        raise ValueError(f"{place} names no function (say {path}:FUNCTION)")
    hyper: dict[str, Any] = {"file": str(file), "sha256": module.file_hash(file)}
    hyper |= {"factory": factory, "arguments": dict(arguments or {})}
    hyper |= {key: size for key in ("resolution", "vocabulary") if (size := getattr(inputs, key))}
    sequences = module.takes_tokens(hyper)
    if inputs.tokens and not sequences:
        raise ValueError(f"{place} reads no sequences, so --tokens means nothing (leave it out, or give --vocabulary)")
    return trace(name or file.stem, "module", hyper, inputs.tokens or _LENGTHS if sequences else ())


def table_text(model: Model, folder: Path) -> str:
    """The table as JSON, a layer per line; a user's file is named relative to the table's folder."""
    data = model_to_dict(model)
    if "file" in data["hyper"]:
        data["hyper"]["file"] = os.path.relpath(data["hyper"]["file"], folder.resolve())
    layers = ",\n  ".join(json.dumps(layer) for layer in data.pop("layers"))
    return f'{json.dumps(data)[:-1]}, "layers": [\n  {layers}\n]}}\n'


def _size(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number of at least 1")
    return int(text)


def _argument(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not equals:
        raise argparse.ArgumentTypeError(f"{text!r} has no value (say NAME=VALUE)")
    try:
        return name, json.loads(value)
    except json.JSONDecodeError:
        return name, value


def _parser(called: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=called,
        usage=argparse.SUPPRESS,
        description=(__doc__ or "").replace(_MODULE, called),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("model", metavar="MODEL", help=f"{', '.join(KEPT)}, or FILE.py:FUNCTION")
    parser.add_argument("--output", type=Path, required=True, help="the JSON file to write")
    reads = parser.add_mutually_exclusive_group()
    reads.add_argument("--resolution", type=_size, help="it reads images [samples, 3, N, N] (data=digits)", metavar="N")
    reads.add_argument(
        "--vocabulary", type=_size, help="it reads token ids below N [samples, tokens] (data=text: 259)", metavar="N"
    )
    parser.add_argument("--classes", type=_size, help="classes of the head, for a kept model", metavar="N")
    parser.add_argument("--tokens", type=_size, nargs=3, help="three lengths (default: 16 32 64)", metavar="T")
    parser.add_argument(
        "--argument",
        type=_argument,
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="passed to FUNCTION; a value is JSON, or text; may be given several times",
    )
    parser.add_argument("--name", help="of the model (default: the file's)")
    return parser


def main(called: str = _MODULE) -> None:
    """Write one table, or end in one sentence on stderr and exit code 2; ``called`` is what was typed."""
    parser = _parser(called)
    arguments = parser.parse_args()
    try:
        if arguments.output.is_dir():
            raise ValueError(f"--output {arguments.output} is a folder (name a file in it, that ends in .json)")
        refuse_unwritable(arguments.output.parent)
        model = _traced(arguments)
        write_text(arguments.output, table_text(model, arguments.output.parent))
    except Exception as error:
        if (said := _sentence(error)) is None:
            raise
        parser.exit(2, f"error: {said}\n")
    name = arguments.output.stem
    print(f"{model}\nwritten to {arguments.output}")
    print(f"for --config-dir my_conf model={name}, write my_conf/model/{name}.yaml:")
    print(f"  _target_: edgesim.model.from_table\n  table: {arguments.output.resolve()}")


def _sentence(error: Exception) -> str | None:
    """What is wrong, in a line, and below it the line of a user's file that it came from; None for a bug of ours."""
    mistake = users_mistake(error)
    if not isinstance(error, ValueError | OSError):
        return mistake
    said = " ".join(str(error).split())
    return said if mistake is None else "\n".join((said, *mistake.splitlines()[1:]))


def _traced(arguments: argparse.Namespace) -> Model:
    """The model that a command line asks for."""
    if ":" in arguments.model:
        if arguments.classes:
            raise ValueError("--classes is for a kept model (say --argument for a module of your own)")
        inputs = Inputs(
            resolution=arguments.resolution,
            vocabulary=arguments.vocabulary,
            tokens=tuple(arguments.tokens or ()),
        )
        return trace_file(arguments.model, inputs, name=arguments.name, arguments=dict(arguments.argument))
    if unused := [name for name in ("vocabulary", "tokens", "argument", "name") if getattr(arguments, name)]:
        raise ValueError(f"--{unused[0]} is for a module of your own, FILE.py:FUNCTION, not for {arguments.model!r}")
    if arguments.model not in KEPT:
        raise ValueError(f"unknown model {arguments.model!r} (known: {', '.join(KEPT)}; or say FILE.py:FUNCTION)")
    changes = {key: value for key in ("resolution", "classes") if (value := getattr(arguments, key))}
    return trace_kept(arguments.model, **changes)


if __name__ == "__main__":
    main()
